"""Files that are complete or absent, and an error that says why where they can't be written."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import Final

from snn_voice_hub.errors import SnnVoiceError

OUT_HINT = "--out names a file"

# What the names of files end with that are being written.
PART: Final = ".part"

# Bytes that are looked through at once for the end of a line.
_PIECE: Final = 1 << 16


def check_target(path: str | os.PathLike[str], *, hint: str = OUT_HINT) -> Path:
    """Refuse a file that can't be written, before anything long is done for it.

    Args:
        path: The file.
        hint: What the user can do where it can't be written.

    Raises:
        SnnVoiceError: Its folder does not exist, or it is one.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise _unwritable(target, f"there is no folder {target.parent}", hint)
    if target.is_dir():
        raise _unwritable(target, "it is a folder", hint)
    return target


def write_whole(target: Path, content: bytes | str, *, hint: str = OUT_HINT) -> None:
    """Write a file; a half of it is never seen under its name.

    Args:
        target: Where; its folder is there.
        content: Text is written as UTF-8.
        hint: What the user can do where it can't be written.

    Raises:
        SnnVoiceError: It can't be written.
    """
    try:
        write_together({target: content})
    except OSError as error:
        raise _unwritable(target, error.strerror or str(error), hint) from error


def write_together(files: Mapping[Path, bytes | str]) -> None:
    """Write files that belong together: none is exchanged before all are on the disk.

    Args:
        files: Content by path; text is written as UTF-8. Their folders are there.

    Raises:
        OSError: They can't be written; what was there stays.
    """
    with ExitStack() as exchanged:  # in the reverse order of entering
        parts = {target: exchanged.enter_context(replacing(target)) for target in reversed(list(files))}
        for target, content in files.items():
            parts[target].write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to; what lies there at the end takes the place of `target`, at once.

    Each call has a path of its own: of several processes that write the same file, the last one's stays.

    Args:
        target: The file; its folder is there.

    Raises:
        OSError: It can't be exchanged. Then, or where the block fails, what was there stays.
    """
    part = target.with_name(f".{uuid.uuid4().hex}{PART}")
    try:
        yield part
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a file of lines; where it can't be written, the file is as it was.

    What a process that was killed has left of a line is taken away first.

    Args:
        path: The file; made if missing, its folder is there.
        line: Text without line ends, written as UTF-8.

    Raises:
        OSError: It can't be written.
    """
    content = f"{line}\n".encode()
    with path.open("a+b", buffering=0) as file:
        size = _whole_lines(file)
        file.truncate(size)
        _add(file, size, content)


def append_whole(path: Path, content: bytes) -> None:
    """Add to a file; where it can't be written, the file is as it was.

    Args:
        path: The file; made if missing, its folder is there.
        content: What is added.

    Raises:
        OSError: It can't be written.
    """
    with path.open("ab", buffering=0) as file:
        _add(file, file.seek(0, os.SEEK_END), content)


def _add(file: RawIOBase, size: int, content: bytes) -> None:
    try:
        if file.write(content) != len(content):  # the disk took a part, and has no room for the rest
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        with suppress(OSError):
            file.truncate(size)
        raise


def _whole_lines(file: RawIOBase) -> int:
    """So many bytes of a file are lines that have an end."""
    size = file.seek(0, os.SEEK_END)
    while size:
        begin = max(0, size - _PIECE)
        file.seek(begin)
        at = (file.read(size - begin) or b"").rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        size = begin
    return 0


def is_part(name: str) -> bool:
    """Whether a file of this name was never completed: whoever wrote it does so still, or was killed."""
    return name.startswith(".") and name.endswith(PART)


@contextmanager
def writing_into(folder: Path, hint: str) -> Iterator[None]:
    """Say of which folder it is where anything inside can't write: a full disk, no right to do it.

    Args:
        folder: Where the files go.
        hint: What the user can do about it.

    Raises:
        SnnVoiceError: It can't be written.
    """
    try:
        yield
    except (ConnectionError, TimeoutError):  # other processes, not the disk
        raise
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error), hint) from error


def _unwritable(target: Path, why: str, hint: str = OUT_HINT) -> SnnVoiceError:
    return SnnVoiceError(f"{target} can't be written: {why}", hint=hint, code="unwritable")
