"""What the benchmarks write: tables of figures, and reports that grow as they are measured."""

from __future__ import annotations

import math
from pathlib import Path

from benchmarks.common import RESULTS, machine
from snn_voice_hub.notation import markdown_rows
from snn_voice_hub.writing import write_together

Cell = str | int | float | None


class Table:
    """A Markdown table whose columns line up in the source as well.

    Args:
        *columns: Headings.
    """

    def __init__(self, *columns: str) -> None:
        self.columns = columns
        self.rows: list[tuple[str, ...]] = []
        self._numeric = [True] * len(columns)

    def add(self, *cells: Cell) -> None:
        """Add a row; floats are shown with three significant digits, None as an empty cell.

        Raises:
            ValueError: Not as many cells as columns.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        for i, cell in enumerate(cells):
            self._numeric[i] &= not isinstance(cell, str) or _looks_numeric(cell)
        self.rows.append(tuple(show(cell) for cell in cells))

    def __str__(self) -> str:
        """The table as Markdown."""
        lines = [self.columns, *self.rows]
        widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
        pads = [str.rjust if number else str.ljust for number in self._numeric]
        padded = [[pad(*c) for pad, *c in zip(pads, line, widths, strict=True)] for line in lines]
        rule = [f"{'':->{n - right}}{':' * right}" for n, right in zip(widths, self._numeric, strict=True)]
        return markdown_rows((padded[0], rule, *padded[1:]))


def show(cell: Cell) -> str:
    """A cell's text: floats with three significant digits, None as nothing."""
    if cell is None:
        return ""
    if not isinstance(cell, float):
        return str(cell)
    if cell == 0 or not math.isfinite(cell):
        return f"{cell:g}"
    size = abs(cell)
    if size >= 1e5 or size < 1e-3:
        return f"{cell:.2e}"
    return f"{cell:,.0f}" if size >= 999.5 else f"{cell:#.3g}".rstrip(".")


def _looks_numeric(text: str) -> bool:
    return text == "" or text.lstrip("\N{MULTIPLICATION SIGN}+-")[:1].isdigit()


def save(name: str, text: str, folder: Path = RESULTS) -> Path:
    """Write `folder/name.md`, at once or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    write_together({path: f"{text.rstrip()}\n"})
    return path


class Report:
    """A result that is printed and kept as it grows.

    Args:
        name: The file's name without `.md`.
        title: Its heading.
        folder: Where it is written.
    """

    def __init__(self, name: str, title: str, folder: Path = RESULTS) -> None:
        self.name = name
        self.folder = folder
        self.parts: list[str] = []
        self.add(f"# {title}")
        self.add(machine())

    def add(self, part: object) -> None:
        """Print a paragraph or table, and write the report so far; what is empty says nothing."""
        text = str(part)
        if not text:
            return
        print(text, end="\n\n", flush=True)
        self.parts.append(text)
        save(self.name, "\n\n".join(self.parts), self.folder)
