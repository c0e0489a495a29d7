"""Folders, files, patterns and buckets -> the clips in them, listed while the first are classified.

Every clip has one name: an absolute path on this disk, or a URI such as `s3://bucket/a.wav`. Resuming goes by
it, so it does not depend on the folder in which the command is started.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from snn_voice_hub.errors import SnnVoiceError, needs_extra
from snn_voice_hub.folders import is_litter, is_sound, no_sound, walk

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class ClipEntry:
    """One clip of a listing.

    Attributes:
        name: Its name in the answers.
        place: Where its file system finds it; bytes, because a file's name need not be UTF-8.
        problem: Why it has no answer, after "name: ": a folder that could not be listed, a link that leads
            nowhere. Empty for clips.
    """

    name: str
    place: bytes
    problem: str = ""


@dataclass(frozen=True)
class ClipSource:
    """What one argument names; all single files of this disk are one source.

    Attributes:
        name: Name of the folder, without a "/" at the end.
        root: The folder's path in its file system.
        filesystem: A `pyarrow.fs.FileSystem`; None for this disk.
        pattern: What the rest of a clip's path has to match; None for all sound files.
        files: Single files, by name; with them there is no folder.
    """

    name: str
    root: str = ""
    filesystem: Any = None
    pattern: re.Pattern[str] | None = None
    files: dict[str, bytes] = field(default_factory=dict)

    def entries(self) -> Iterator[ClipEntry]:
        """The clips, folder by folder, sorted inside each; what is in memory is one folder's list."""
        if self.files:
            yield from (ClipEntry(name, place) for name, place in self.files.items())
            return
        walk = _walk_disk(self.root) if self.filesystem is None else _walk(self.filesystem, self.root)
        begin = len(os.fsencode(self.root))
        for place, problem in walk:
            rest = _readable(place[begin:])
            if problem or self.holds(rest):
                yield ClipEntry(self.name + rest, place, problem)

    def holds(self, rest: str) -> bool:
        """Whether a file is one of this source; `rest` is what follows the folder's name."""
        if self.pattern is not None and not self.pattern.fullmatch(rest.lstrip("/")):
            return False
        *folders, name = rest.split("/")
        return is_sound(name) and not any(map(is_litter, folders))


class Sources:
    """All arguments of a run. A clip that several of them name belongs to the first of these.

    Args:
        items: The sources.
    """

    def __init__(self, items: Sequence[ClipSource]) -> None:
        self.items = list(items)
        # A shell may expand its pattern to thousands of folders: they are found by name, not one by one.
        self._folders: dict[str, int] = {}
        self._others: list[int] = []
        for index, source in enumerate(self.items):
            if source.pattern is None and not source.files:
                self._folders.setdefault(source.name, index)
            else:
                self._others.append(index)

    def entries(self, index: int) -> Iterator[ClipEntry]:
        """The clips of one source, without those that an earlier source has."""
        for entry in self.items[index].entries():
            if entry.problem or self._owner(entry.name, index) == index:
                yield entry

    def _owner(self, name: str, index: int) -> int:
        found = index
        folder = name
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            earlier = self._folders.get(folder, found)
            if earlier < found and self.items[earlier].holds(name[len(folder) :]):
                found = earlier
        for other in self._others:
            if other >= found:
                break
            source = self.items[other]
            inside = name.startswith(f"{source.name}/") and source.holds(name[len(source.name) :])
            if name in source.files or (not source.files and inside):
                return other
        return found


def find_sources(arguments: Iterable[str]) -> Sources:
    """What the arguments of the command name; each is looked at, and has to hold a clip.

    Args:
        arguments: Files and folders of this disk, URIs of what pyarrow or fsspec can open (`s3://`, `gs://`,
            `hdfs://`, ...), and patterns with `*`, `**` and, on this disk, `?`.

    Returns:
        The sources.

    Raises:
        SnnVoiceError: An argument names nothing, or no sound.
        MissingExtraError: A URI, without pyarrow.
    """
    files: dict[str, bytes] = {}
    folders: list[ClipSource] = []
    for argument in arguments:
        if argument == "-":
            raise SnnVoiceError("stdin and --ray do not go together", hint="name folders, files or URIs")
        uri = _URI.match(argument)
        if uri and uri.group().lower() == "file://":
            argument, uri = unquote(urlsplit(argument).path), None
        if uri:
            folders.append(_remote(argument))
        elif Path(argument).is_file():
            path = os.path.abspath(argument)  # noqa: PTH100  (a Path would follow symbolic links)
            files[_readable(os.fsencode(path))] = os.fsencode(path)
        else:
            folders.append(_on_disk(argument))
    for source in folders:
        _expect_sound(source)
    return Sources([ClipSource("", files=files), *folders] if files else folders)


