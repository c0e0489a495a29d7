"""Requests that arrive together run together: an asyncio queue that knows no HTTP, no model and no device.

The unit is the window, a piece of sound of the model's length. An idle batcher runs a request at once; what
arrives while a batch runs makes up the next one. No request fails for the sake of another one in its batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from snn_voice_server.failures import ModelFailure, OutOfMemory, Stopped
from snn_voice_server.queue.jobs import Queued, R, Slice, W, cut, fail, share_out
from snn_voice_server.queue.places import Limits, Observer, Outcome, Place, Queue

logger = logging.getLogger(__name__)

Run = Callable[[list[W]], Awaitable[Sequence[R]]]

# A device that ran out of memory is tried with larger batches again after so long.
_GROW_SECONDS = 60.0


class Batcher(Queue[W, R]):
    """The queue of one model, and what takes batches from it.

    Args:
        runs: One for each device: windows in, a row for each out. Each is called by one batch at a time.
        limits: Sizes.
        observer: Is told what happens.
    """

    def __init__(
        self, runs: Sequence[Run[W, R]], limits: Limits | None = None, observer: Observer | None = None
    ) -> None:
        super().__init__(limits, observer)
        self._runs = runs
        self._size = self.limits.batch_windows
        self._waiting: deque[Queued[W, R]] = deque()
        self._place_of: dict[Queued[W, R], Place[W, R]] = {}
        self._arrived = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Windows that are decoded and wait."""
        return sum(job.pending for job in self._waiting)

    def start(self) -> None:
        """Begin to run batches."""
        self._workers = [asyncio.create_task(self._work(run)) for run in self._runs]

    async def abort(self) -> None:
        """Stop now: requests that are not answered yet get `Stopped`."""
        await super().abort()
        # Before the workers end: what a run does with its cancellation concerns no client.
        for job in list(self._place_of):
            fail(job, Stopped.now())
        # An ended worker holds its frame, and so this queue and its model, which would keep each other alive.
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _answer(self, place: Place[W, R], windows: Sequence[W], seconds: float) -> Outcome[R]:
        place.ask(len(windows))
        loop = asyncio.get_running_loop()
        job: Queued[W, R] = Queued(windows, seconds, loop.create_future(), loop.time(), place.deadline)
        timer = loop.call_at(place.deadline, lambda: fail(job, place.late()))
        if self._stopped:
            fail(job, Stopped.now())
        else:
            self._place_of[job] = place
            self._waiting.append(job)
            self._arrived.set()
        try:
            await job.future
        finally:
            # Cancelled, because the client hung up, or over: nothing more of it is to run.
            timer.cancel()
            self._place_of.pop(job, None)
            if job in self._waiting:
                self._waiting.remove(job)
        started = job.queued if job.started is None else job.started
        rows = [job.rows[index] for index in range(len(windows))]
        return Outcome(rows, started - job.queued, job.compute_seconds, job.batch_windows)

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
            self._place_of[job].release(count)
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
        self._measured(len(rows) * len(self._runs), seconds)
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


def _is_the_end(error: BaseException) -> bool:
    """Whether the worker is to end, and not only a run that was cancelled elsewhere."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
