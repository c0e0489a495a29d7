"""Files that are complete or absent."""

from __future__ import annotations

import os
from pathlib import Path

from snn_voice_hub.errors import SnnVoiceError


def check_target(path: str | os.PathLike[str]) -> Path:
    """Refuse a file that can't be written, before anything long is done for it.

    Raises:
        SnnVoiceError: Its folder does not exist, or it is one.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise _unwritable(target, f"there is no folder {target.parent}")
    if target.is_dir():
        raise _unwritable(target, "it is a folder")
    return target


def write_whole(target: Path, content: bytes) -> None:
    """Write a file; a half of it is never seen under its name.

    Raises:
        SnnVoiceError: It can't be written.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _unwritable(target, error.strerror or str(error)) from error


def _unwritable(target: Path, why: str) -> SnnVoiceError:
    return SnnVoiceError(f"{target} can't be written: {why}", hint="--out names a file", code="unwritable")
