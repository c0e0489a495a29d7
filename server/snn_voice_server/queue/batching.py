"""Requests that arrive together run together: an asyncio queue that knows no HTTP, no model and no device.

The unit is the window, a piece of sound of the model's length. An idle batcher runs a request at once; what
arrives while a batch runs makes up the next one. No request fails for the sake of another one in its batch.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, Self

from snn_voice_server.failures import Busy, DeadlineExceeded, ModelFailure, OutOfMemory, OverShare, Stopped
from snn_voice_server.queue.health import Health
from snn_voice_server.queue.jobs import Job, R, Slice, W, cut, fail, share_out

logger = logging.getLogger(__name__)

Run = Callable[[list[W]], Awaitable[Sequence[R]]]

# A device that ran out of memory is tried with larger batches again after so long.
_GROW_SECONDS = 60.0
# Of the newest batch in the measured rate.
_NEWEST = 0.2
_MAX_RETRY_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a batcher may do at most.

    Attributes:
        batch_windows: Windows in a batch.
        batch_seconds: Seconds of sound in a batch; a single window may be longer.
        queue_windows: Windows that wait, with one for each request that is still being decoded. A request
            that alone is longer is taken when nothing else waits.
        share: Part of the queue that one caller may hold.
    """

    batch_windows: int = 32
    batch_seconds: float = math.inf
    queue_windows: int = 256
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


