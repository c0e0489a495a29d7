"""Process groups of `benchmarks.serving`: started, watched, weighed and ended; Linux only, by `/proc`."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from benchmarks.common import ALLOCATOR, ROOT

PROC = Path("/proc")
MARK = "SNN_VOICE_BENCHMARK"  # in the environment of every process of a server
PRIVATE = "SNN_VOICE_BENCHMARK_NET"  # set where the benchmark runs in a network of its own

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_STOP_SECONDS = 15.0
_LOG_LINES = 4
# Whether to take threads is each server's own business; these settings of ours would decide for it.
_NOT_INHERITED = (*ALLOCATOR, "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ServerError(Exception):
    """A server that does not start, dies or hangs."""


# --- /proc --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stat:
    """What the accounting needs of `/proc/PID/stat`.

    Attributes:
        parent: The parent's id.
        state: One letter; Z is a process that has ended.
        ticks: CPU time of the process and of its ended children, user and system.
        started: When it was started; with the process's id it names the process for good.
    """

    parent: int
    state: str
    ticks: int
    started: int


def parse_stat(text: str) -> Stat:
    """Read `/proc/PID/stat`."""
    # The program's name, which stands in brackets, may itself hold blanks and brackets.
    fields = text[text.rindex(")") + 1 :].split()
    return Stat(
        parent=int(fields[1]),
        state=fields[0],
        ticks=sum(int(field) for field in fields[11:15]),
        started=int(fields[19]),
    )


def parse_rollup(text: str) -> tuple[int, int]:
    """PSS and RSS in KiB of `/proc/PID/smaps_rollup`."""
    found = dict.fromkeys(("Pss:", "Rss:"), 0)
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in found:
            found[words[0]] = int(words[1])
    return found["Pss:"], found["Rss:"]


def family(parents: Mapping[int, int], roots: Iterable[int]) -> set[int]:
    """`roots` and all that descend from them.

    Args:
        parents: Process -> its parent.
        roots: Where to begin.
    """
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def all_stats(proc: Path = PROC) -> dict[int, Stat]:
    """Every process there is."""
    stats = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):  # it has ended meanwhile
                stats[int(entry.name)] = parse_stat((entry / "stat").read_text())
    return stats


class Group:
    """A process and all it has started, also those whose parent has ended.

    Args:
        root: The first process.
        mark: What its environment holds under `MARK`; by it children are found that were handed on to another
            parent. A program that gives itself a title may overwrite its environment, so who was seen once in
            the group stays in it.
    """

    def __init__(self, root: int, mark: str = "") -> None:
        self._root = root
        self._mark = f"{MARK}={mark}".encode() if mark else b""
        self._strangers: set[int] = set()
        self._seen: dict[int, int] = {}

    def stats(self) -> dict[int, Stat]:
        """The processes of the group, ended ones included."""
        stats = all_stats()
        roots = [self._root]
        roots += [pid for pid, stat in stats.items() if self._seen.get(pid) == stat.started]
        if self._mark:
            roots += [pid for pid in stats if self._is_marked(pid)]
        members = family({pid: stat.parent for pid, stat in stats.items()}, roots)
        found = {pid: stats[pid] for pid in members if pid in stats}
        self._seen.update((pid, stat.started) for pid, stat in found.items())
        return found

    def cpu_seconds(self) -> float:
        """CPU time so far, of living processes and of ended ones that their parents have waited for."""
        return sum(stat.ticks for stat in self.stats().values()) / _TICKS

    def memory_mib(self) -> tuple[float, float]:
        """PSS and RSS, in MiB: PSS counts a page that n processes share as 1/n of it for each."""
        pss = rss = 0
        for pid in self.stats():
            with contextlib.suppress(OSError):
                one = parse_rollup((PROC / str(pid) / "smaps_rollup").read_text())
                pss, rss = pss + one[0], rss + one[1]
        return pss / 1024, rss / 1024

    def alive(self) -> list[int]:
        """The processes that have not ended."""
        return [pid for pid, stat in self.stats().items() if stat.state not in "ZX"]

    def _is_marked(self, pid: int) -> bool:
        # Most processes are strangers, and stay so; their ids come again only after a long time.
        if pid in self._strangers:
            return False
        try:
            found = self._mark in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return False
        if not found and pid < self._root:
            self._strangers.add(pid)
        return found


# --- servers ------------------------------------------------------------------------------------------


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def environment(extra: Mapping[str, str], *, keep_malloc: bool = False) -> dict[str, str]:
    """What a server finds: our environment without our settings of threads and allocator.

    Args:
        extra: What is put in.
        keep_malloc: Set the allocator as the other benchmarks do.
    """
    kept = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
    # This checkout is measured, whatever else is installed; Ray's workers find it by this, too.
    paths = [str(ROOT), str(ROOT / "server"), *filter(None, [kept.get("PYTHONPATH")])]
    kept["PYTHONPATH"] = os.pathsep.join(paths)
    return kept | (ALLOCATOR if keep_malloc else {}) | dict(extra)


class Running:
    """A server that has been started; as a context manager it is ended.

    Args:
        command: The program.
        env: Its environment.
        log: Where its output goes.

    Raises:
        ServerError: There is no such program.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        mark = uuid.uuid4().hex
        self.log = log
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**env, MARK: mark},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise ServerError(f"{command[0]} can't be started: {error.strerror}") from error
        self.group = Group(self._process.pid, mark)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            ServerError: It has ended; the message holds the end of its log.
        """
        status = self._process.poll()
        if status is not None:
            raise ServerError(f"it ended with status {status}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, on one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " / ".join(lines[-_LOG_LINES:])[-400:] or "it said nothing"

    def stop(self) -> None:
        """End it: SIGTERM to the first process, and after some time SIGKILL to all that are left."""
        self.group.alive()  # who is in the group shows best as long as its first process lives
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        for _ in range(3):  # one that is being started shows in the next turn
            left = self.group.alive()
            if not left:
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)


# --- the load's process -------------------------------------------------------------------------------


class Loading:
    """The clients of `benchmarks.serving.client` in a process of their own.

    Args:
        settings: See `client.Load`.
        folder: Where its settings are written.
    """

    def __init__(self, settings: Mapping[str, Any], folder: Path) -> None:
        path = folder / "load.json"
        path.write_text(json.dumps(settings))
        self._limit = float(settings["timeout"]) + 30.0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.client", str(path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.group = Group(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def wait_until_ready(self) -> None:
        """Wait for the first requests.

        Raises:
            ServerError: The connections can't be opened.
        """
        if read_line(self._process.stdout, self._limit).strip() != "ready":
            raise ServerError("the clients could not begin")

    def finish(self, wait: float = 0.0) -> dict[str, Any]:
        """End the load, and get what the clients saw (see `client.Seen`).

        Args:
            wait: Let a burst last so long, in seconds.

        Raises:
            ServerError: The clients' process does not answer.
        """
        assert self._process.stdin is not None
        if not wait:
            self._process.stdin.close()
        text = read_line(self._process.stdout, wait or self._limit)
        if not text and wait:
            self._process.stdin.close()
            text = read_line(self._process.stdout, self._limit)
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise ServerError("the clients' process said nothing") from error
        return found


def read_line(stream: IO[str] | None, seconds: float) -> str:
    """A line, or "" where none has come in time."""
    assert stream is not None
    ready, _, _ = select.select([stream], [], [], seconds)
    return stream.readline() if ready else ""


# --- a network of one's own ---------------------------------------------------------------------------


def enter_private_network() -> str:
    """Start the benchmark again where the only network is a loopback of its own, unless it runs so already.

    Ray listens on every address of the machine, at a dozen ports, without a password. In a network of its own
    nobody else reaches them.

    Returns:
        "" within such a network, or why there can be none.
    """
    if os.environ.get(PRIVATE):
        return _loopback_up()
    program = shutil.which("unshare")
    if program is None:
        return "the program unshare (util-linux) is not installed"
    flags = ["--net"] if os.geteuid() == 0 else ["--map-root-user", "--net"]
    tried = subprocess.run([program, *flags, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        return (tried.stderr.strip().splitlines() or ["unshare failed"])[-1]
    sys.stdout.flush()
    command = [program, *flags, sys.executable, *sys.orig_argv[1:]]
    return os.execve(program, command, {**os.environ, PRIVATE: "1"})


def _loopback_up() -> str:
    """Switch the loopback on: a new network has it, but down."""
    get, put, up = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            answer = fcntl.ioctl(control, get, struct.pack("16sh14x", b"lo", 0))
            flags = struct.unpack("16sh14x", answer)[1]
            fcntl.ioctl(control, put, struct.pack("16sh14x", b"lo", flags | up))
    except OSError as error:
        return f"the loopback can't be switched on: {error.strerror}"
    return ""


def adopt_orphans() -> None:
    """Let processes whose parent has ended be ours, so that they are found and waited for."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
