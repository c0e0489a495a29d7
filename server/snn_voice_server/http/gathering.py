"""Rows of many streams on their way into the queue of their model, several at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from snn_voice_server.failures import Busy, ModelFailure, OutOfMemory, OverShare
from snn_voice_server.models.served import Entry
from snn_voice_server.models.work import STREAMED, Floats
from snn_voice_server.queue.places import Outcome

# How long rows wait before they ask for room in a full queue again.
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class HeardRow:
    """What became of a row.

    Attributes:
        output: What the network gave.
        batch_windows: How many ran together.
    """

    output: Floats
    batch_windows: int


class Gathering:
    """Brings the rows of all streams of one caller to a model.

    A place in the queue for each row would cost more than to run it. While a device works for them, what
    comes makes up the next batch: the busier it is, the larger batches are, and the less a row costs.

    Args:
        entry: The model.
        key: The caller.
        seconds: How long rows may wait.
    """

    def __init__(self, entry: Entry, key: str, seconds: float) -> None:
        self._entry = entry
        self._key = key
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._rows: list[tuple[Any, asyncio.Future[HeardRow]]] = []
        self._first: list[tuple[Any, asyncio.Future[HeardRow]]] = []
        self._on_the_way: set[asyncio.Task[None]] = set()
        self._looks = False

    async def run(self, row: Any, *, first: bool = False) -> HeardRow:
        """What the network gives for a row.

        Args:
            row: Of a stream.
            first: Whether it goes before others: a word is found by several rows, each in the light of those
                before, and would wait as often.

        Raises:
            Busy: There was no room in the queue for so long.
            OverShare: The caller's other requests had it for so long.
            DeadlineExceeded: It waited too long in the queue.
            ModelFailure: The model failed on it.
            OutOfMemory: It is too much for the device.
            Stopped: The model is gone.
        """
        future: asyncio.Future[HeardRow] = self._loop.create_future()
        (self._first if first else self._rows).append((row, future))
        self._look_soon()
        return await future

    def _look_soon(self) -> None:
        if not self._looks:
            # In the next turn of the loop, so that what comes in this one goes together.
            self._looks = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._looks = False
        most = self._entry.queue(STREAMED).limits.batch_windows
        rows, self._first = self._first + self._rows, []
        while rows and len(self._on_the_way) < self._entry.at_once:
            part, rows = rows[:most], rows[most:]
            # Of who has hung up, nothing is to run.
            part = [(row, future) for row, future in part if not future.done()]
            if part:
                task = self._loop.create_task(self._bring(part))
                self._on_the_way.add(task)
                task.add_done_callback(self._arrived)
        self._rows = rows

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._on_the_way.discard(task)
        self._look_soon()

    async def _bring(self, part: list[tuple[Any, asyncio.Future[HeardRow]]]) -> None:
        try:
            outcome = await self._outcome([row for row, _ in part])
        except (ModelFailure, OutOfMemory) as error:
            if len(part) == 1:
                _fail(part[0][1], error)
                return
            # No stream fails for the sake of another one.
            for one in part:
                await self._bring([one])
        except Exception as error:
            for _, future in part:
                _fail(future, error)
        else:
            for (_, future), output in zip(part, outcome.rows, strict=True):
                if not future.done():
                    future.set_result(HeardRow(output, outcome.batch_windows))

    async def _outcome(self, rows: list[Any]) -> Outcome[Floats]:
        """What the queue gives. A stream may not lose a row, so it waits where a request would be refused."""
        end = self._loop.time() + self._seconds
        while True:
            left = max(0.0, end - self._loop.time())
            try:
                with self._entry.admit(STREAMED, self._key, seconds=left) as place:
                    return await place.run(rows, self._entry.config.features.seconds)
            except (Busy, OverShare):
                if self._loop.time() + _PAUSE_SECONDS > end:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)


def _fail(future: asyncio.Future[HeardRow], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
