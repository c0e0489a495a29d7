"""Places in a queue: who holds how many windows of it, who is refused, and for how long.

The rules are the same for every queue, wherever what waits in it is computed. The unit is the window, a piece
of sound of the model's length.
"""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, Self

from snn_voice_server.failures import Busy, DeadlineExceeded, OverShare, Stopped
from snn_voice_server.queue.health import RecentFailures
from snn_voice_server.queue.jobs import R, W

logger = logging.getLogger(__name__)

# Of the newest answers in the measured rate.
_NEWEST = 0.2
_MAX_RETRY_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a queue may hold and run at most.

    Attributes:
        batch_windows: Windows in a batch.
        batch_seconds: Seconds of sound in a batch; a single window may be longer.
        queue_windows: Windows that wait, with one for each request that is still being decoded. A request
            that alone is longer is taken when nothing else waits.
        share: Part of the queue that one caller may hold.
    """

    batch_windows: int = 32
    batch_seconds: float = math.inf
    queue_windows: int = 512
    share: float = 1.0


class Observer(Protocol):
    """Is told what happens, for metrics."""

    def waited(self, seconds: float) -> None:
        """A request's first window has begun to run, so long after it was queued."""

    def ran(self, windows: int, seconds: float) -> None:
        """A batch of so many windows has run."""

    def failed(self, kind: str) -> None:
        """A run has failed: "error" or "out_of_memory"."""


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """The answer to a request.

    Attributes:
        rows: One for each window, in order.
        queue_seconds: From the queue's end to its front.
        compute_seconds: In batches that held one of its windows.
        batch_windows: Size of the largest of these batches.
    """

    rows: list[R]
    queue_seconds: float
    compute_seconds: float
    batch_windows: int


class Place(Generic[W, R]):
    """What one request holds of a queue, taken before its sound is decoded; use it as a context manager.

    Attributes:
        key: Who asks.
        admitted: When it was taken, by the loop's clock.
        deadline: When the request is given up.
        held: Windows; one until it is known how many there are.
    """

    def __init__(self, queue: Queue[W, R], key: str, seconds: float) -> None:
        self.key = key
        self.admitted = asyncio.get_running_loop().time()
        self.deadline = self.admitted + seconds
        self.held = 0
        self._queue = queue
        self._passed_on = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release(self.held)
        self._queue._left(self)

    def ask(self, count: int, *, passed_on: bool = False) -> None:
        """Hold `count` windows.

        Args:
            count: At least one.
            passed_on: They leave for another queue, which knows its room itself; the caller holds them still.

        Raises:
            Busy: Other requests hold the room that these windows need.
            OverShare: The caller's other requests hold it.
        """
        self._queue._check_share(self.key, count, own=self.held)
        if passed_on:
            self._pass_on(count)
        else:
            self._queue._check_room(count, own=self.held)
        self._hold(count - self.held)

    def release(self, count: int) -> None:
        """Hold so many windows less, if there are so many."""
        self._hold(-min(count, self.held))
        self._pass_on(min(self._passed_on, self.held))

    def late(self) -> DeadlineExceeded:
        """The end of a request whose time is over."""
        return DeadlineExceeded.after(asyncio.get_running_loop().time() - self.admitted)

    def _hold(self, count: int) -> None:
        self.held += count
        self._queue._hold(self.key, count)

    def _pass_on(self, count: int) -> None:
        self._queue._passed_on += count - self._passed_on
        self._passed_on = count

    async def run(self, windows: Sequence[W], seconds: float = 0.0) -> Outcome[R]:
        """Queue windows and wait for their rows; call it once.

        Args:
            windows: At least one.
            seconds: How much sound a window is.

        Raises:
            Busy: Other requests hold the room that these windows need.
            OverShare: The caller's other requests hold it.
            DeadlineExceeded: The time is over; what has not begun to run will not.
            ModelFailure: The model failed on these very windows.
            OutOfMemory: A single window is too much for the device.
            Stopped: The queue was aborted.
            NotReady: Nothing is there that could run them.
        """
        return await self._queue._answer(self, windows, seconds)


