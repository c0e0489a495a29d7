"""Zips of strangers, and other packed files: what reading a damaged one may raise, and when to leave it."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import Final

# What Python's `zipfile` raises. RuntimeError: a password is needed; NotImplementedError is one, too.
# OverflowError: a place beyond all files. ValueError: a name that is no text.
ZIP_ERRORS: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, OSError, RuntimeError, OverflowError, ValueError),
)

# Zeros can be packed a thousandfold; recordings, and numbers that differ, never a hundredfold. So many bytes
# do no harm.
_HARMLESS: Final = 64 << 20
_MOST_PACKED: Final = 100
# zlib unpacks with little memory; LZMA takes as much as the file says.
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def room(packed: int) -> int:
    """How many bytes a packed file of so many may become; what becomes more was made to fill a memory."""
    return max(_HARMLESS, packed * _MOST_PACKED)


def what_is_wrong(entries: Iterable[zipfile.ZipInfo], packed: int, most: int) -> str:
    """Why entries of a zip are not to be read, before any of them is; empty where they may.

    `zipfile` never reads more of an entry than the zip says, so the sizes in there can be relied on.

    Args:
        entries: Those that are to be read.
        packed: Bytes of the zip.
        most: Bytes that they may be together in any case.
    """
    unpacked = 0
    for entry in entries:
        if entry.compress_type not in METHODS:
            return "it is packed in a way that is not read: an ordinary zip is wanted"
        unpacked += entry.file_size
    if unpacked > most:
        return f"it is {unpacked >> 20:,} MB, unpacked, and {most >> 20:,} are read"
    if unpacked > room(packed):
        return f"it is {unpacked >> 20:,} MB, unpacked, {unpacked // max(packed, 1):,} times its size"
    return ""