class Ticket(Generic[W, R]):
    """A place in the queue, taken before a request's sound is decoded; use it as a context manager."""

    def __init__(self, batcher: Batcher[W, R], key: str, admitted: float, deadline: float) -> None:
        self.deadline = deadline
        self._batcher = batcher
        self._key = key
        self._admitted = admitted
        self._held = 0
        self._hold(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hold(-self._held)
        self._batcher._left(self)

    def _hold(self, count: int) -> None:
        self._held += count
        self._batcher._hold(self._key, count)

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
            Stopped: The batcher was aborted.
        """
        batcher = self._batcher
        batcher._check_room(self._key, len(windows), own=self._held)
        self._hold(len(windows) - self._held)
        loop = asyncio.get_running_loop()
        job: Job[W, R] = Job(windows, seconds, loop.create_future(), loop.time(), self.deadline)
        timer = loop.call_at(self.deadline, self._expire, job)
        batcher._enqueue(job, lambda count: self._hold(-min(count, self._held)))
        try:
            await job.future
        finally:
            # Cancelled, because the client hung up, or over: nothing more of it is to run.
            timer.cancel()
            batcher._discard(job)
        started = job.queued if job.started is None else job.started
        rows = [job.rows[index] for index in range(len(windows))]
        return Outcome(rows, started - job.queued, job.compute_seconds, job.batch_windows)

    def _expire(self, job: Job[W, R]) -> None:
        if not job.future.done():
            waited = asyncio.get_running_loop().time() - self._admitted
            job.future.set_exception(DeadlineExceeded.after(waited))


class Batcher(Generic[W, R]):
    """The queue of one model, and what takes batches from it.

    Args:
        runs: One for each device: windows in, a row for each out. Each is called by one batch at a time.
        limits: Sizes.
        observer: Is told what happens.

    Attributes:
        held: Windows that wait or are being decoded.
        health: Whether batches succeed.
    """

    def __init__(
        self, runs: Sequence[Run[W, R]], limits: Limits | None = None, observer: Observer | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.held = 0
        self.health = Health()
        self._observer = observer
        self._runs = runs
        self._size = self.limits.batch_windows
        self._held_by: Counter[str] = Counter()
        self._waiting: deque[Job[W, R]] = deque()
        self._release: dict[Job[W, R], Callable[[int], None]] = {}
        self._tickets: set[Ticket[W, R]] = set()
        self._arrived = asyncio.Event()
        self._left_all = asyncio.Event()
        self._left_all.set()
        self._stopped = False
        self._rate: float | None = None  # windows a second
        self._workers: list[asyncio.Task[None]] = []

    # --- the caller's side ------------------------------------------------------------------------

    def admit(self, key: str = "", *, seconds: float = math.inf) -> Ticket[W, R]:
        """Take a place for one request.

        Args:
            key: Who asks; each caller may hold its share of the queue.
            seconds: How long the request may take from now on.

        Raises:
            Busy: The queue is full.
            OverShare: This caller's share of it is.
            Stopped: The batcher has been closed.
        """
        if self._stopped:
            raise Stopped.now()
        self._check_room(key, 1)
        now = asyncio.get_running_loop().time()
        ticket = Ticket(self, key, now, now + seconds)
        self._tickets.add(ticket)
        self._left_all.clear()
        return ticket

    def retry_after(self, windows: int) -> int:
        """In how many whole seconds so many windows have run, by the rate of the last batches."""
        if self._rate is None:
            return 1
        return min(_MAX_RETRY_SECONDS, max(1, math.ceil(windows / self._rate)))

    @property
    def waiting(self) -> int:
        """Windows that are decoded and wait."""
        return sum(job.pending for job in self._waiting)

    def start(self) -> None:
        """Begin to run batches."""
        self._workers = [asyncio.create_task(self._work(run)) for run in self._runs]

    async def close(self) -> None:
        """Answer every request that has been admitted, then stop; new ones are refused at the end of that."""
        while self._tickets:  # one may be taken while this wakes up
            await self._left_all.wait()
        await self.abort()

    async def abort(self) -> None:
        """Stop now: requests that are not answered yet get `Stopped`."""
        self._stopped = True
        # Before the workers end: what a run does with its cancellation concerns no client.
        for job in list(self._release):
            fail(job, Stopped.now())
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    # --- bookkeeping ------------------------------------------------------------------------------

    def _check_room(self, key: str, count: int, *, own: int = 0) -> None:
        """Refuse a request of `count` windows, `own` of which it holds, unless it fits or is alone."""
        most = self.limits.queue_windows
        share = max(1, int(self.limits.share * most))
        theirs, all_others = self._held_by[key] - own, self.held - own
        if share < most and theirs and theirs + count > share:
            raise OverShare.of(share, self.retry_after(theirs))
        if all_others and all_others + count > most:
            raise Busy.full(most, self.retry_after(all_others))

    def _hold(self, key: str, count: int) -> None:
        self.held += count
        self._held_by[key] += count
        if not self._held_by[key]:
            del self._held_by[key]

    def _left(self, ticket: Ticket[W, R]) -> None:
        self._tickets.discard(ticket)
        if not self._tickets:
            self._left_all.set()

    def _enqueue(self, job: Job[W, R], release: Callable[[int], None]) -> None:
        if self._stopped:
            fail(job, Stopped.now())
            return
        self._release[job] = release
        self._waiting.append(job)
        self._arrived.set()

    def _discard(self, job: Job[W, R]) -> None:
        self._release.pop(job, None)
        if job in self._waiting:
            self._waiting.remove(job)

    # --- batches ----------------------------------------------------------------------------------

    async def _work(self, run: Run[W, R]) -> None:
        while not self._stopped:
            while not (batch := self._take()):
                self._arrived.clear()
                await self._arrived.wait()
            try:
                with self.health.busy(asyncio.get_running_loop().time()):
                    await self._execute(run, batch)
            except BaseException as error:  # these requests end with it, the queue goes on
                ends = _is_the_end(error)
                for piece in batch:
                    fail(piece.job, Stopped.now() if ends else ModelFailure("the batch could not be run"))
                if ends:
                    raise
                logger.error("a batch could not be run", exc_info=error)

    def _take(self) -> list[Slice[W, R]]:
        """The next batch."""
        now = asyncio.get_running_loop().time()
        # Who is late or has hung up may not have been told yet.
        waiting = [job for job in self._waiting if not job.future.done() and now < job.deadline]
        counts = share_out(waiting, self._size, self.limits.batch_seconds)
        batch = []
        for job, count in counts.items():
            batch.append(Slice(job, job.taken, job.taken + count))
            job.taken += count
            self._release[job](count)
            if job.started is None:
                job.started = now
                self._tell("waited", now - job.queued)
        self._waiting = deque(job for job in self._waiting if job.pending)
        return batch

    async def _execute(
        self, run: Run[W, R], batch: list[Slice[W, R]], *, part_of_batch: bool = False
    ) -> None:
        """Run a batch; in parts where it is too large or one of its requests makes it fail."""
        batch = [piece for piece in batch if not piece.job.future.done()]
        windows = [window for piece in batch for window in piece.windows]
        if not windows:
            return
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            rows = list(await run(windows))
            if len(rows) != len(windows):
                raise RuntimeError(f"{len(rows)} rows for {len(windows)} windows")
        except OutOfMemory as error:
            # A batch that learns its size is one failure, though several runs fail.
            self._failed("out_of_memory", counts=not part_of_batch)
            if len(windows) == 1:
                logger.error("%s", error)
                fail(batch[0].job, error)
                return
            self._size = max(1, min(self._size, len(windows)) // 2)
            one_by_one = False
        except BaseException as error:  # panics of libraries written in Rust are no Exception
            if _is_the_end(error):
                raise
            self._failed("error")
            if len(batch) == 1:
                logger.error("the model failed on a sound", exc_info=error)
                fail(batch[0].job, ModelFailure("the model failed on this sound"))
                return
            one_by_one = True
        else:
            self._succeeded(batch, rows, loop.time() - begun)
            return
        # Not in the handlers: there the error would keep alive what the failed run has allocated.
        while batch:
            part, batch = (batch[:1], batch[1:]) if one_by_one else cut(batch, self._size)
            await self._execute(run, part, part_of_batch=True)

    def _succeeded(self, batch: list[Slice[W, R]], rows: Sequence[R], seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        self.health.succeeded()
        if self._size < self.limits.batch_windows and self.health.since_out_of_memory(now) > _GROW_SECONDS:
            self._size = min(self.limits.batch_windows, 2 * self._size)
        self._tell("ran", len(rows), seconds)
        if seconds > 0:
            rate = len(rows) * len(self._runs) / seconds
            self._rate = rate if self._rate is None else self._rate + _NEWEST * (rate - self._rate)
        position = 0
        for piece in batch:
            job = piece.job
            for index in range(piece.start, piece.stop):
                job.rows[index] = rows[position]
                position += 1
            job.compute_seconds += seconds
            job.batch_windows = max(job.batch_windows, len(rows))
            if len(job.rows) == len(job.windows) and not job.future.done():
                job.future.set_result(None)

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


def _is_the_end(error: BaseException) -> bool:
    """Whether the worker is to end, and not only a run that was cancelled elsewhere."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