class Queue(ABC, Generic[W, R]):
    """A queue before something that runs windows.

    Args:
        limits: Sizes.
        observer: Is told what happens.

    Attributes:
        held: Windows that have places.
        health: Whether runs succeed.
    """

    def __init__(self, limits: Limits | None = None, observer: Observer | None = None) -> None:
        self.limits = limits or Limits()
        self.held = 0
        self.health = RecentFailures()
        self._observer = observer
        self._held_by: Counter[str] = Counter()
        self._passed_on = 0  # of these, those that wait elsewhere, and take no room here
        self._places: set[Place[W, R]] = set()
        self._all_left = asyncio.Event()
        self._all_left.set()
        self._stopped = False
        self._rate: float | None = None  # windows a second

    def admit(self, key: str = "", *, seconds: float = math.inf) -> Place[W, R]:
        """Take a place for one request.

        Args:
            key: Who asks; each caller may hold its share of the queue.
            seconds: How long the request may take from now on.

        Raises:
            Busy: The queue is full.
            OverShare: This caller's share of it is.
            Stopped: The queue has been closed.
        """
        if self._stopped:
            raise Stopped.now()
        place = Place(self, key, seconds)
        place.ask(1)
        self._places.add(place)
        self._all_left.clear()
        return place

    def retry_after(self, windows: int) -> int:
        """In how many whole seconds so many windows have run, by the rate of the last ones."""
        if self._rate is None:
            return 1
        return min(_MAX_RETRY_SECONDS, max(1, math.ceil(windows / self._rate)))

    async def close(self) -> None:
        """Answer every request that has been admitted, then stop; new ones are refused at the end of that."""
        while self._places:  # one may be taken while this wakes up
            await self._all_left.wait()
        await self.abort()

    async def abort(self) -> None:
        """Stop now."""
        self._stopped = True

    @abstractmethod
    async def _answer(self, place: Place[W, R], windows: Sequence[W], seconds: float) -> Outcome[R]:
        """See `Place.run`."""

    # --- bookkeeping ------------------------------------------------------------------------------

    def _check_share(self, key: str, count: int, *, own: int) -> None:
        """Refuse a caller's `count` windows, `own` of which it holds, unless they fit or are all it has."""
        most = self.limits.queue_windows
        share = max(1, int(self.limits.share * most))
        theirs = self._held_by[key] - own
        if share < most and theirs and theirs + count > share:
            raise OverShare.of(share, self.retry_after(theirs))

    def _check_room(self, count: int, *, own: int) -> None:
        """Refuse a request of `count` windows, `own` of which it holds, unless it fits or is alone."""
        most = self.limits.queue_windows
        all_others = self.held - self._passed_on - own
        if all_others and all_others + count > most:
            raise Busy.full(most, self.retry_after(all_others))

    def _hold(self, key: str, count: int) -> None:
        self.held += count
        self._held_by[key] += count
        if not self._held_by[key]:
            del self._held_by[key]

    def _left(self, place: Place[W, R]) -> None:
        self._places.discard(place)
        if not self._places:
            self._all_left.set()

    def _measured(self, windows: int, seconds: float) -> None:
        """So many windows were answered within so many seconds."""
        if seconds > 0:
            rate = windows / seconds
            self._rate = rate if self._rate is None else self._rate + _NEWEST * (rate - self._rate)

    def _failed(self, kind: str, *, counts: bool = True) -> None:
        if counts:
            self.health.failed(kind, asyncio.get_running_loop().time())
        self._tell("failed", kind)

    def _tell(self, what: Literal["waited", "ran", "failed"], *facts: object) -> None:
        if self._observer is not None:
            try:
                getattr(self._observer, what)(*facts)
            except Exception as error:  # no request fails for want of a figure
                logger.error("the observer failed", exc_info=error)
