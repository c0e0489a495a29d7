"""Does the service stay as it is, for half an hour at 80 % of what it can do?

Requests come at a fixed rate, and streams are open beside them. Some clients hang up in the middle, some send
what is no sound, and every now and then the models are loaded again. The rate is a share of what was measured
just before, with the streams open and the models loaded again twice. It ends with status 1 where the service
holds 5 % more memory in the end than after `--settle` minutes, or where an error was seen that nobody asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from benchmarks.common import RESULTS, ROOT, disturbance, machine
from benchmarks.report import Table, save
from benchmarks.serving.client import first_label, parse_response, request_bytes
from benchmarks.serving.tables import percentile
from benchmarks.slow_clients import Server
from snn_voice_hub.notation import percent
from snn_voice_hub.plotting import STYLE, matplotlib, picture

# Memory at the end may be that much of what it was after settling.
MOST_GROWTH = 1.05
_CHUNK_SECONDS = 0.1
_PATIENCE = 30.0
# What spoils a stream: another checkpoint came, which it is told.
_MODEL_GONE = 1012


@dataclass
class Sample:
    """The service at one moment.

    Attributes:
        at: Seconds since the beginning.
        memory: Resident, in MiB.
        files: Open descriptors.
        threads: How many.
    """

    at: float
    memory: float
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int, at: float) -> Sample:
        """Look at a process."""
        folder = Path(f"/proc/{pid}")
        status = dict(
            line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line
        )
        memory = int(status["VmRSS"].split()[0]) / 1024
        return cls(at, memory, len(list((folder / "fd").iterdir())), int(status["Threads"]))


@dataclass
class Soaked:
    """What was seen.

    Attributes:
        minute: Length of a row, in seconds.
        answers: When a right answer came, and after how many milliseconds.
        asked: Errors that were asked for, by kind.
        unasked: Others.
        samples: Of the service.
    """

    minute: float = 60.0
    answers: list[tuple[float, float]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    unasked: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def rows(self) -> list[tuple[float, int, float | None, float | None, float, int, int]]:
        """A row a minute: its end in minutes, answers, median and p99 in ms, MiB, descriptors, threads."""
        found = []
        last = self.samples[-1].at if self.samples else 0.0
        for number in range(max(1, round(last / self.minute))):
            low, high = number * self.minute, (number + 1) * self.minute
            times = [spent for at, spent in self.answers if low <= at < high]
            inside = [sample for sample in self.samples if low <= sample.at < high] or self.samples[-1:]
            newest = inside[-1]
            memory = float(np.median([sample.memory for sample in inside]))
            figures = percentile(times, 0.5), percentile(times, 0.99)
            found.append((high / 60, len(times), *figures, memory, newest.files, newest.threads))
        return found

    def growth(self, settle: float) -> float:
        """Memory in the last minute, as a multiple of what it was in the minute after `settle` seconds."""
        end = self.samples[-1].at
        before = [s.memory for s in self.samples if settle <= s.at < settle + self.minute]
        after = [s.memory for s in self.samples if s.at >= end - self.minute]
        return float(np.median(after) / np.median(before or [self.samples[0].memory]))

    def problems(self, settle: float) -> list[str]:
        """Why it has failed; none where it has not."""
        found = [f"{count} times {kind}" for kind, count in self.unasked.items()]
        if (growth := self.growth(settle)) > MOST_GROWTH:
            found.append(f"memory grew by {percent(growth - 1)}")
        if not self.answers:
            found.append("there was no answer")
        return found


class Soak:
    """The clients of a service, all in one event loop.

    Args:
        host: Where it listens.
        port: Where it listens.
        clips: WAV files.
        seed: Of all that is drawn.
        minute: Length of a row, in seconds.
    """

    def __init__(self, host: str, port: int, clips: Sequence[bytes], seed: int, minute: float = 60.0) -> None:
        self.seen = Soaked(minute)
        self._address = host, port
        self._requests = [request_bytes(host, port, "/classify", clip) for clip in clips]
        self._sounds = [clip[44:] for clip in clips]
        self._random = random.Random(seed)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._begun = time.monotonic()
        self._counts = False

    def begin(self) -> None:
        """Count from now on."""
        self._begun, self._counts = time.monotonic(), True

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    async def capacity(self, seconds: float, clients: int) -> float:
        """Answers a second where so many clients ask as soon as they are answered."""
        end, count = time.monotonic() + seconds, 0

        async def client() -> None:
            nonlocal count
            while time.monotonic() < end:
                await self.ask()
                count += 1

        begun = time.monotonic()
        await asyncio.gather(*(client() for _ in range(clients)))
        return count / (time.monotonic() - begun)

    async def requests(self, rate: float, until: float) -> None:
        """Ask at a rate, whatever answers take; one in a hundred hangs up, one in a hundred is no sound."""
        waiting: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while self.now < until:
            due += self._random.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            what = self._random.random()
            work = self.hang_up() if what < 0.01 else self.no_sound() if what < 0.02 else self.ask()
            task = asyncio.create_task(work)
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.gather(*waiting)

    async def ask(self) -> None:
        """A clip, and its answer."""
        asked = time.perf_counter()
        status, body = await self._exchange(self._random.choice(self._requests))
        if status == 200 and first_label(body) is not None:
            if self._counts:
                self.seen.answers.append((self.now, 1e3 * (time.perf_counter() - asked)))
        else:
            self.seen.unasked[f"HTTP {status}"] += 1

    async def no_sound(self) -> None:
        """Bytes that are no sound, which have to be refused."""
        noise = self._random.randbytes(2000)
        status, body = await self._exchange(request_bytes(*self._address, "/classify", noise))
        code = json.loads(body)["error"]["code"] if status == 415 else ""
        (self.seen.asked if code == "not_audio" else self.seen.unasked)[f"HTTP {status}"] += 1

    async def hang_up(self) -> None:
        """A clip of which a part is sent, or all of it, and nobody waits for the answer."""
        request = self._random.choice(self._requests)
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(*self._address)
            writer.write(request[: self._random.randint(1, len(request))])
            await writer.drain()
            writer.transport.abort()
        self.seen.asked["hung up"] += 1

    async def _exchange(self, request: bytes) -> tuple[int | str, bytes]:
        """Status and body of an answer; what went wrong in place of a status."""
        try:
            async with asyncio.timeout(_PATIENCE):
                # A connection that the service has just closed, as it may, is no error of an answer.
                reader, writer = self._idle.pop() if self._idle else await self._opened()
                if reader.at_eof():
                    reader, writer = await self._opened()
                writer.write(request)
                data = b""
                while (found := parse_response(data)) is None:
                    if not (more := await reader.read(1 << 16)):
                        return "cut off", b""
                    data += more
        except (OSError, TimeoutError, ValueError) as error:
            return type(error).__name__, b""
        if found[0].keeps_alive:
            self._idle.append((reader, writer))
        else:
            writer.close()
        return found[0].status, found[0].body

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._address)

    async def streams(self, count: int, until: float) -> None:
        """So many streams at any time; each lasts some seconds, and one in five hangs up."""

        async def one() -> None:
            while self.now < until:
                await self.stream(self._random.uniform(3, 15), hangs_up=self._random.random() < 0.2)

        await asyncio.gather(*(one() for _ in range(count)))

    async def stream(self, seconds: float, *, hangs_up: bool) -> None:
        """A stream in real time."""
        sound = self._random.choice(self._sounds)
        size = 2 * round(16_000 * _CHUNK_SECONDS)
        try:
            async with connect("ws://{}:{}/stream".format(*self._address)) as socket:
                await socket.send(json.dumps({"sample_rate": 16_000, "encoding": "pcm16", "scores": True}))
                reading = asyncio.create_task(_last_of(socket))
                due, end = time.monotonic(), time.monotonic() + seconds
                at = 0
                while time.monotonic() < end and not reading.done():
                    await socket.send((sound + sound)[at : at + size])
                    at = (at + size) % len(sound)
                    due += _CHUNK_SECONDS
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                if hangs_up:
                    socket.transport.abort()
                    reading.cancel()
                    self.seen.asked["a stream hung up"] += 1
                    return
                if not reading.done():
                    await socket.send('{"type": "close"}')
                async with asyncio.timeout(_PATIENCE):
                    last = await reading
        except ConnectionClosed as closed:
            last = {"type": "closed", "code": closed.rcvd.code if closed.rcvd else None}
        except (OSError, WebSocketException, TimeoutError) as error:
            last = {"type": type(error).__name__}
        code = last.get("code")
        if code == _MODEL_GONE:
            self.seen.asked["a stream whose model was loaded again"] += 1
        elif code != 1000:
            self.seen.unasked[f"a stream ended by {last.get('type')} {code}"] += 1

    async def watch(self, pid: int, until: float) -> None:
        """Look at it every second."""
        while self.now < until:
            self.seen.samples.append(Sample.of(pid, self.now))
            await asyncio.sleep(min(1.0, self.seen.minute / 10))

    async def reloads(self, server: Server, every: float, until: float) -> None:
        """Have the models loaded again."""
        while self.now + every < until:
            await asyncio.sleep(every)
            server.process.send_signal(signal.SIGHUP)
            self.seen.asked["the models were loaded again"] += 1


async def _last_of(socket: Any) -> dict[str, Any]:
    """The last message of a stream."""
    last: dict[str, Any] = {}
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            last = json.loads(message)
    return last


async def soak(
    server: Server, given: argparse.Namespace, clips: Sequence[bytes]
) -> tuple[Soaked, float, float]:
    """Measure, then soak.

    Returns:
        What was seen, the capacity and the rate, in clips a second.
    """
    clients = Soak(server.host, server.port, clips, given.seed, given.minute)
    seconds = 60 * given.minutes
    beside = asyncio.gather(
        clients.streams(given.streams, given.measure),
        clients.reloads(server, given.measure / 3, given.measure),
    )
    capacity = await clients.capacity(given.measure, given.clients)
    await beside
    clients.seen.asked.clear()
    rate = given.rate or given.share * capacity
    clients.begin()
    await asyncio.gather(
        clients.requests(rate, seconds),
        clients.streams(given.streams, seconds),
        clients.watch(server.process.pid, seconds),
        clients.reloads(server, 60 * given.reload, seconds),
    )
    return clients.seen, capacity, rate


def draw(seen: Soaked, path: Path) -> None:
    """The curve: memory, and how long answers took."""
    mpl, blank = matplotlib("drawing a curve")
    with mpl.rc_context(STYLE):
        figure = blank(figsize=(7.5, 5.0))
        upper, lower = figure.subplots(2, sharex=True)
        upper.plot([s.at / 60 for s in seen.samples], [s.memory for s in seen.samples])
        upper.set_ylabel("resident memory, MiB")
        upper.set_ylim(bottom=0)
        rows = seen.rows()
        for index, name in ((2, "median"), (3, "p99")):
            lower.plot([row[0] for row in rows], [row[index] for row in rows], marker="o", label=name)
        lower.set_ylabel("ms an answer")
        lower.set_xlabel("minutes")
        lower.set_ylim(bottom=0)
        lower.legend()
        with picture(path) as (part, form):
            figure.savefig(part, format=form)


def report(seen: Soaked, given: argparse.Namespace, capacity: float, rate: float) -> str:
    """What is written, in Markdown."""
    table = Table("minute", "answers", "median ms", "p99 ms", "MiB", "files", "threads")
    for minute, count, middle, slow, memory, files, threads in seen.rows():
        table.add(f"{minute:g}", count, middle, slow, round(memory, 1), files, threads)
    errors = Table("kind", "count", "asked for")
    for counter, asked in ((seen.asked, "yes"), (seen.unasked, "no")):
        for kind, count in sorted(counter.items()):
            errors.add(kind, count, asked)
    settle = 60 * given.settle
    command = f"`python -m benchmarks.soak --minutes {given.minutes:g}`"
    told = (
        f"{command}, seed {given.seed}: {rate:.1f} requests a second of {capacity:.1f} that were measured, "
        f"beside {given.streams} streams. Memory in the end is {seen.growth(settle):.3f} of what it was "
        f"after {given.settle:g} minutes."
    )
    failed = "; ".join(seen.problems(settle))
    verdict = f"**Failed**: {failed}." if failed else "Nothing failed that was not asked to."
    parts = ["# Half an hour at most of what it can do", machine(), disturbance(1), told, verdict]
    return "\n\n".join([*filter(None, parts), str(table), str(errors)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 where it failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--settle", type=float, default=5.0, help="minutes after which memory has settled")
    parser.add_argument("--share", type=float, default=0.8, help="of the capacity")
    parser.add_argument("--rate", type=float, help="requests a second, in place of a share")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--clients", type=int, default=16, help="while the capacity is measured")
    parser.add_argument("--measure", type=float, default=60.0, help="seconds of that")
    parser.add_argument("--reload", type=float, default=2.0, help="minutes until the models are loaded again")
    parser.add_argument("--minute", type=float, default=60.0, help=argparse.SUPPRESS)
    parser.add_argument("--model", default="resmel-snn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep the table and the curve")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where")
    given = parser.parse_args(argv)
    clips = [path.read_bytes() for path in sorted((ROOT / "examples").glob("*.wav"))]
    server = Server("--model", given.model)
    try:
        seen, capacity, rate = asyncio.run(soak(server, given, clips))
    finally:
        code = server.stop()
    if code:
        seen.unasked[f"exit code {code}"] += 1
    text = report(seen, given, capacity, rate)
    print(text)
    if given.write:
        save("soak", f"{text}\n\n![](soak.png)", given.out)
        draw(seen, given.out / "soak.png")
    return int(bool(seen.problems(60 * given.settle)))


if __name__ == "__main__":
    sys.exit(main())
