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
# What comes slower than this on the whole is no upload but a way to hold a place.
_RATE = 16_000
# Most answers come sooner, and to watch a client takes a task.
_WATCH_AFTER = 0.05


class BodyRoom:
    """How much of bodies may be in memory at once.

    Args:
        limit: Bytes of one body.
        total: Bytes of all.
        seconds: For one body, and one more for each 16 kB of it.
    """

    def __init__(self, limit: int, total: int, seconds: float = 30.0) -> None:
        self.limit = limit
        self.total = total
        self.seconds = seconds
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

    async def read(
        self, request: Request, limit: int | None = None, hint: str = "cut the sound, or send it as FLAC"
    ) -> bytes:
        """The body, of which never more than the limit is kept.

        Args:
            request: Whose body.
            limit: Bytes, where it is another one than the room's.
            hint: What would be less.

        Raises:
            RequestError: It is larger, or the client stopped sending.
            Busy: The bodies of other requests fill the memory that there is for them.
            ClientDisconnect: The client left.
        """
        limit = self._room.limit if limit is None else limit
        too_large = RequestError(
            f"the body is larger than {limit / 1e6:g} MB",
            hint=hint,
            code="too_large",
        )
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise too_large
        chunks: list[bytes] = []
        size = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + self._room.seconds
        try:
            async with asyncio.timeout(min(_PATIENCE, self._room.seconds)) as patience:
                async for chunk in request.stream():
                    size += len(chunk)
                    patience.reschedule(min(loop.time() + _PATIENCE, end + size / _RATE))
                    if size > limit:
                        raise too_large
                    self.take(len(chunk))
                    chunks.append(chunk)
        except TimeoutError as error:
            late = loop.time() >= end + size / _RATE
            what = "the body comes too slowly" if late else f"nothing came for {_PATIENCE:g} s"
            raise RequestError(f"{what}, and it is not complete", code="timeout") from error
        return b"".join(chunks)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled when the client hangs up; the body must have been read.

    Raises:
        HungUp: It did.
    """
    task = asyncio.current_task()
    assert task is not None, "coroutines run in tasks"
    watcher: asyncio.Task[None] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    def begin() -> None:
        nonlocal watcher
        watcher = asyncio.ensure_future(watch())

    timer = asyncio.get_running_loop().call_later(_WATCH_AFTER, begin)
    try:
        return await work
    except asyncio.CancelledError:
        # Somebody else may want this task to end as well.
        if gone and task.cancelling() == 1:
            raise HungUp from None
        raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()
        if gone:
            task.uncancel()
