"""Lists of rows as programs write them: CSV with any usual separator, and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.text import read_text

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")

_SEPARATORS = (",", ";", "\t", "|")


class Table(NamedTuple):
    """Rows and what they are called.

    Attributes:
        columns: Names, in order, as they are written.
        rows: Line number and cells of each row, one a column.
    """

    columns: list[str]
    rows: list[tuple[int, list[str]]]


def is_table(path: Path) -> bool:
    """Whether a path is a file that `read_table` reads, by its ending."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def read_table(source: Path, fits: Callable[[Sequence[str]], bool]) -> Table:
    """Read a table.

    Args:
        source: CSV, separated by commas, semicolons, tabs or bars, with the names of the columns in its first
            line; or JSON, an object a line or a list of objects.
        fits: Whether names are those of the columns that are wanted; it tells by what CSV is separated.

    Raises:
        SnnVoiceError: The file can't be read, or is no such table; the message names the line.
    """
    try:
        text = read_text(source)
    except OSError as error:
        raise SnnVoiceError(f"{source} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SnnVoiceError(f"{source} is not UTF-8 or UTF-16", hint="save it as UTF-8") from error
    return _csv(source, text, fits) if source.suffix.lower() in (".csv", ".tsv") else _json(source, text)


# --- CSV ------------------------------------------------------------------------------------------


def _csv(source: Path, text: str, fits: Callable[[Sequence[str]], bool]) -> Table:
    first, _, rest = text.partition("\n")
    if first.strip('"').lower().startswith("sep=") and len(first.strip('"')) == 5:  # Excel's own first line
        text, first = "\n" + rest, rest.partition("\n")[0]
    headers = {separator: _header(first, separator) for separator in _SEPARATORS}
    by = next((s for s in _SEPARATORS if fits(headers[s])), None)
    by = by or max(_SEPARATORS, key=lambda separator: len(headers[separator]))
    columns: list[str] | None = None
    rows = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=by, strict=True)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = [cell.strip() for cell in cells]
                continue
            if len(cells) != len(columns):
                raise SnnVoiceError(
                    f"line {reader.line_num} of {source} has {len(cells)} cells, the header {len(columns)}",
                    hint=f'a name with {by!r} in it stands in "quotes"',
                )
            rows.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise SnnVoiceError(f"{source} is not a CSV file: {error}", hint="save it as CSV, UTF-8") from error
    return Table(columns or [], rows)


def _header(line: str, separator: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []


# --- JSON -----------------------------------------------------------------------------------------


def _json(source: Path, text: str) -> Table:
    found: list[tuple[int, Any]]
    try:
        whole = json.loads(text)
    except ValueError:  # an object a line
        found = [(n, _object(source, n, line)) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    except RecursionError as error:
        raise SnnVoiceError(f"{source} is nested too deeply", hint="a list of objects") from error
    else:
        found = list(enumerate(whole if isinstance(whole, list) else [whole], 1))
    columns: dict[str, None] = {}
    for number, row in found:
        if not isinstance(row, dict):
            raise SnnVoiceError(
                f"row {number} of {source} is no JSON object", hint='{"path": ..., "label": ...}'
            )
        columns |= dict.fromkeys(row)
    return Table(list(columns), [(n, [_cell(row.get(name)) for name in columns]) for n, row in found])


def _object(source: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SnnVoiceError(
            f"line {number} of {source} is not valid JSON", hint="an object a line"
        ) from error


def _cell(value: object) -> str:
    if isinstance(value, dict):  # a sound of `datasets`
        value = value.get("path")
    # Lists, say of several words a clip, are no cells.
    return "" if value is None or isinstance(value, dict | list) else str(value).strip()