def _expect_sound(source: ClipSource) -> None:
    """Refuse a folder that can't be listed, or in which nothing is to be tried."""
    if source.files:
        return
    first = next(source.entries(), None)
    if first is not None and first.problem and first.name == source.name:
        raise SnnVoiceError(f"{first.name} {first.problem}")
    if first is None and (source.pattern is not None or source.filesystem is not None):
        raise SnnVoiceError(f"{source.name} holds no sound files" + " of that pattern" * bool(source.pattern))
    if first is None:
        raise no_sound(source.root)


def _on_disk(argument: str) -> ClipSource:
    folder, pattern = _split_pattern(argument, r"[*?]") if not Path(argument).exists() else (argument, None)
    if not argument or not Path(folder).is_dir():
        hint = "a folder, a file, a pattern or a URI"
        raise SnnVoiceError(f"{argument or 'a clip without a name'} does not exist", hint=hint)
    root = os.path.abspath(folder).rstrip("/")  # noqa: PTH100
    return ClipSource(_readable(os.fsencode(root)), root, None, pattern)


def _remote(uri: str) -> ClipSource:
    address, mark, query = uri.partition("?")
    address, pattern = _split_pattern(address, r"\*")
    filesystem, root = open_filesystem(address + mark + query)
    name, root = without_secrets(address).rstrip("/"), root.rstrip("/")
    if pattern is None:
        try:
            info = filesystem.get_file_info(root or "/")
        except OSError as error:
            raise cannot_open(uri, error) from error
        if info.is_file:
            return ClipSource(name, root, filesystem, None, {name: root.encode()})
        if info.type.name == "NotFound":
            raise SnnVoiceError(f"{name} does not exist")
    return ClipSource(name, root, filesystem, pattern)


def open_filesystem(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it.

    Args:
        uri: Of any kind that pyarrow knows, or fsspec with the packages that are installed.

    Returns:
        A `pyarrow.fs.FileSystem`, and the path.

    Raises:
        SnnVoiceError: It can't be opened.
        MissingExtraError: pyarrow is not installed.
    """
    with needs_extra("a URI", "ray", "pyarrow", ("pyarrow", "fsspec")):
        import fsspec
        import pyarrow
        from pyarrow import fs
    uri = uri.replace(" ", "%20")  # legal in a bucket's keys, not in a URI
    try:
        return fs.FileSystem.from_uri(uri)  # type: ignore[no-any-return]
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        try:
            found, path = fsspec.url_to_fs(uri)
        except (ImportError, ValueError, OSError):
            raise cannot_open(uri, error) from error
        return fs.PyFileSystem(fs.FSSpecHandler(found)), path
    except OSError as error:
        raise cannot_open(uri, error) from error


def without_secrets(uri: str) -> str:
    """A URI without its query and user, which may hold keys: so it goes into names and messages."""
    return re.sub(r"(://)[^/@]*@", r"\1", uri.partition("?")[0]) if _URI.match(uri) else uri


def cannot_open(uri: str, error: Exception) -> SnnVoiceError:
    """What to say of a URI that can't be opened."""
    known = without_secrets(uri)
    reason = " ".join(str(error).replace(uri, known).replace(uri.replace(" ", "%20"), known).split())
    hint = reason if len(reason) < 300 else f"{reason[:300]}..."
    return SnnVoiceError(f"{known} can't be opened", hint=hint)


def _split_pattern(path: str, wild: str) -> tuple[str, re.Pattern[str] | None]:
    """The folder before the first wildcard, and the rest as a regular expression."""
    found = re.search(wild, path)
    if found is None:
        return path, None
    cut = path.rfind("/", 0, found.start()) + 1
    rest = path[cut:]
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)" if "?" in wild else r"(\*\*/|\*\*|\*)", rest)
    pattern = re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)
    return path[:cut] or ".", pattern


def _readable(path: bytes) -> str:
    """A path as text that can be written: bytes that are no UTF-8 are spelt out."""
    return path.decode("utf-8", "backslashreplace")


def _walk_disk(root: str) -> Iterator[tuple[bytes, str]]:
    """Files below a folder of this disk."""
    for found in walk(root or "/"):
        if not found.lossless:
            yield os.fsencode(found.path), found.problem


def _walk(filesystem: Any, root: str) -> Iterator[tuple[bytes, str]]:
    """Files below a folder of another file system, one request a folder."""
    from pyarrow import fs

    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            found = filesystem.get_file_info(fs.FileSelector(folder or "/"))
        except OSError as error:
            yield folder.encode(), "can't be listed: " + " ".join(str(error).split())[:300]
            continue
        found.sort(key=lambda info: info.path)
        for info in found:
            if info.is_file:
                yield info.path.encode(), ""
        inside = [info for info in found if info.type.name == "Directory" and not is_litter(info.base_name)]
        folders += reversed([info.path for info in inside])
