"""`snn-voice` in a network of its own: Ray listens on about a dozen ports."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_CALL = "from snn_voice_hub.cli import main; main()"
_LOOPBACK = 'ip link set lo up && exec "$@"'
# A network namespace for root; for others one inside a user namespace, where the system allows that.
_WAYS = (["unshare", "-n"], ["unshare", "-rn"])
TIMEOUT = 240
# Seconds after which a service on Ray hangs, however busy the machine is.
STALL = 1200


@functools.cache
def inside() -> list[str] | None:
    """The beginning of a command line that makes the rest run in a namespace with loopback only."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return None
    for way in _WAYS:
        command = [*way, "sh", "-c", _LOOPBACK, "sh"]
        if subprocess.run([*command, "true"], capture_output=True, timeout=20, check=False).returncode == 0:
            return command
    return None


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`snn-voice ARGUMENTS`, started; its process is the program itself."""
    command = inside()
    if command is None:
        pytest.skip("no network namespace can be made (unshare -n), and Ray shall not listen outside of one")
    return subprocess.Popen(
        [*command, sys.executable, "-c", _CALL, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "120", **environment},
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for it."""
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end:\n{out}\n{err}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`snn-voice ARGUMENTS`, to its end."""
    return finish(start(*arguments, **environment))


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Wait until something is so, while a process runs."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def network_of(process: subprocess.Popen[str]) -> str:
    """The network namespace of a process."""
    return os.readlink(f"/proc/{process.pid}/ns/net")  # noqa: PTH115


def listening(process: subprocess.Popen[str]) -> set[str]:
    """The addresses, in hexadecimal, at which something listens in the network of a process."""
    lines: list[str] = []
    for table in ("tcp", "tcp6"):
        lines += Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]
    return {fields[1].rpartition(":")[0] for fields in map(str.split, lines) if fields[3] == "0A"}


def those_of(network: str, name: bytes = b"MapWorker") -> list[int]:
    """Processes of Ray in a network namespace, by default its workers.

    Two agents of Ray live on for some half a minute after a kill; they do nothing.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            inside = os.readlink(entry / "ns/net") == network  # noqa: PTH115
            if inside and name in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


class Ready:
    """Deployments that are there."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def start(self) -> None: ...

    def handle(self, _: str) -> Any:
        return self._handle

    async def stop(self) -> None: ...
