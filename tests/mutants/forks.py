"""Runs tests in forks of a process that has PyTorch already: to import it takes longer than most tests.

What is imported here is nobody's who is mutated: a fork imports our packages and the tests anew.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import multiprocessing
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FORK: Final = multiprocessing.get_context("fork")
# Of others, and slow to import.
_HEAVY: Final = ("torch", "torchaudio", "snntorch", "fastapi", "uvicorn", "typer", "hypothesis", "soundfile")
# A mutant may well allocate without an end.
_BYTES: Final = 10 << 30


@dataclass(frozen=True)
class Limits:
    """How long tests may run.

    Attributes:
        processor: Seconds of the processor: a busy machine makes no hang.
        clock: Seconds of the clock, for what waits for ever.
    """

    processor: int
    clock: float


@dataclass(frozen=True)
class Run:
    """What became of tests.

    Attributes:
        code: pytest's, or minus the signal that ended it.
        late: Whether they ran into a limit.
        processor: Seconds of the processor.
        clock: Seconds of the clock.
        said: The end of what they printed.
    """

    code: int
    late: bool
    processor: float
    clock: float
    said: str


def warm() -> None:
    """Import what forks are to find."""
    for name in _HEAVY:
        importlib.import_module(name)
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        plugin.load()


def run(tree: Path, tests: tuple[str, ...], limits: Limits, *, compiled: bool = False) -> Run:
    """Run tests of a tree until the first fails.

    Args:
        tree: A copy of the repository.
        tests: What pytest is given.
        limits: When to give up.
        compiled: Whether to leave what Python makes of the modules for later runs. Not of a mutant: it may be
            as long as the next one, and written in the same second.
    """
    log = tree / "log"
    process = _FORK.Process(target=_tests, args=(tree, tests, limits, log, compiled))
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process.start()
    process.join(limits.clock)
    waited = process.is_alive()
    # Its children too, also those of a run that is over.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    code = process.exitcode or 0
    late = waited or code == -signal.SIGXCPU
    return Run(code, late, spent, time.monotonic() - began, log.read_text(errors="replace")[-4000:])


def _tests(tree: Path, tests: tuple[str, ...], limits: Limits, log: Path, compiled: bool) -> None:
    code = 1
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (limits.processor, limits.processor))
        resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
        os.chdir(tree)
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]  # they are those of the repository
        paths = [str(tree / part) for part in (".", "server", "lite")]
        sys.path[:0] = paths
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        sys.dont_write_bytecode = not compiled
        os.environ["PYTHONDONTWRITEBYTECODE"] = "" if compiled else "1"
        import pytest

        # The profile "ci" draws the same examples each time.
        options = [
            "-x",
            "-q",
            "--tb=line",
            "--hypothesis-profile=ci",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
        ]
        code = int(pytest.main([*options, *tests]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
