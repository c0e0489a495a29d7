"""A disk that fails: `disk.c`, compiled, and what it does in a process that was started with it."""

from __future__ import annotations

import ctypes
import errno
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_suffix(".c")
FULL: Final = errno.ENOSPC
READ_ONLY: Final = errno.EROFS
# In place of an error: the process is killed at that operation.
KILL: Final = -1
# It stands still before that operation, once.
STOP: Final = -2


def compiled(folder: Path) -> Path:
    """The library, for `LD_PRELOAD`.

    Raises:
        OSError: There is no compiler.
        subprocess.CalledProcessError: It fails, as on systems other than Linux.
    """
    path = folder / "disk.so"
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(path), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return path


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.disk_watch.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int]
    library.disk_watch.restype = None
    library.disk_seen.restype = ctypes.c_long
    return library


def count(folder: Path) -> None:
    """Count from now on what is written below a folder."""
    _library().disk_watch(bytes(folder.resolve()), 0, 0)


def fail(folder: Path, first: int, reason: int) -> None:
    """Let writing below a folder fail, from the operation of that number on (1 is the first)."""
    _library().disk_watch(bytes(folder.resolve()), first, reason)


def rest() -> int:
    """All is well again; how many operations there were."""
    seen = int(_library().disk_seen())
    _library().disk_watch(None, 0, 0)
    return seen
