"""A program in a process of its own: read while it runs, watched, and ended with all that it has started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from snn_voice_server.teaching import leash

# So long it gets to end after SIGTERM; then it is killed.
_PATIENCE_SECONDS: Final = 5.0
_TICK_SECONDS: Final = 0.05
# A longer line comes in parts.
_LINE_BYTES: Final = 1 << 16
_PSS: Final = re.compile(rb"^Pss:\s+(\d+) kB$", re.MULTILINE)


class Child:
    """A program that runs, in a session of its own, with lower priority.

    Args:
        command: Absolute path of the program, and its arguments.
        on_line: Gets each line of its stdout, in a thread.
        on_error: Gets each line of its stderr, in a thread.
    """

    def __init__(
        self, command: Sequence[str], on_line: Callable[[str], None], on_error: Callable[[str], None]
    ) -> None:
        assert leash.__file__ is not None
        self._process = subprocess.Popen(
            [sys.executable, "-I", leash.__file__, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        pipes = ((self._process.stdout, on_line), (self._process.stderr, on_error))
        self._readers = [threading.Thread(target=_read, args=pipe, daemon=True) for pipe in pipes]
        for reader in self._readers:
            reader.start()

    @property
    def code(self) -> int | None:
        """Its exit code, below 0 for a signal; None as long as it runs."""
        return self._process.poll()

    def megabytes(self) -> float:
        """What it holds with all that it has started, shared memory counted once; takes milliseconds.

        0 where the system does not tell (it does on Linux).
        """
        session, kilobytes = self._process.pid, 0
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):  # it may be gone meanwhile
                if os.getsid(int(folder.name)) == session:
                    found = _PSS.search((folder / "smaps_rollup").read_bytes())
                    kilobytes += int(found[1]) if found else 0
        return kilobytes / 1024

    def ask_to_end(self) -> None:
        """Send SIGTERM, and do not wait."""
        self._signal(signal.SIGTERM)

    async def end(self) -> None:
        """End it and all that it has started; at once where it is over, within seconds in any case."""
        if self.code is None:
            self.ask_to_end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while self.code is None:
                    await asyncio.sleep(_TICK_SECONDS)
        self.kill()
        while self.code is None or any(reader.is_alive() for reader in self._readers):
            await asyncio.sleep(_TICK_SECONDS)

    def kill(self) -> None:
        """End it and all that it has started, without a chance to go on."""
        self._signal(signal.SIGKILL)

    def _signal(self, sig: signal.Signals) -> None:
        # Its session is its group, unless it has made others.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, sig)


def _read(pipe: IO[bytes], take: Callable[[str], None]) -> None:
    with pipe:
        for line in iter(lambda: pipe.readline(_LINE_BYTES), b""):
            take(line.decode("utf-8", "replace").rstrip())
