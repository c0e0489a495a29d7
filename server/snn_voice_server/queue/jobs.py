"""Requests as a queue sees them: windows, of which some are taken into each batch."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

W = TypeVar("W")
R = TypeVar("R")


@dataclass(eq=False)
class Queued(Generic[W, R]):
    """A request in the queue or in a batch.

    Attributes:
        windows: All of its windows.
        seconds: How much sound a window is.
        future: Done when the request is over.
        queued: When it came, by the loop's clock.
        deadline: When it is given up.
        started: When its first window was taken.
        taken: How many of its windows were.
        rows: The answers so far, by place.
        compute_seconds: What its batches took.
        batch_windows: Size of the largest of these.
    """

    windows: Sequence[W]
    seconds: float
    future: asyncio.Future[None]
    queued: float
    deadline: float
    started: float | None = None
    taken: int = 0
    rows: dict[int, R] = field(default_factory=dict)
    compute_seconds: float = 0.0
    batch_windows: int = 0

    @property
    def pending(self) -> int:
        """Windows that are not taken yet."""
        return len(self.windows) - self.taken


@dataclass(frozen=True)
class Slice(Generic[W, R]):
    """The windows of one request that are in one batch.

    Attributes:
        job: The request.
        start: Place of the first.
        stop: Place after the last.
    """

    job: Queued[W, R]
    start: int
    stop: int

    @property
    def windows(self) -> Sequence[W]:
        """These windows."""
        return self.job.windows[self.start : self.stop]


def fail(job: Queued[W, R], error: Exception) -> None:
    """End a request by an error, unless it is over."""
    if not job.future.done():
        job.future.set_exception(error)


def share_out(waiting: Sequence[Queued[W, R]], room: int, seconds: float) -> dict[Queued[W, R], int]:
    """How many windows of which requests make up the next batch, oldest first.

    While others wait, none gets more than half of it: a long clip delays short ones by less than its own
    length.

    Args:
        waiting: The requests, in the order in which they came.
        room: Windows of a batch.
        seconds: Sound of a batch; one window may be longer.
    """
    counts: dict[Queued[W, R], int] = {}
    half = max(1, room // 2) if len(waiting) > 1 else room
    for most in (half, room):
        for job in waiting:
            count = min(most, room, job.pending - counts.get(job, 0))
            if job.seconds > 0 and math.isfinite(seconds):
                count = min(count, int(seconds / job.seconds))
                if not counts:
                    count = max(1, count)  # longer than a batch may be, and alone
            if count > 0:
                counts[job] = counts.get(job, 0) + count
                room -= count
                seconds -= count * job.seconds
            if not room:
                break
    return counts


def cut(batch: list[Slice[W, R]], size: int) -> tuple[list[Slice[W, R]], list[Slice[W, R]]]:
    """A batch in two, the first of `size` windows."""
    first: list[Slice[W, R]] = []
    second: list[Slice[W, R]] = []
    for piece in batch:
        edge = min(piece.stop, piece.start + size)
        size -= edge - piece.start
        if edge > piece.start:
            first.append(Slice(piece.job, piece.start, edge))
        if edge < piece.stop:
            second.append(Slice(piece.job, edge, piece.stop))
    return first, second
