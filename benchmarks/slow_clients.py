"""What do slow clients cost the others?

Many connections that are silent, send their headers or their body byte by byte, or never read their answers,
beside clients that ask one clip after another. The same clients are measured alone before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common import ROOT, begin, disturbance, make_parser
from benchmarks.report import Report, Table
from benchmarks.serving.client import parse_response, request_bytes
from benchmarks.serving.process import environment, parse_rollup
from benchmarks.serving.tables import percentile

_PAUSE = 5.0  # between the bytes of a slow client
_HEAD = b"POST /classify HTTP/1.1\r\nHost: x\r\n"


@dataclass
class Seen:
    """What the good clients saw in one phase.

    Attributes:
        milliseconds: Of each answer.
        lost: What became of requests without a right answer.
        memory: MiB of the server at the end (PSS).
        cut: Slow connections that the server ended.
    """

    milliseconds: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    memory: float = 0.0
    cut: int = 0


class Server:
    """`snn-voice serve` with its default settings, on a free port."""

    def __init__(self, *arguments: str) -> None:
        program = "import sys; from snn_voice_hub.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", "--device", "cpu", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=environment({}),
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://([\d.]+):(\d+)", self.process.stdout.readline())
        if found is None:
            raise SystemExit("the service does not start")
        self.host, self.port = found[1], int(found[2])

    def memory(self) -> float:
        """MiB (PSS)."""
        return parse_rollup(Path(f"/proc/{self.process.pid}/smaps_rollup").read_text())[0] / 1024

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(60)


async def good(server: Server, request: bytes, end: float, seen: Seen) -> None:
    """One request after the other on one connection, until the time is over."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    while time.monotonic() < end:
        asked = time.perf_counter()
        data = b""
        try:
            writer.write(request)
            while (found := parse_response(data)) is None:
                more = await asyncio.wait_for(reader.read(65536), 30)
                if not more:
                    raise ConnectionError("closed")
                data += more
        except (OSError, TimeoutError, ValueError) as error:
            seen.lost.append(str(error) or type(error).__name__)
            reader, writer = await asyncio.open_connection(server.host, server.port)
            continue
        seen.milliseconds.append(1e3 * (time.perf_counter() - asked))
        if found[0].status != 200:
            seen.lost.append(str(found[0].status))
    writer.close()


async def _silent(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(_PAUSE)


async def _headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"X")
    await asyncio.sleep(_PAUSE)


async def _unread(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /model HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(_PAUSE)


# Kind -> what it begins with, and what it goes on with; the body comes as slowly as the headers.
SLOW: dict[str, tuple[bytes, Callable[[asyncio.StreamWriter], Awaitable[None]]]] = {
    "silent": (b"", _silent),
    "headers": (_HEAD + b"X-", _headers),
    "body": (_HEAD + b"Content-Length: 1000000\r\n\r\nRIFF", _headers),
    "unread answers": (b"", _unread),
}


async def slow(server: Server, kind: str, end: float, seen: Seen) -> None:
    """A slow client, which connects again whenever it is cut off."""
    first, go_on = SLOW[kind]
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
            writer.write(first)
            while time.monotonic() < end and not writer.is_closing():
                await go_on(writer)
                if kind != "unread answers" and reader.at_eof():
                    break
            seen.cut += time.monotonic() < end
            writer.close()


async def phase(server: Server, clients: int, seconds: float, slow_clients: int = 0) -> Seen:
    """The good clients, beside so many slow ones."""
    seen, clips = Seen(), sorted((ROOT / "examples").glob("*.wav"))
    requests = [request_bytes("x", 1, "/classify?top_k=1", clip.read_bytes()) for clip in clips]
    end = time.monotonic() + seconds
    kinds = list(SLOW)
    others = [
        asyncio.create_task(slow(server, kinds[i % len(kinds)], end, seen)) for i in range(slow_clients)
    ]
    await asyncio.gather(*(good(server, requests[i % len(requests)], end, seen) for i in range(clients)))
    seen.memory = server.memory()
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return seen


def measure(server: Server, given: argparse.Namespace) -> dict[str, Seen]:
    """Alone, beside the slow ones, and alone again."""
    asyncio.run(phase(server, given.clients, 5))  # warm
    return {
        "alone": asyncio.run(phase(server, given.clients, given.alone)),
        f"beside {given.slow} slow ones": asyncio.run(
            phase(server, given.clients, given.seconds, given.slow)
        ),
        "alone again": asyncio.run(phase(server, given.clients, given.alone)),
    }


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--clients", type=int, default=32, help="good clients")
    parser.add_argument("--slow", type=int, default=200, help="slow connections, of four kinds")
    parser.add_argument("--alone", type=float, default=60.0, help="seconds of each phase without slow ones")
    parser.set_defaults(seconds=300.0)
    given = begin(parser)
    report = Report("slow_clients", "What slow clients cost the others", given.out)
    report.add(
        f"{given.clients} clients that ask one clip after the other, {given.alone:g} s alone and "
        f"{given.seconds:g} s beside the others; the service with its default settings. {given.slow} "
        f"connections are silent, send a byte of headers or body every {_PAUSE:g} s, or read no answers, "
        "and come again when they are cut."
    )
    server = Server()
    try:
        found = measure(server, given)
    finally:
        code = server.stop()
    table = Table(
        *("phase", "answers", "lost", "p50 ms", "p99 ms", "slow connections cut", "PSS MiB at the end"),
    )
    for name, seen in found.items():
        table.add(
            *(name, len(seen.milliseconds), len(seen.lost), percentile(seen.milliseconds, 0.5)),
            *(percentile(seen.milliseconds, 0.99), seen.cut, seen.memory),
        )
    report.add(table)
    report.add(f"Exit code of the service after SIGTERM: {code}.")
    report.add(disturbance(2))


if __name__ == "__main__":
    main()
