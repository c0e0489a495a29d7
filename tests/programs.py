"""Programs of this project in a process of their own, as a user would start them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.places import ROOT


@contextmanager
def started(program: str, arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run Python code with arguments; what is still running in the end is killed.

    Args:
        program: The code.
        arguments: Its `sys.argv[1:]`.
        log: Takes its standard error.
    """
    path = os.pathsep.join([str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")])
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            stderr=written,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
