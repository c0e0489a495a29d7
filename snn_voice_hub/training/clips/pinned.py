"""Files of others that are used only as they were when somebody looked at them: known by their SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from snn_voice_hub.errors import CheckpointError


def read_file(path: Path, hint: str) -> bytes:
    """What is in a file.

    Raises:
        CheckpointError: It can't be read; `hint` says what should be there.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}", hint=hint) from error


def digest(content: bytes) -> str:
    """SHA-256 of what is in a file, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def check(content: bytes, wanted: str, path: Path, name: str, hint: str) -> None:
    """See that what is in a file is what was pinned.

    Args:
        content: Of the file.
        wanted: SHA-256 that it has to have.
        path: Where it lies.
        name: What it should be.
        hint: Where that can be had.

    Raises:
        CheckpointError: It is not. What is loaded is to be what was checked, so load it from memory.
    """
    if (found := digest(content)) != wanted:
        raise CheckpointError(f"{path} is not that of {name}: its SHA-256 is {found}", hint=hint)
