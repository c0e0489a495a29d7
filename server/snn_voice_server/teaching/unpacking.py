"""A zip of clips, as strangers send it -> a folder of clips that can be read."""

from __future__ import annotations

import io
import os
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from snn_voice_hub.audio import load
from snn_voice_hub.errors import AudioError
from snn_voice_hub.folders import is_litter, is_sound
from snn_voice_hub.zips import METHODS, ZIP_ERRORS
from snn_voice_server.failures import RequestError
from snn_voice_server.teaching.lessons import TeachLimits, check_number_of_words, check_word, told

# What the list at the end of a zip begins each of its lines with.
_LISTED: Final = b"PK\x01\x02"
_ENCRYPTED: Final = 0x1
_MOST_SECONDS: Final = 10.0
_LONGEST_NAME: Final = 120  # bytes: a name of other letters than ours has several each, and disks count those
_LAYOUT: Final = "a zip of word/speaker_nohash_0.wav, word/speaker_nohash_1.wav and so on"


def unpack(archive: bytes, folder: Path, limits: TeachLimits) -> Counter[str]:
    """Write the clips of a zip into a folder, each word into its own; takes a while, so call it in a thread.

    Nothing is written that is not sound, and nothing beside the folder.

    Args:
        archive: The zip.
        folder: Is made. Where this raises, clips may be in it already.
        limits: What is too much.

    Returns:
        How many clips each word has, the words in the order of the zip.

    Raises:
        RequestError: It is no zip, holds something else than clips of words, or too much.
    """
    counts: Counter[str] = Counter()
    unpacked = 0
    with _opened(archive, limits) as found:
        for entry, word, name in _clips(found):
            if word not in counts:
                check_word(word)
                check_number_of_words([*counts, word], limits)
                (folder / word).mkdir(parents=True)
            counts[word] += 1
            if counts[word] > limits.clips:
                raise RequestError(
                    f"there are more than {limits.clips} clips of {told(word)}",
                    hint="this service takes no more of a word",
                    code="too_many_clips",
                )
            # What the zip says of its size may be a lie.
            content = _content(found, entry, limits.max_bytes - unpacked)
            unpacked += len(content)
            _check_sound(f"{word}/{name}", content)
            (folder / word / name).write_bytes(content)
    if not counts:
        raise RequestError("there is no clip in the zip", hint=_LAYOUT, code="no_clips")
    return counts


def _opened(archive: bytes, limits: TeachLimits) -> zipfile.ZipFile:
    # Python makes an object of each file that a zip lists, of a million of them too. What other systems
    # leave in a zip may be as many as the clips.
    if archive.count(_LISTED) > 2 * limits.words * limits.clips + 200:
        raise RequestError(
            "the zip lists too many files",
            hint=f"at most {limits.words} words and {limits.clips} clips of each",
            code="too_many_clips",
        )
    try:
        return zipfile.ZipFile(io.BytesIO(archive))
    except ZIP_ERRORS as error:
        raise RequestError("the clips are no zip, or it is damaged", hint=_LAYOUT, code="bad_zip") from error


def _clips(archive: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, str, str]]:
    """The files of an archive with their words and names; a folder around all words is passed over."""
    found: list[tuple[zipfile.ZipInfo, list[str]]] = []
    for entry in archive.infolist():
        parts = unicodedata.normalize("NFC", entry.filename).split("/")
        if "\\" in entry.filename or ".." in parts or entry.filename.startswith("/"):
            raise RequestError(f"the zip has a file {told(entry.filename)}", hint=_LAYOUT, code="bad_zip")
        # Not by `is_dir`, which some Pythons end with an IndexError where an entry has no name.
        if not entry.filename.endswith("/") and not any(map(is_litter, parts)):
            found.append((entry, parts))
    if found and all(len(parts) == 3 for _, parts in found) and len({parts[0] for _, parts in found}) == 1:
        found = [(entry, parts[1:]) for entry, parts in found]
    seen = set()
    for entry, parts in found:
        name = parts[-1]
        short = len(os.fsencode(name)) <= _LONGEST_NAME
        legal = len(parts) == 2 and is_sound(name) and short and name.isprintable()
        if not legal or ":" in name:
            what = "no clip of a word" if legal or not is_sound(name) else "not where a clip of a word is"
            raise RequestError(f"{told(entry.filename)} is {what}", hint=_LAYOUT, code="bad_zip")
        if tuple(parts) in seen:
            raise RequestError(f"the zip has {told(entry.filename)} twice", hint=_LAYOUT, code="bad_zip")
        seen.add(tuple(parts))
        yield entry, parts[0], name


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, room: int) -> bytes:
    """The bytes of a file, of which never more are unpacked than there is room for."""
    if entry.flag_bits & _ENCRYPTED or entry.compress_type not in METHODS:
        raise RequestError(
            f"{told(entry.filename)} is packed in a way that is not read",
            hint="an ordinary zip, without a password",
            code="bad_zip",
        )
    try:
        with archive.open(entry) as file:
            content = file.read(room + 1)
    except ZIP_ERRORS as error:
        raise RequestError(
            f"{told(entry.filename)} is damaged", hint="zip it again", code="bad_zip"
        ) from error
    if len(content) > room:
        raise RequestError(
            "the clips are too much for this service, unpacked",
            hint="fewer clips, or FLAC",
            code="too_large",
        )
    return content


def _check_sound(name: str, content: bytes) -> None:
    try:
        load(content, max_seconds=_MOST_SECONDS)
    except AudioError as error:
        hint = error.hint or "a clip of one word"
        raise RequestError(f"{told(name)}: {error.message}", hint=hint, code=error.code) from error
