"""Files that are complete or absent, and an error that says why where they can't be written."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from snn_voice_hub.errors import SnnVoiceError

OUT_HINT = "--out names a file"


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
def replacing(target: Path, *, shared: bool = False) -> Iterator[Path]:
    """A path to write to; what lies there at the end takes the place of `target`, at once.

    Args:
        target: The file; its folder is there.
        shared: Others may write the same file at the same time. What a process leaves that is killed while
            it writes is then not overwritten by the next one.

    Raises:
        OSError: It can't be exchanged. Then, or where the block fails, what was there stays.
    """
    part = target.with_name(f".{uuid.uuid4().hex if shared else target.name}.part")
    try:
        yield part
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


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
