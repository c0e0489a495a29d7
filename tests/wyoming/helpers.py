"""A client of the service, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile as sf
import soxr
from snn_voice_lite.process.sockets import bind
from snn_voice_lite.wyoming.connection import WakeLimits
from snn_voice_lite.wyoming.offered import Vocabulary
from snn_voice_lite.wyoming.serving import serving
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event, Eventable
from wyoming.wake import Detect, Detection, NotDetected

from tests.places import EXAMPLES

RATE = 16_000
WORDS = ("yes", "go", "marvin")
Wave = npt.NDArray[np.int16]


@cache
def talk(*words: str, rate: int = RATE) -> Wave:
    """Words, each with a second of silence before it, and one behind the last."""
    parts = [np.zeros(RATE, np.int16)]
    for word in words:
        wave, _ = sf.read(EXAMPLES / f"{word}.wav", dtype="int16")
        parts += [wave, np.zeros(RATE, np.int16)]
    wave = np.concatenate(parts)
    return wave if rate == RATE else np.asarray(soxr.resample(wave, RATE, rate))


def chunks(
    wave: Wave, *, rate: int = RATE, size: int = 1_024, begin: int | None = None
) -> Iterator[Eventable]:
    """A wave `[N]` or `[N, channels]` in chunks; with timestamps where it is said when it begins."""
    for at in range(0, len(wave), size):
        part = wave[at : at + size]
        stamp = None if begin is None else begin + at * 1000 // rate
        yield AudioChunk(rate, 2, 1 if wave.ndim == 1 else wave.shape[1], part.tobytes(), stamp)


@asynccontextmanager
async def service(vocabulary: Vocabulary, limits: WakeLimits | None = None) -> AsyncIterator[int]:
    """The service, in this process and at a port of its own."""
    with bind("127.0.0.1", 0) as listener:
        async with serving(listener, vocabulary, limits or WakeLimits()):
            yield listener.getsockname()[1]


class Client(AsyncTcpClient):
    """The package's own client."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, connect_timeout=60, read_timeout=60)

    async def say(self, *what: Eventable) -> None:
        for event in what:
            await self.write_event(event.event())

    async def raw(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> Event:
        event = await self.read_event()
        assert event is not None, "the connection is closed"
        return event

    async def rest(self) -> list[Event]:
        """What still comes until the service closes the connection."""
        found = []
        while (event := await self.read_event()) is not None:
            found.append(event)
        return found

    async def heard(self, wave: Wave, *, names: Sequence[str] | None = None, **how: Any) -> list[Detection]:
        """The words that are found in a wave, which is a stream of its own."""
        await self.say(Detect(list(names) if names else None), AudioStart(RATE, 2, 1))
        return await self.continued(wave, **how)

    async def continued(self, wave: Wave, **how: Any) -> list[Detection]:
        """The words that are found in the rest of a stream."""
        await self.say(*chunks(wave, **how), AudioStop())
        await self.say(Detect(), AudioStart(RATE, 2, 1), AudioStop())  # is answered when all before is
        found: list[Detection] = []
        missed = 0
        while True:
            event = await self.answer()
            if NotDetected.is_type(event.type):
                missed += 1
                if missed == (1 if found else 2):
                    return found
            else:
                assert Detection.is_type(event.type), event
                found.append(Detection.from_event(event))


def run(
    vocabulary: Vocabulary, use: Callable[[int], Awaitable[None]], limits: WakeLimits | None = None
) -> None:
    """Use the service."""

    async def main() -> None:
        async with service(vocabulary, limits) as port:
            await use(port)

    asyncio.run(main())
