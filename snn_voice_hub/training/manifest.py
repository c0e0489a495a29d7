"""A list of clips as a CSV file: the columns `path` and `label`, and perhaps `split` and `speaker`."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path
from typing import NamedTuple

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.splits import PARTS

_NEEDED = ("path", "label")
_COLUMNS = (*_NEEDED, "split", "speaker")
_LEGAL = "path, label and, if wanted, split and speaker, separated by commas"


class Row(NamedTuple):
    """A line of a manifest.

    Attributes:
        path: The file.
        name: As it stands in the manifest.
        label: Its word.
        part: "train", "val" or "test"; "" without a column `split`.
        speaker: Whose voice it is; "" without a column `speaker`.
    """

    path: Path
    name: str
    label: str
    part: str
    speaker: str


def read_manifest(source: Path) -> tuple[list[Row], list[tuple[str, str]]]:
    """Read and check a manifest.

    Args:
        source: The CSV file; its paths are relative to its folder.

    Returns:
        A row for each file, and `(name, reason)` of each row that was left out.

    Raises:
        SnnVoiceError: The file can't be read, or is not such a manifest; the message names the line.
    """
    rows: list[Row] = []
    seen: dict[Path, Row] = {}
    skipped: list[tuple[str, str]] = []
    absent: list[str] = []
    for line, cells in _cells(source):
        label = unicodedata.normalize("NFC", cells["label"])
        part = cells.get("split", "")
        for column in _NEEDED:
            if not cells[column]:
                raise SnnVoiceError(f"line {line} of {source} has no {column}", hint=_LEGAL)
        if "split" in cells and part not in PARTS:
            raise SnnVoiceError(
                f"line {line} of {source} has split {part!r}", hint=f"one of {', '.join(PARTS)}"
            )
        path = _found(source.parent, cells["path"])
        if path is None:
            absent.append(f"{cells['path']} (line {line})")
            continue
        row = Row(path, cells["path"], label, part, cells.get("speaker", ""))
        before = seen.setdefault(path.resolve(), row)
        if before is row:
            rows.append(row)
        elif (before.label, before.part) == (row.label, row.part):
            skipped.append((row.name, "listed twice"))
        else:
            pair = [f"{r.label}, {r.part}" if r.part else r.label for r in (before, row)]
            raise SnnVoiceError(
                f"{row.name} is listed twice in {source}, as {pair[0]!r} and as {pair[1]!r} (line {line})",
                hint="every file once",
            )
    if absent:
        raise SnnVoiceError(
            f"{len(absent)} files of {source} do not exist, the first is {absent[0]}",
            hint=f"paths are relative to {source.parent}",
        )
    if not rows:
        raise SnnVoiceError(f"{source} lists no clips", hint=_LEGAL)
    return rows, skipped


def _cells(source: Path) -> list[tuple[int, dict[str, str]]]:
    """Each line's number and cells, once the header is known to be right."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SnnVoiceError(f"{source} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SnnVoiceError(f"{source} is not UTF-8", hint="save it as CSV, UTF-8") from error
    found = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = [name.strip() for name in next(reader, [])]
        _check_header(source, header)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise SnnVoiceError(
                    f"line {reader.line_num} of {source} has {len(cells)} cells, the header {len(header)}",
                    hint='a name with a comma stands in "quotes"',
                )
            row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            found.append((reader.line_num, row))
    except csv.Error as error:
        raise SnnVoiceError(f"{source} is not a CSV file: {error}", hint=_LEGAL) from error
    return found


def _check_header(source: Path, header: list[str]) -> None:
    for name in header:
        if name not in _COLUMNS:
            raise SnnVoiceError(f"{source} has an unknown column {name!r}", hint=_LEGAL)
        if header.count(name) > 1:
            raise SnnVoiceError(f"{source} has the column {name!r} twice", hint=_LEGAL)
    for name in _NEEDED:
        if name not in header:
            raise SnnVoiceError(f"{source} has no column {name!r}", hint=_LEGAL)


def _found(folder: Path, name: str) -> Path | None:
    """The file of a name; accents may be written in one or in two characters."""
    for form in (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
        try:
            path = folder / form
            path.stat()
        except (OSError, ValueError):
            continue
        return path
    return None
