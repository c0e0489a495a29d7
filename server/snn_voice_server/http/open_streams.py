"""The streams that are open: how many there may be, and how they are told to end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from prometheus_client import Gauge

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_server.failures import Busy, OverShare
from snn_voice_server.http.errors import status_of

# WebSocket leaves 4000 to 4999 to applications. An error closes by the status of the same error over HTTP.
_APPLICATION = 4000


@dataclass(frozen=True)
class End:
    """How a stream ends.

    Attributes:
        code: Of the WebSocket.
        reason: A word for programs.
    """

    code: int
    reason: str

    @classmethod
    def by(cls, error: SnnVoiceError) -> End:
        """The end that an error makes."""
        return cls(_APPLICATION + status_of(error.code), error.code)


CLOSED: Final = End(1000, "closed")
STOPPING: Final = End(1001, "stopping")
# The model was exchanged, or had to make room for others.
MODEL_GONE: Final = End(1012, "model_gone")
FAILED: Final = End(_APPLICATION + HTTPStatus.INTERNAL_SERVER_ERROR, "internal")


class OpenStream(Protocol):
    """What is known of a stream here."""

    def end(self, how: End) -> None:
        """Have it end as soon as what it works on is done."""


class OpenStreams:
    """All streams of a service.

    Args:
        most: There may be at once.
        share: Part of them that one caller may have.
        gauge: Says how many there are.
    """

    def __init__(self, most: int, share: float, gauge: Gauge) -> None:
        self._most = most
        self._share = max(1, int(share * most))
        self._open: set[OpenStream] = set()
        self._by_key: Counter[str] = Counter()
        self._none = asyncio.Event()
        self._none.set()
        gauge.set_function(lambda: len(self._open))

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def admit(self, stream: OpenStream, key: str) -> Iterator[None]:
        """Have a stream among them.

        Args:
            stream: The stream.
            key: Whose it is.

        Raises:
            Busy: There are as many as there may be.
            OverShare: The caller has as many as it may have.
        """
        if len(self._open) >= self._most:
            raise Busy.of_streams(self._most)
        if self._by_key[key] >= self._share:
            raise OverShare.of_streams(self._share)
        self._open.add(stream)
        self._by_key[key] += 1
        self._none.clear()
        try:
            yield
        finally:
            self._open.discard(stream)
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
            if not self._open:
                self._none.set()

    def end(self, how: End) -> None:
        """Tell all streams to end."""
        for stream in list(self._open):
            stream.end(how)

    async def gone(self, seconds: float) -> bool:
        """Wait until none is left, at most so long; whether none is."""
        try:
            async with asyncio.timeout(seconds):
                await self._none.wait()
        except TimeoutError:
            return False
        return True
