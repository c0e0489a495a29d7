"""Files that may be clips, one after the other: those of a folder or a tar by its folders, others as told."""

from __future__ import annotations

import gzip
import lzma
import os
import posixpath
import stat
import tarfile
import unicodedata
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from snn_voice_hub import audio
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.folders import is_litter, is_sound, walk
from snn_voice_hub.training.clips.corpus import LISTS
from snn_voice_hub.zips import room

_HINT = "a folder of folders word/clip.wav, a tar of one, or a manifest such as clips.csv"
# RecursionError: of headers that each announce another one.
_BROKEN_TAR = (
    *(tarfile.TarError, EOFError, RecursionError),
    *(zlib.error, lzma.LZMAError, gzip.BadGzipFile),
)
# Bytes that are read of a tar at once. Longer than that is no name, which `tarfile` would read at any length.
_PIECE = 1 << 20


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


def items_of(source: Path, lists: Collection[str] = LISTS) -> Iterator[Item]:
    """Every sound file and list of a folder of folders or a tar of one, in one pass.

    What is left out, and what links lead to, is as `folders.walk` says, in a tar as well.

    Args:
        source: A folder, followed through symbolic links, or a tar file, compressed or not.
        lists: Names of files that are wanted beside the sound.

    Yields:
        The files; those that can't be read with the reason.

    Raises:
        SnnVoiceError: The source is not there, is neither a folder nor a tar file, or is a damaged one.
    """
    files = _folder(source, lists) if source.is_dir() else _tar(source, lists)
    for name, content in files:
        path = PurePosixPath(name)
        word = unicodedata.normalize("NFC", path.parent.name)
        if _decodable(word):
            yield _item(content, printable(name), word)
        else:
            yield Item(printable(name), "", None, "the name of its folder is not UTF-8")


def item_of(path: Path, name: str, word: str, part: str = "", speaker: str = "") -> Item:
    """A file on the disk, read now.

    Args:
        path: Where it is; it need not be there.
        name: See `Item`, as are the others.
        word: Its label.
        part: Where it belongs.
        speaker: Whose voice it is.
    """
    return _item(_content(path), name, word, part, speaker)


def _item(content: bytes | str, name: str, word: str, part: str = "", speaker: str = "") -> Item:
    if isinstance(content, str):
        return Item(name, word, None, printable(content), part, speaker)
    return Item(name, word, content, "", part, speaker)


def _content(path: Path) -> bytes | str:
    """The bytes of a file, or why there are none."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # opening a pipe would wait for ever
            return "not a file"
        return "too large" if state.st_size > audio.MAX_ENCODED_BYTES else path.read_bytes()
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError)
        return "does not exist" if dangling else f"can't be read: {error.strerror}"
    except ValueError:  # a NUL or a lone surrogate: no file can be called that
        return "does not exist"


def printable(name: str) -> str:
    """A file's name with the bytes that are no text written as escapes."""
    return name if _decodable(name) else os.fsencode(name).decode("utf-8", "backslashreplace")


