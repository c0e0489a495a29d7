"""How figures are written: shares in percent, counts, microjoules, and tables of them in Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from snn_voice_lite.visible import LINE_LIMIT, visible


def points(share: float, sign: bool = False) -> str:
    """A share, or a difference of two, in percent with one decimal and without the sign "%"."""
    return f"{round(100 * share, 1) + 0.0:{'+' if sign else ''}.1f}"  # no "-0.0"


def percent(share: float | None) -> str:
    """A share, 0 to 1, in percent with one decimal; "-" for one that is not known."""
    return "-" if share is None else f"{points(share)} %"


def whole(value: float | None) -> str:
    """A number of operations, clips or bytes; "-" for one that is not known."""
    return "-" if value is None else f"{value:,.0f}"


def microjoules(value: float | None) -> str:
    """Microjoules with three significant digits, from 100 on as a whole number; "-" where not known."""
    return whole(value) if value is None or value >= 100 else f"{value:.3g}"


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of many names, and how many more there are; "nothing" of none."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more or "nothing"


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """A table as CSV: commas, quotes where they are needed, and a line feed after each row."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, words: int = 1) -> str:
    """A table in Markdown; nothing where there are no rows.

    Args:
        head: Titles of the columns, as Markdown.
        rows: Cells, as Markdown, of which each stays on its line and in its column.
        words: So many columns are text; those after them are figures, and stand to the right.
    """
    body = [[_cell(cell) for cell in row] for row in rows]
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return markdown_rows([head, rule, *body]) if body else ""


def markdown_rows(rows: Iterable[Sequence[str]]) -> str:
    """Rows of a table in Markdown, its head and rule among them."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: object) -> str:
    return visible(" ".join(str(value).split()), LINE_LIMIT).replace("|", "\\|")
