"""What a client may put off or pile up on its connection; time is handed in, nothing waits for it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from snn_voice_server.process.connection import Connection
from snn_voice_server.process.door import DoorLimits
from uvicorn.server import ServerState

from tests.server.conftest import until

LIMITS = DoorLimits(header_bytes=1000, headers=10, first_byte_seconds=5.0, header_seconds=7.0)
SOON, LATE = 4.0, 100.0

App = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


class Turned(Counter[str]):
    """Counts connections by the reason for which they were turned away."""

    def turned_away(self, reason: str) -> None:
        self[reason] += 1

    def watch(self, count: Callable[[], int]) -> None:
        pass


class Client:
    """The other end of a connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Connection
    ) -> None:
        self.reader, self.writer, self.server = reader, writer, server

    async def send(self, data: bytes) -> None:
        """Send, and wait until the server has it."""
        seen: list[int] = []
        take = self.server.data_received

        def count(chunk: bytes) -> None:
            take(chunk)
            seen.append(len(chunk))

        self.server.data_received = count  # type: ignore[method-assign]
        self.writer.write(data)
        await until(lambda: sum(seen) >= len(data) or self.server.transport.is_closing())
        self.server.data_received = take  # type: ignore[method-assign]

    def after(self, seconds: float) -> None:
        """The server looks at the connection, so much later."""
        self.server.sweep(asyncio.get_running_loop().time() + seconds)

    async def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the next answer."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)).lower()
        length = int(head.split(b"content-length:")[1].split()[0])
        return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 30) == b""


async def reads_all(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    await say(send, size)


async def say(send: Any, value: object) -> None:
    body = json.dumps({"value": value}).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected(turned: Turned, app: App = reads_all) -> AsyncIterator[Client]:
    config = uvicorn.Config(app, log_config=None, lifespan="off", http="httptools", ws="none")
    config.load()
    state, made = ServerState(), []

    def protocol() -> Connection:
        made.append(Connection(config, state, {}, limits=LIMITS, watcher=turned))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        await until(lambda: state.connections)
        yield Client(reader, writer, made[0])
        writer.close()
        await until(lambda: not state.connections)


def run(work: Callable[[Turned], Coroutine[Any, Any, None]]) -> Turned:
    turned = Turned()
    asyncio.run(work(turned))
    return turned


def test_silent_connection_is_closed() -> None:
    async def work(turned: Turned) -> None:
        async with connected(turned) as client:
            client.after(SOON)
            assert not client.server.transport.is_closing()
            client.after(LATE)
            assert await client.closed()

    assert run(work) == {"silent": 1}


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"\r\n", b"\r\n"),
        (b"GE", b"T"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-", b"a"),
        (b"GET / HTTP/1.1\r\n", b"x"),
    ],
)
def test_headers_that_never_end(begun: bytes, more: bytes) -> None:
    async def work(turned: Turned) -> None:
        async with connected(turned) as client:
            await client.send(begun)
            client.after(SOON)
            await client.send(more)  # a byte now and then buys no time
            client.after(LATE)
            status, error = await client.answer()
            assert (status, error["error"]["code"]) == (408, "timeout")
            assert await client.closed()

    assert run(work) == {"slow_headers": 1}


def test_second_request_on_a_connection_has_its_own_time() -> None:
    async def work(turned: Turned) -> None:
        async with connected(turned) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await client.answer() == (200, {"value": 0})
            client.after(LATE)  # between requests uvicorn's own time counts
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
            client.after(LATE)
            assert (await client.answer())[0] == 408

    assert run(work) == {"slow_headers": 1}


def head(size: int = 0, count: int = 1) -> bytes:
    """A request whose line and headers, without separators, have that size, or so many headers."""
    names = [b"h%03d" % i for i in range(count)]
    room = size - len(b"/") - 4 * count
    values = [b"v" * max(1, room), *[b""] * (count - 1)]
    lines = [name + b":" + value for name, value in zip(names, values, strict=True)]
    return b"GET / HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [(head(1000), 200), (head(1001), 431), (head(count=10), 200), (head(count=11), 431)],
)
def test_bounds_of_the_head_are_exact(request_head: bytes, status: int) -> None:
    async def work(turned: Turned) -> None:
        async with connected(turned) as client:
            await client.send(request_head)
            assert (await client.answer())[0] == status

    assert run(work) == ({} if status == 200 else {"large_headers": 1})


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"GET /" + b"a" * 5000, id="line"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 5000, id="value"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a" * 5000, id="name"),
        pytest.param(b"\r\n" * 5000, id="empty lines"),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"X: y\r\n" * 500,
            id="trailers",
        ),
    ],
)
def test_head_without_end_is_refused_before_it_is_kept(endless: bytes) -> None:
    async def work(turned: Turned) -> None:
        async with connected(turned) as client:
            await client.send(endless)
            status, error = await client.answer()
            assert (status, error["error"]["code"]) == (431, "headers_too_large")
            await client.send(b"x" * 1000)  # is not kept either
            client.after(LATE)
            assert await client.closed()

    assert run(work) == {"large_headers": 1}


def test_next_head_behind_a_long_body_is_not_too_large() -> None:
    async def work(turned: Turned) -> None:
        async with connected(turned) as client:
            post = b"POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n"
            await client.send(post + b"x" * 15_000)
            await client.send(b"x" * 5000 + b"GET / HTTP/1.1\r\nHo")
            assert await client.answer() == (200, {"value": 20_000})
            await client.send(b"st: x\r\n\r\n")
            assert await client.answer() == (200, {"value": 0})

    assert run(work) == {}


def test_request_that_is_answered_is_not_hurt_by_the_next_ones_head() -> None:
    async def work(turned: Turned) -> None:
        go_on = asyncio.Event()

        async def slowly(scope: Any, receive: Any, send: Any) -> None:
            await go_on.wait()
            await say(send, scope["path"])

        async with connected(turned, slowly) as client:
            await client.send(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
            await client.send(b"GET /second HTTP/1.1\r\nX: " + b"a" * 900)
            client.after(LATE)
            await client.send(b"a" * 900)  # this is too much
            client.after(LATE)
            go_on.set()
            assert await client.answer() == (200, {"value": "/first"})
            assert await client.closed()

    assert run(work) == {"large_headers": 1}


def test_body_that_breaks_off_in_nonsense() -> None:
    async def work(turned: Turned) -> None:
        async with connected(turned) as client:
            await client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
            status, error = await client.answer()
            assert (status, error["error"]["code"]) == (400, "bad_request")

    assert run(work) == {"no_http": 1}


def test_body_that_nobody_wants_is_read_for_a_while_only() -> None:
    async def work(turned: Turned) -> None:
        async def refuses(scope: Any, receive: Any, send: Any) -> None:
            await say(send, "no")

        async with connected(turned, refuses) as client:
            await client.send(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nx")
            assert await client.answer() == (200, {"value": "no"})
            client.after(SOON)
            assert not client.server.transport.is_closing()
            client.after(LATE)
            assert await client.closed()

    assert run(work) == {"unwanted_body": 1}


def test_client_that_does_not_read_its_answer() -> None:
    async def work(turned: Turned) -> None:
        async def much(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not client.server.transport.is_closing():
                await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

        async with connected(turned, much) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(client.server.transport.get_write_buffer_size)
            client.after(0)
            client.after(SOON)
            assert not client.server.transport.is_closing()
            client.after(10 * LATE)
            assert client.server.transport.is_closing()

    assert run(work) == {"slow_reader": 1}
