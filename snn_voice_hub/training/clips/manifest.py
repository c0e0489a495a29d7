"""A list of clips as a table: which file is which word, and perhaps its part and speaker.

Tools call these columns by several names, and write others besides, which are passed over.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.items import Item, item_of
from snn_voice_hub.training.clips.tables import Table, is_table, read_table

# The first that is there counts, in this order.
_NAMES = {
    "path": (
        *("path", "file_name", "filename", "file", "filepath", "file_path", "audio", "audio_filepath"),
        *("audio_path", "audio_file", "wav", "wav_path", "fname", "slice_file_name"),
    ),
    "label": (
        *("label", "category", "class", "class_name", "word", "keyword", "command", "target"),
        *("text", "transcript", "transcription", "sentence"),
    ),
    "split": ("split", "subset", "partition", "set"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "offset": ("offset",),  # of NeMo: where in the file the clip begins, in seconds
}
_SENTENCES = ("text", "transcript", "transcription", "sentence")
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
# Where tools put the sound, in the folder of the list or beside it.
_PLACES = ("", "audio", "clips", "wavs", "..", "../audio", "../clips", "../wavs")
_LEGAL = (
    f"a column {', '.join(_NAMES['path'][:5])} or audio_filepath; "
    f"one of {', '.join(_NAMES['label'][:7])}; and perhaps split and speaker"
)


# What `datasets` looks for in a folder of sound.
_INSIDE = ("metadata.csv", "metadata.jsonl")


class ManifestRow(NamedTuple):
    """A line of a manifest.

    Attributes:
        path: The file, which need not be there.
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

    def item(self) -> Item:
        """What it says, with the file's content."""
        return item_of(self.path, self.name, self.label, self.part, self.speaker)


def read_manifest(source: Path) -> tuple[list[ManifestRow], list[tuple[str, str]]]:
    """Read and check a manifest.

    Args:
        source: A table as `read_table` takes it. Its paths are relative to its folder, or to a folder
            `audio`, `clips` or `wavs` in it or beside it; they may have backslashes.

    Returns:
        A row for each file, and `(name, reason)` of each row that was left out. A file that does not exist
        has its row: it is listed like others that can't be read.

    Raises:
        SnnVoiceError: The file can't be read, or is not such a manifest, or none of its files exists; the
            message names the line.
    """
    rows: list[ManifestRow] = []
    seen: dict[Path, ManifestRow] = {}
    skipped: list[tuple[str, str]] = []
    absent: list[str] = []
    for line, row in _rows(source, read_table(source, _fits)):
        exists = _exists(row.path)
        # What is not there can't be followed: its name may lead in circles, or be none at all.
        before = seen.setdefault(row.path.resolve() if exists else row.path, row)
        if before is row:
            rows.append(row)
            if not exists:
                absent.append(f"{row.name} (line {line})")
        elif (before.label, before.part) == (row.label, row.part):
            skipped.append((row.name, "listed twice"))
        else:
            pair = [f"{r.label}, {r.part}" if r.part else r.label for r in (before, row)]
            raise SnnVoiceError(
                f"{row.name} is listed twice in {source}, as {pair[0]!r} and as {pair[1]!r} (line {line})",
                hint="every file once",
            )
    if not rows:
        raise SnnVoiceError(f"{source} lists no clips", hint=_LEGAL)
    if len(absent) == len(rows):
        raise SnnVoiceError(
            f"none of the {len(rows)} files of {source} exists, the first is {absent[0]}",
            hint=f"paths are relative to {source.parent}",
        )
    return rows, skipped


def manifest_of(source: Path) -> Path | None:
    """The manifest that a path is, or that lies in a folder of `datasets`; None where there is none.

    Args:
        source: A file, or a folder, in which a `metadata.csv` that names no words is something else.

    Raises:
        SnnVoiceError: The one in a folder can't be read.
    """
    if is_table(source):
        return source
    for path in (source / name for name in _INSIDE):
        if path.is_file():
            plain = set(map(_plain, read_table(path, _fits).columns))
            if _fits(list(plain.difference(_SENTENCES))):
                return path
    return None


