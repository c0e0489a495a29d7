"""Sound files of a folder or a tar, one after the other, each with the word that its folder is named by."""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import tarfile
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from snn_voice_hub import audio
from snn_voice_hub.errors import SnnVoiceError

LISTS = ("validation_list.txt", "testing_list.txt")

# In the folder of a run: its curve, and what it goes on from.
LOG = "log.jsonl"
STATE = Path("state", "last.ckpt")
# What a user does where a run can't write any more.
GO_ON = "make room, then resume: the run goes on from the state that it kept last"

# Sound that can't be decoded: it is tried all the same, so that it is listed with a reason.
_FOREIGN = (".m4a", ".aac", ".wma", ".webm", ".weba", ".mp4", ".amr", ".3gp", ".caf", ".mka", ".au", ".ape")
_HINT = "a folder of folders word/clip.wav, or a tar of one"
_BROKEN_TAR = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


class Item(NamedTuple):
    """A file that may be a clip.

    Attributes:
        name: For people, and to match lists with: the path inside the source.
        word: Its label; "" where it has none.
        content: The encoded sound, or None where it could not be had.
        reason: Why not.
        part: "train", "val" or "test" where somebody said so, else "".
        speaker: Whose voice it is, where somebody said so, else "".
    """

    name: str
    word: str
    content: bytes | None
    reason: str = ""
    part: str = ""
    speaker: str = ""


def first_process() -> bool:
    """Whether this is the process that was started by the user, where Lightning has started more."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0 and int(os.environ.get("NODE_RANK", "0")) == 0


def source_items(source: Path) -> Iterator[Item]:
    """Every sound file and list of a folder of folders or a tar of one, in one pass.

    Hidden files and folders (`._clip.wav` and `__MACOSX` of other systems among them) are left out.

    Args:
        source: A folder, followed through symbolic links, or a tar file, compressed or not.

    Yields:
        The files; those that can't be read with the reason.

    Raises:
        SnnVoiceError: The source is not there, is neither a folder nor a tar file, or is a damaged one.
    """
    files = _folder(source) if source.is_dir() else _tar(source)
    for name, content in files:
        path = PurePosixPath(name)
        word = unicodedata.normalize("NFC", path.parent.name)
        if _decodable(word):
            reason = content if isinstance(content, str) else ""
            yield Item(printable(name), word, None if isinstance(content, str) else content, reason)
        else:
            yield Item(printable(name), "", None, "the name of its folder is not UTF-8")


def printable(name: str) -> str:
    """A file's name with the bytes that are no text written as escapes."""
    return name if _decodable(name) else os.fsencode(name).decode("utf-8", "backslashreplace")


def file_content(path: Path) -> bytes | str:
    """The bytes of a file, or why there are none."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # opening a pipe would wait for ever
            return "not a file"
        return "too large" if state.st_size > audio.MAX_ENCODED_BYTES else path.read_bytes()
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError)
        return "does not exist" if dangling else f"can't be read: {error.strerror}"


def _decodable(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _wanted(name: str) -> bool:
    path = PurePosixPath(name)
    if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
        return False
    return path.name in LISTS or path.suffix.lower() in audio.SUFFIXES + _FOREIGN


def files_of(source: Path) -> list[Path]:
    """All files that `source_items` reads."""
    if not source.is_dir():
        return [source]
    return [path for _, path in _paths(source) if isinstance(path, Path)]


def _paths(root: Path) -> Iterator[tuple[str, Path | str]]:
    """Names and paths of a folder's files, in order; a reason where a path can't be had."""
    return _below(root, root, ())


def _below(root: Path, folder: Path, above: tuple[Path, ...]) -> Iterator[tuple[str, Path | str]]:
    name = folder.relative_to(root).as_posix()
    real = folder.resolve()
    if real in above:  # a link to a folder that it is in
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield name, f"can't be listed: {error.strerror}"
        return
    if not entries and folder != root:
        yield name, "an empty folder"
    for path in entries:
        inner = path.relative_to(root).as_posix()
        if path.is_dir():
            if not path.name.startswith(".") and path.name != "__MACOSX":
                yield from _below(root, path, (*above, real))
        elif _wanted(inner):
            yield inner, path


def _folder(root: Path) -> Iterator[tuple[str, bytes | str]]:
    for name, path in _paths(root):
        yield name, path if isinstance(path, str) else file_content(path)


def _tar(source: Path) -> Iterator[tuple[str, bytes | str]]:
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                name = member.name.removeprefix("./").lstrip("/")
                if not member.isdir() and _wanted(name):
                    yield name, _member(archive, member)
    except FileNotFoundError as error:
        raise SnnVoiceError(f"{source} does not exist", hint=_HINT) from error
    except tarfile.ReadError as error:
        # Both "no tar at all" and "cut off" are a ReadError; what begins like a tar is a damaged one.
        if _begins_like_a_tar(source):
            raise SnnVoiceError(f"{source} is damaged or cut off", hint="copy or make it again") from error
        raise SnnVoiceError(f"{source} is neither a folder nor a tar file", hint=_HINT) from error
    except _BROKEN_TAR as error:
        raise SnnVoiceError(f"{source} is damaged or cut off", hint="copy or make it again") from error
    except OSError as error:
        raise SnnVoiceError(f"{source} can't be read: {error.strerror or error}") from error


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | str:
    if member.size > audio.MAX_ENCODED_BYTES:
        return "too large"
    try:
        stream = archive.extractfile(member)  # follows links inside the tar
    except KeyError:
        return "a link to what is not in the tar"
    return "not a file" if stream is None else stream.read()


def _begins_like_a_tar(source: Path) -> bool:
    try:
        with tarfile.open(source) as archive:
            return archive.next() is not None
    except (OSError, *_BROKEN_TAR):
        return False
