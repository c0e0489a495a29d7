"""Runs a program so that it stays behind and ends with its parent: `python leash.py PROGRAM ARGUMENT...`.

A script that becomes the program, as nothing may be run between fork and exec in a process that has threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

_NICE = 10
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Lower the priority, ask for SIGTERM when the parent is gone, be the first to go without memory."""
    os.nice(_NICE)
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone before it could be asked for
            sys.exit(1)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