def _rows(source: Path, table: Table) -> Iterator[tuple[int, ManifestRow]]:
    """Each line's number and what it says."""
    roles = _roles(source, table)
    for line, cells in table.rows:
        told = {role: cells[index] for role, index in roles.items()}
        for role in ("path", "label"):
            if not told[role]:
                column = table.columns[roles[role]]
                raise SnnVoiceError(f"line {line} of {source} has no {column}", hint=_LEGAL)
        if told.get("offset", "").strip("0."):
            raise SnnVoiceError(
                f"line {line} of {source} is a part of a file, from {told['offset']} s",
                hint="a clip is a whole file: cut the parts out, and list those",
            )
        part = told.get("split", "")
        if "split" in told and (part := _PARTS.get(part.lower(), "")) == "":
            raise SnnVoiceError(
                f"line {line} of {source} has split {told['split']!r}", hint=f"one of {', '.join(_PARTS)}"
            )
        label = unicodedata.normalize("NFC", told["label"])
        path = _found(source.parent, told["path"])
        yield line, ManifestRow(path, told["path"], label, part, told.get("speaker", ""))


# --- columns --------------------------------------------------------------------------------------


def _plain(column: str) -> str:
    return re.sub(r"[ \-]", "_", column.strip().lower())


def _fits(columns: Sequence[str]) -> bool:
    plain = set(map(_plain, columns))
    return not plain.isdisjoint(_NAMES["path"]) and not plain.isdisjoint(_NAMES["label"])


def _roles(source: Path, table: Table) -> dict[str, int]:
    """Which column is which, by index."""
    plain = [_plain(column) for column in table.columns]
    known = [name for names in _NAMES.values() for name in names]
    for name, column in zip(plain, table.columns, strict=True):
        if name in known and plain.count(name) > 1:
            raise SnnVoiceError(f"{source} has the column {column!r} twice", hint=_LEGAL)
    found = {role: [plain.index(name) for name in names if name in plain] for role, names in _NAMES.items()}
    for role in ("path", "label"):
        if not found[role]:
            seen = ", ".join(map(repr, table.columns))[:300] or "none"
            what = "files" if role == "path" else "words"
            raise SnnVoiceError(f"{source} has no column of {what}; its columns are {seen}", hint=_LEGAL)
    for role in ("split", "speaker"):
        for name, column in zip(plain, table.columns, strict=True):
            if found[role] or name in known or not difflib.get_close_matches(name, (role,), 1, 0.75):
                continue
            # Passing over a misspelled column would divide the clips in another way, without a word.
            raise SnnVoiceError(f"{source} has an unknown column {column!r}", hint=f"is it {role}? {_LEGAL}")
    chosen = {role: indices[0] for role, indices in found.items() if indices}
    chosen["label"] = _words(table, plain, found["label"])
    return chosen


def _words(table: Table, plain: list[str], candidates: list[int]) -> int:
    """The column of the words: of several, the first that does not hold numbers only, as indices do."""
    for index in candidates:
        if plain[index] not in _SENTENCES and not all(cells[index].isdigit() for _, cells in table.rows):
            return index
    return candidates[0]


# --- files ----------------------------------------------------------------------------------------


def _found(folder: Path, name: str) -> Path:
    """The file of a name; backslashes may stand in it, and accents be written in one or in two characters."""
    slashed = PureWindowsPath(name).as_posix()
    for known in (name, slashed) if slashed != name else (name,):
        for place in _PLACES:
            for form in (known, unicodedata.normalize("NFC", known), unicodedata.normalize("NFD", known)):
                if _exists(path := folder / place / form):
                    return path
    return folder / slashed


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True
