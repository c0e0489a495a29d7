"""The clients: some wait for an answer, some hang up, some send what is no sound, and some are streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import time
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from benchmarks.serving.client import first_label, parse_response, request_bytes
from benchmarks.slow_clients import Server
from benchmarks.soak.seen import Sample, Soaked

_CHUNK_SECONDS = 0.1
_PATIENCE = 30.0
# What spoils a stream: another checkpoint came, which it is told.
_MODEL_GONE = 1012


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