def _decodable(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _wanted(name: str, lists: Collection[str]) -> bool:
    """Whether a member of a tar is what `walk` would find in a folder."""
    path = PurePosixPath(name)
    if any(is_litter(part) for part in path.parts):
        return False
    return path.name in lists or is_sound(path.name)


def files_of(source: Path) -> list[Path]:
    """All that decides what `items_of` gives."""
    return [Path(found.path) for found in walk(source, LISTS)] if source.is_dir() else [source]


def _folder(root: Path, lists: Collection[str]) -> Iterator[tuple[str, bytes | str]]:
    """Names and contents of a folder's files, a file of several names once.

    Else one clip might be learned from under one name, and judged by under another.
    """
    begin = len(os.path.join(root, ""))  # noqa: PTH118
    listed = list(walk(root, lists))
    files = {found.path: _identity(found.path) for found in listed if not found.problem}
    owners: dict[object, str] = {}
    for path in sorted(files, key=os.path.islink):  # its own name counts, before that of a link
        owners.setdefault(files[path], path)
    for path, problem, _ in listed:
        owner = owners[files[path]] if path in files else path
        if owner != path:
            problem = f"the same file as {owner[begin:]}"
        yield path[begin:] or ".", problem or _content(Path(path))


def _identity(path: str) -> object:
    try:
        state = os.stat(path)  # noqa: PTH116
    except OSError:
        return path
    return state.st_dev, state.st_ino


def _tar(source: Path, lists: Collection[str]) -> Iterator[tuple[str, bytes | str]]:
    owners: dict[str, str] = {}
    try:
        with source.open("rb") as packed, _Tar.open(fileobj=packed) as archive:
            for member in archive:
                name = _member_name(member.name)
                if member.isdir() or not _wanted(name, lists):
                    if _is_folder_link(member, name):
                        yield name, "a link to a folder, which tar --dereference would have packed"
                    continue
                content = _member(archive, member)
                if isinstance(content, bytes) and (target := _link_target(member)):
                    owner = target if _wanted(target, lists) else owners.setdefault(target, name)
                    content = content if owner == name else f"the same file as {owner}"
                yield name, content
    except _TooMuchError as error:
        what = (
            f"it is more than {room(source.stat().st_size) >> 20:,} MB, unpacked, far too much for its size"
        )
        raise SnnVoiceError(
            f"{source} is refused: {what}", hint="its folder, or a tar of its clips"
        ) from error
    except FileNotFoundError as error:
        raise SnnVoiceError(f"{source} does not exist", hint=_HINT) from error
    except tarfile.ReadError as error:
        # Both "no tar at all" and "cut off" are a ReadError; what begins like a tar is a damaged one.
        if is_tar(source):
            raise SnnVoiceError(f"{source} is damaged or cut off", hint="copy or make it again") from error
        raise SnnVoiceError(f"{source} is neither a folder nor a tar file", hint=_HINT) from error
    except _BROKEN_TAR as error:
        raise SnnVoiceError(f"{source} is damaged or cut off", hint="copy or make it again") from error
    except OSError as error:
        raise SnnVoiceError(f"{source} can't be read: {error.strerror or error}") from error


class _TooMuchError(Exception):
    """A tar unpacks to more than there is room for."""


class _Bounded:
    """The file of a tar, unpacked, of which no more is read than there is room for."""

    def __init__(self, file: IO[bytes], packed: int) -> None:
        self._file, self._room = file, room(packed)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _PIECE:
            raise tarfile.ReadError("a header that is longer than any name")
        self._check(self._file.tell() + size)
        return self._file.read(size)

    def seek(self, place: int) -> int:
        self._check(place)
        return self._file.seek(place)

    def _check(self, place: int) -> None:
        if place > self._room + tarfile.RECORDSIZE:
            raise _TooMuchError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Tar(tarfile.TarFile):
    """A tar whose reading takes no more memory than a clip, and no more time than recordings."""

    def __init__(self, name: Any = None, mode: Any = "r", fileobj: Any = None, **options: Any) -> None:
        # In a compressed one, this is what unpacks the file.
        under = getattr(fileobj, "fileobj", None) or getattr(fileobj, "_fp", None) or fileobj
        super().__init__(name, mode, _Bounded(fileobj, os.fstat(under.fileno()).st_size), **options)


def _member_name(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _is_folder_link(member: tarfile.TarInfo, name: str) -> bool:
    """Whether it is a link as `walk` follows them: not to a file, by its name."""
    path = PurePosixPath(name)
    return member.issym() and not path.suffix and not any(map(is_litter, path.parts))


def _link_target(member: tarfile.TarInfo) -> str:
    """The name of the member that a link leads to; empty where it is none."""
    if not (member.islnk() or member.issym()):
        return ""
    folder = posixpath.dirname(member.name) if member.issym() else ""
    return _member_name(posixpath.join(folder, member.linkname))


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | str:
    # Of a sparse one the zeros are not in the tar.
    if member.size > (room(0) if member.issparse() else audio.MAX_ENCODED_BYTES):
        return "too large"
    try:
        stream = archive.extractfile(member)  # follows links inside the tar
        if stream is None:
            return "not a file"
        return b"".join(iter(lambda: stream.read(_PIECE), b""))
    except (KeyError, RecursionError):  # a link to nothing, or to itself
        return "a link to what is not in the tar"


def is_tar(path: Path) -> bool:
    """Whether a file begins like a tar, compressed or not; it takes no more memory than a long name."""
    try:
        with path.open("rb") as packed, _Tar.open(fileobj=packed) as archive:
            return archive.next() is not None
    except (OSError, _TooMuchError, *_BROKEN_TAR):
        return False
