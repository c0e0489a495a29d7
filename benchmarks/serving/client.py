"""The load of `benchmarks.serving`: HTTP/1.1 clients on raw sockets, in a process of their own.

Nothing but the standard library is imported, so that the process starts at once and takes little of the cores
that the server needs. It reads a JSON file, says `ready` when all connections are open, begins, and ends when
its standard input ends; then it prints what it saw as one line of JSON.

Two kinds of load:

- `closed`: every client sends its next request when it has the answer to the last one.
- `burst`: every client sends one request, all at the same moment; with `retry`, one that was refused waits as
  long as `Retry-After` asks and comes again.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT, CLOSED, BROKEN, WRONG = "timeout", "connection lost", "not HTTP", "wrong answer"

_RECONNECT_SECONDS = 0.05  # a server that is gone must not make the client spin
_CHECK_SECONDS = 0.25
_REFUSED = (429, 503)


# --- HTTP ---------------------------------------------------------------------------------------------


def request_bytes(host: str, port: int, path: str, body: bytes, content_type: str = "audio/wav") -> bytes:
    """A whole POST request, with keep-alive."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nAccept: application/json\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True)
class Response:
    """One response.

    Attributes:
        status: Its status code.
        headers: Names in small letters.
        body: Its body.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may be used again."""
        return self.headers.get("connection", "").lower() != "close"


def parse_response(data: bytes) -> tuple[Response, int] | None:
    """The response at the beginning of `data`, and how many bytes it takes; None while it is not complete.

    Raises:
        ValueError: It is no HTTP/1.1 response with a length.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if data[:5] != b"HTTP/"[: len(data)]:
            raise ValueError("not an HTTP response")
        return None
    status_line, *lines = data[:end].decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ValueError(f"not an HTTP response: {status_line[:80]!r}")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    start = end + 4
    if "chunked" in headers.get("transfer-encoding", "").lower():
        found = _chunks(data, start)
        return None if found is None else (Response(int(rest[:3]), headers, found[0]), found[1])
    length = int(headers.get("content-length", "0" if rest[:3] in ("204", "304") else "-1"))
    if length < 0:
        raise ValueError("a response without a length")
    if len(data) < start + length:
        return None
    return Response(int(rest[:3]), headers, data[start : start + length]), start + length


def _chunks(data: bytes, at: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(data[at:end].split(b";")[0], 16)
        at = end + 2
        if len(data) < at + size + 2:
            return None
        if size == 0:  # no trailers: none of these servers sends any
            return b"".join(parts), at + 2
        parts.append(data[at : at + size])
        at += size + 2


def first_label(body: bytes) -> str | None:
    """The best label of an answer `[{"label", "score"}, ...]`, or None where it is something else."""
    try:
        answer = json.loads(body)
        label = answer[0]["label"]
    except (ValueError, LookupError, TypeError):
        return None
    return label if isinstance(label, str) else None


def retry_after(headers: dict[str, str]) -> float | None:
    """Seconds that `Retry-After` asks to wait; None where it is missing or no number of seconds."""
    text = headers.get("retry-after", "")
    return float(text) if text.isdigit() else None


# --- what was seen ------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What the clients saw; times are of the monotonic clock, which all processes share.

    Attributes:
        ok: End and duration of each request with the right answer.
        errors: Time and kind of each other one.
        refused: Of a burst: status code, and seconds of `Retry-After` or None, of each refusal.
        first: Of a burst: what each client's first request got, and when.
        tries: Of a burst: how many requests each client needed for its answer; 0 where it gave up.
        last: Of a burst: when the last client had its answer.
        began: Of a burst: when it began.
    """

    ok: list[tuple[float, float]] = field(default_factory=list)
    errors: list[tuple[float, str]] = field(default_factory=list)
    refused: list[tuple[int, float | None]] = field(default_factory=list)
    first: list[tuple[str, float]] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)
    last: float = 0.0
    began: float = 0.0


