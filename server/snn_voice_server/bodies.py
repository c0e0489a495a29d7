"""The body of a request: read within limits, and whether its client is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi import Request

from snn_voice_server.failures import Busy, HungUp, RequestError

T = TypeVar("T")

# A client that sends nothing for so long is given up; shorter than a shutdown waits for open requests.
_PATIENCE = 20.0


class BodyRoom:
    """How much of bodies may be in memory at once.

    Args:
        limit: Bytes of one body.
        total: Bytes of all.
    """

    def __init__(self, limit: int, total: int) -> None:
        self.limit = limit
        self.total = total
        self.held = 0

    @contextmanager
    def hold(self) -> Iterator[_Hold]:
        """Room for one body; what it took is free at the end."""
        hold = _Hold(self)
        try:
            yield hold
        finally:
            self.held -= hold.taken


class _Hold:
    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self.taken = 0

    def take(self, size: int) -> None:
        if self._room.held + size > self._room.total:
            raise Busy.of_memory(self._room.total / 1e6)
        self._room.held += size
        self.taken += size

    async def read(self, request: Request) -> bytes:
        """The body, of which never more than the limit is kept.

        Raises:
            RequestError: It is larger, or the client stopped sending.
            Busy: The bodies of other requests fill the memory that there is for them.
            ClientDisconnect: The client left.
        """
        limit = self._room.limit
        too_large = RequestError(
            f"the body is larger than {limit / 1e6:g} MB",
            hint="cut the sound, or send it as FLAC",
            code="too_large",
        )
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise too_large
        chunks: list[bytes] = []
        size = 0
        stream = request.stream()
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    chunk = await anext(stream, None)
            except TimeoutError as error:
                raise RequestError(
                    f"nothing came for {_PATIENCE:g} s, and the body is not complete", code="timeout"
                ) from error
            if chunk is None:
                return b"".join(chunks)
            size += len(chunk)
            if size > limit:
                raise too_large
            self.take(len(chunk))
            chunks.append(chunk)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled when the client hangs up; the body must have been read.

    Raises:
        HungUp: It did.
    """

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watcher = asyncio.ensure_future(work), asyncio.ensure_future(watch())
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise HungUp
    finally:
        watcher.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
