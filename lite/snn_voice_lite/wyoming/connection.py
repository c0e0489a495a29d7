"""One client: its messages in, answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Eventable, async_write_event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection, NotDetected

from snn_voice_lite.errors import ConfigError, SnnVoiceError
from snn_voice_lite.visible import module_logger
from snn_voice_lite.wyoming.listening import SaidWord, SoundFormat, WakeStream
from snn_voice_lite.wyoming.messages import MessageError, WyomingMessage, read_message, read_piece
from snn_voice_lite.wyoming.offered import Vocabulary

logger = module_logger(__name__)

T = TypeVar("T")

# After an error the connection stays open for so long, or so many bytes more, so that the client can read it:
# to close while something unread is there would take the error away again.
_LEAVING_SECONDS = 2.0
_LEAVING_BYTES = 1 << 20


class Compute(Protocol):
    """Runs a function elsewhere, so that other clients are not kept waiting."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """What `work` gives."""


@dataclass(frozen=True)
class WakeLimits:
    """What clients may take.

    Attributes:
        connections: Open at once.
        idle: Seconds in which a client has to send or read something.
    """

    connections: int = 64
    idle: float = 600.0


class WakeConnection:
    """Serves one client.

    A message is read when the one before is done with, so whoever sends faster than its sound can be heard is
    slowed down by TCP. Who made the connection closes it.

    Args:
        reader: What the client sends.
        writer: To the client.
        vocabulary: The words there are.
        info: The answer to `describe`.
        limits: How long to wait.
        compute: Runs the networks.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        vocabulary: Vocabulary,
        info: Info,
        limits: WakeLimits,
        compute: Compute,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._info = info
        self._idle = limits.idle
        self._compute = compute
        self._heard = WakeStream(vocabulary)
        host, port, *_ = writer.get_extra_info("peername") or ("a client", 0)  # None: it is gone already
        self._client = f"{host}:{port}"

    async def serve(self) -> None:
        """Answer until the client leaves, or is refused, or was silent for too long."""
        logger.debug("%s is connected", self._client)
        try:
            while (message := await self._next()) is not None:
                left = await self._answer(message)
                while left:
                    left -= len(await self._piece(left))
            logger.debug("%s has left", self._client)
        except SnnVoiceError as error:
            await self.refuse(error)
        except TimeoutError:
            logger.info("%s is cut off: it was idle for %g s", self._client, self._idle)
            self._writer.transport.abort()  # what it does not read would keep the connection open
        except OSError:
            logger.debug("%s has left", self._client)

    async def refuse(self, error: SnnVoiceError) -> None:
        """Tell the client why it can't be served, and wait a little for it to read that."""
        logger.warning("%s is refused: %s", self._client, error)
        with suppress(OSError):
            async with asyncio.timeout(_LEAVING_SECONDS):
                await self._send(Error(str(error), error.code))
                self._writer.write_eof()
                left = _LEAVING_BYTES
                while left > 0 and (data := await self._reader.read(left)):
                    left -= len(data)

    # --- messages ---------------------------------------------------------------------------------

    async def _next(self) -> WyomingMessage | None:
        async with asyncio.timeout(self._idle):
            return await read_message(self._reader)

    async def _piece(self, left: int) -> bytes:
        async with asyncio.timeout(self._idle):
            if data := await read_piece(self._reader, left):
                return data
        raise ConnectionResetError("it has left within a message")

    async def _send(self, answer: Eventable) -> None:
        async with asyncio.timeout(self._idle):
            await async_write_event(answer.event(), self._writer)

    async def _answer(self, message: WyomingMessage) -> int:
        """Do what a message asks for; how much of its payload is left to skip."""
        kind = message.type
        if AudioChunk.is_type(kind):
            await self._hear(message)
            return 0
        if Describe.is_type(kind):
            await self._send(self._info)
        elif Ping.is_type(kind):
            await self._send(Pong(message.text("text")))
        elif Detect.is_type(kind):
            self._choose(_names(message))
            logger.info("%s listens for %s", self._client, ", ".join(self._heard.words))
        elif AudioStart.is_type(kind):
            self._heard.begin(message.timestamp())
        elif AudioStop.is_type(kind):
            await self._tell(await self._compute(self._heard.end))
            if not self._heard.found:
                await self._send(NotDetected())
            self._heard.begin(None)
        else:
            logger.debug("%s sends %s, which is not known here", self._client, kind)
        return message.payload

    def _choose(self, names: list[str] | None) -> None:
        try:
            self._heard.choose(names)
        except ConfigError as error:
            raise MessageError(error.message, hint=error.hint, code="unknown_word") from error

    async def _hear(self, chunk: WyomingMessage) -> None:
        form = SoundFormat(*map(chunk.number, ("rate", "width", "channels")))
        left = chunk.payload
        self._heard.expect(form, chunk.timestamp(), left)
        while left:
            data = await self._piece(left)
            left -= len(data)
            if self._heard.is_light(len(data)):  # a thread would take longer to be woken
                await self._tell(self._heard.feed(data))
            else:
                await self._tell(await self._compute(partial(self._heard.feed, data)))

    async def _tell(self, words: Iterable[SaidWord]) -> None:
        for word in words:
            logger.info("%s hears %s (%.2f)", self._client, word.name, word.score)
            await self._send(Detection(word.name, word.milliseconds))


def _names(detect: WyomingMessage) -> list[str] | None:
    """The words of a `detect`; None for all, which an empty list is, too."""
    names = detect.data.get("names")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise MessageError("detect needs a list of words as 'names', or none")
    return names or None