class Lane(asyncio.Protocol):
    """One connection with at most one request under way.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._waiting: asyncio.Future[Response | str] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._transport is not None and not self._transport.is_closing()

    async def connect(self, host: str, port: int, timeout: float) -> bool:
        """Open the connection; false where that fails."""
        self._data = b""
        try:
            await asyncio.wait_for(self._loop.create_connection(lambda: self, host, port), timeout)
        except (TimeoutError, OSError):
            return False
        return True

    def send(self, request: bytes) -> asyncio.Future[Response | str]:
        """Send a request; the future gets the response, or what went wrong."""
        self._waiting = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            self._waiting.set_result(CLOSED)
        else:
            self._transport.write(request)
        return self._waiting

    def give_up(self, why: str) -> None:
        """Close the connection; a request that is under way gets `why`."""
        self._answer(why)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        # Without a high mark a request of a few kilobytes is never held back.
        transport.set_write_buffer_limits(high=1 << 26)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._data += data
        try:
            found = parse_response(self._data)
        except ValueError:
            self.give_up(BROKEN)
            return
        if found is None:
            return
        response, size = found
        self._data = self._data[size:]
        if not response.keeps_alive and self._transport is not None:
            self._transport.close()
        self._answer(response)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        self._answer(CLOSED)

    def _answer(self, what: Response | str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(what)


class Client:
    """One client: a lane, the requests that it sends in turn, and when its present one was sent.

    Args:
        load: The load that it is part of.
        number: Its number; it begins with another clip than its neighbour.
    """

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.lane = Lane(asyncio.get_running_loop())
        self.sent = 0.0
        self._turn = number

    async def ask(self) -> tuple[Response | str, str]:
        """Send the next request; the response or what went wrong, and the label that is right."""
        request, label = self.load.requests[self._turn % len(self.load.requests)]
        self._turn += 1
        if not self.lane.is_open and not await self.lane.connect(*self.load.address, self.load.timeout):
            await asyncio.sleep(_RECONNECT_SECONDS)
            return CLOSED, label
        self.sent = time.monotonic()
        answer = await self.lane.send(request)
        return answer, label

    async def closed_loop(self) -> None:
        """Ask again and again, until cancelled."""
        seen = self.load.seen
        while True:
            answer, label = await self.ask()
            now = time.monotonic()
            kind = verdict(answer, label)
            if kind == "ok":
                seen.ok.append((now, now - self.sent))
            else:
                seen.errors.append((now, kind))
                if isinstance(answer, str):
                    await asyncio.sleep(_RECONNECT_SECONDS)

    async def once(self, retry: bool) -> None:
        """Ask once; where that is refused and `retry`, wait as long as is asked for, and ask again."""
        seen, tries, end = self.load.seen, 0, time.monotonic() + self.load.patience
        while True:
            answer, label = await self.ask()
            now, kind, tries = time.monotonic(), verdict(answer, label), tries + 1
            if tries == 1:
                seen.first.append((kind, now))
            wait = None
            if isinstance(answer, Response) and answer.status in _REFUSED:
                wait = retry_after(answer.headers)
                seen.refused.append((answer.status, wait))
            if kind == "ok":
                seen.ok.append((now, now - seen.began))
                seen.last = max(seen.last, now)
                seen.tries.append(tries)
                return
            seen.errors.append((now, kind))
            if not retry or wait is None or now + wait > end:
                seen.tries.append(0)
                return
            await asyncio.sleep(wait)
            self._turn -= 1  # the same clip again


def verdict(answer: Response | str, label: str) -> str:
    """What an answer is: "ok", a status code other than 200, "wrong answer", or what happened on the way."""
    if isinstance(answer, str):
        return answer
    if answer.status != 200:
        return str(answer.status)
    return "ok" if first_label(answer.body) == label else WRONG


class Load:
    """A number of clients against one server.

    Args:
        settings: `host`, `port`, `path`, `clips` (pairs of a file and its label), `clients`, `kind` ("closed"
            or "burst"), `timeout` (seconds for one answer), `retry` and `patience` (of a burst).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        host, port = settings["host"], settings["port"]
        self.address: tuple[str, int] = (host, port)
        self.timeout = float(settings["timeout"])
        self.patience = float(settings.get("patience", 60.0))
        self.requests = [
            (request_bytes(host, port, settings["path"], Path(file).read_bytes()), label)
            for file, label in settings["clips"]
        ]
        self.seen = Seen()
        self._settings = settings

    async def run(self) -> Seen:
        """Open the connections, say `ready`, and load the server until standard input ends."""
        clients = [Client(self, number) for number in range(self._settings["clients"])]
        for client in clients:
            await client.lane.connect(*self.address, self.timeout)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
        print("ready", flush=True)
        if self._settings["kind"] == "closed":
            tasks = [asyncio.create_task(client.closed_loop()) for client in clients]
        else:
            self.seen.began = time.monotonic()
            tasks = [asyncio.create_task(client.once(self._settings["retry"])) for client in clients]
        watch = asyncio.create_task(self._watch(clients))
        everyone = asyncio.ensure_future(asyncio.gather(*tasks, return_exceptions=True))
        everyone.add_done_callback(lambda _: ended.set())  # a burst ends by itself
        await ended.wait()
        for task in (*tasks, watch):
            task.cancel()
        await asyncio.gather(*tasks, watch, everyone, return_exceptions=True)
        for client in clients:
            client.lane.give_up(CLOSED)
        return self.seen

    async def _watch(self, clients: list[Client]) -> None:
        """End requests that take too long: one look at all of them costs less than a timer for each."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            late = time.monotonic() - self.timeout
            for client in clients:
                if client.lane._waiting is not None and client.sent < late:
                    client.lane.give_up(TIMEOUT)


def main() -> None:
    """Command line: the file with the settings."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    seen = asyncio.run(Load(settings).run())
    print(json.dumps(vars(seen)), flush=True)


if __name__ == "__main__":
    main()
