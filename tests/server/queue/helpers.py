"""A clock that jumps instead of waiting, and a model that computes nothing and notices every broken rule."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from snn_voice_server.failures import OutOfMemory
from snn_voice_server.queue.batching import Batcher, Run
from snn_voice_server.queue.places import Limits, Outcome

T = TypeVar("T")
Row = tuple[int, int]

# So many turns of the loop without a step of time are a circle.
_TURNS = 100_000


class Hang(BaseException):
    """Nothing is left that could ever happen, and somebody still waits."""


class _Jumps(selectors.SelectSelector):
    """Moves the loop's clock to the next timer, where another selector would wait for it."""

    loop: VirtualLoop
    turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.turns += 1
        if timeout is None or timeout > 0:
            timers = self.loop._scheduled  # type: ignore[attr-defined]
            if not timers or timers[0]._when == math.inf:
                raise Hang("nothing will ever happen")
            self.loop.now = max(self.loop.now, timers[0]._when)
            self.turns = 0
        if self.turns > _TURNS:
            raise Hang("it goes round in circles")
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which `asyncio.sleep` takes no time, and that raises `Hang` where it could only wait.

    Attributes:
        now: Its clock, in seconds.
        unhandled: What nobody has asked for: errors of tasks and futures.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.unhandled: list[dict[str, Any]] = []
        selector = _Jumps()
        selector.loop = self
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self.unhandled.append(context))

    def time(self) -> float:
        return self.now


def virtually(scene: Coroutine[Any, Any, T]) -> T:
    """The result of a scene, played in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        result = runner.run(scene)
    assert not loop.unhandled, loop.unhandled
    return result


def now() -> float:
    """Virtual time."""
    return asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Window:
    """A piece of a request."""

    request: int
    index: int
    seconds: float = 0.0

    @property
    def answer(self) -> Row:
        """What the model says to it, and to no other."""
        return self.request, self.index


def windows(request: int, count: int = 1, seconds: float = 0.0) -> list[Window]:
    """The windows of one request."""
    return [Window(request, index, seconds) for index in range(count)]


def answers(request: int, count: int = 1) -> list[Row]:
    """The rows that belong to them."""
    return [window.answer for window in windows(request, count)]


@dataclass
class FakeModel:
    """Runs for a batcher. Broken rules are noted, because the batcher would take an error for the model's.

    Attributes:
        limits: What it must be given no more than.
        devices: How many runs there are.
        fixed: Seconds that each batch takes.
        each: Seconds that each window takes.
        memory: So many windows fit.
        bad: Requests on which it fails.
        deadlines: Request -> time from which on it must not begin to run.
        gone: Requests whose clients have left.
        broken: Rules that were broken.
        batches: What was run, in order.
        failures: Runs that failed, by kind.
    """

    limits: Limits
    devices: int = 1
    fixed: float = 0.01
    each: float = 0.01
    memory: float = math.inf
    bad: set[int] = field(default_factory=set)
    deadlines: dict[int, float] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    batches: list[list[Window]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    begun: set[Window] = field(default_factory=set)
    succeeded: set[Window] = field(default_factory=set)
    _running: set[Window] = field(default_factory=set)
    _busy: set[int] = field(default_factory=set)
    _next: Counter[int] = field(default_factory=Counter)

    def runs(self) -> list[Run[Window, Row]]:
        """One for each device."""

        def run_of(device: int) -> Run[Window, Row]:
            return lambda batch: self._run(device, batch)

        return [run_of(device) for device in range(self.devices)]

    @property
    def sizes(self) -> list[int]:
        """Of the batches so far."""
        return [len(batch) for batch in self.batches]

    async def _run(self, device: int, batch: list[Window]) -> list[Row]:
        self._check(device, batch)
        self.batches.append(batch)
        self.begun.update(batch)
        self._running.update(batch)
        self._busy.add(device)
        try:
            await asyncio.sleep(self.fixed + self.each * len(batch))
        finally:
            self._busy.discard(device)
            self._running.difference_update(batch)
        if len(batch) > self.memory:
            self.failures["out_of_memory"] += 1
            raise OutOfMemory("the device has no memory for this now")
        if any(window.request in self.bad for window in batch):
            self.failures["error"] += 1
            raise RuntimeError("no such sound")
        self.succeeded.update(batch)
        return [window.answer for window in batch]

    def _check(self, device: int, batch: list[Window]) -> None:
        self._rule(device not in self._busy, "two batches at once on one device")
        self._rule(0 < len(batch) <= self.limits.batch_windows, f"{len(batch)} windows in a batch")
        # Some callers do not say how long their windows are.
        lengths = [window.seconds for window in batch if window.seconds]
        seconds = sum(lengths)
        fits = seconds <= self.limits.batch_seconds * (1 + 1e-9) or len(lengths) == 1
        self._rule(fits, f"{seconds} s in a batch")
        self._rule(len(set(batch)) == len(batch), "a window is twice in a batch")
        self._rule(not self._running & set(batch), "a window runs on two devices")
        self._rule(not self.succeeded & set(batch), "a window that has its answer runs again")
        order: dict[int, int] = {}
        for window in batch:
            request, index = window.request, window.index
            self._rule(order.get(request, index) == index, f"windows of request {request} out of order")
            order[request] = index + 1
            self._rule(request not in self.gone, f"request {request} runs for nobody")
            late = now() - self.deadlines.get(request, math.inf)
            if window in self.begun:  # in a batch that failed
                self._rule(late <= 0, f"request {request} runs after its deadline")
            else:
                self._rule(late < 0, f"request {request} begins after its deadline")
                self._rule(index == self._next[request], f"window {index} of request {request} out of turn")
                self._next[request] = index + 1

    def _rule(self, kept: bool, what: str) -> None:
        if not kept:
            self.broken.append(f"at {now():g} s: {what}")


@asynccontextmanager
async def running(
    model: FakeModel, notes: Notes | None = None, runs: Sequence[Run[Window, Any]] | None = None
) -> AsyncIterator[Batcher[Window, Any]]:
    """A queue before a model, which must be left with nothing in it."""
    batcher = Batcher(runs or model.runs(), model.limits, notes)
    batcher.start()
    workers = list(batcher._workers)
    yield batcher
    await batcher.close()
    check_empty(batcher)
    assert not model.broken
    assert all(worker.done() for worker in workers)


async def ask(
    batcher: Batcher[Window, Any],
    request: int,
    count: int = 1,
    *,
    key: str = "",
    deadline: float = math.inf,
    seconds: float = 0.0,
) -> Outcome[Any]:
    """What a request does that needs no decoding."""
    with batcher.admit(key, seconds=deadline) as ticket:
        return await ticket.run(windows(request, count, seconds), seconds)


async def result(task: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T | Exception:
    """What comes of it, also if it is an error."""
    try:
        return await task
    except Exception as error:
        return error


@dataclass
class Notes:
    """An observer."""

    raises: bool = False
    waits: list[float] = field(default_factory=list)
    ran_windows: int = 0
    compute_seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._end()

    def ran(self, windows: int, seconds: float) -> None:
        self.ran_windows += windows
        self.compute_seconds += seconds
        self._end()

    def failed(self, kind: str) -> None:
        self.failures[kind] += 1
        self._end()

    def _end(self) -> None:
        if self.raises:
            raise RuntimeError("no room for another figure")


def check_bounds(batcher: Batcher[Any, Any]) -> None:
    """Nobody holds more than the rules of `Limits` allow."""
    holders = Counter(place.key for place in batcher._places if place.held)
    held = Counter[str]()
    for place in batcher._places:
        assert place.held >= 0
        held[place.key] += place.held
    assert +held == batcher._held_by
    assert batcher.held == held.total()
    assert 0 <= batcher.waiting <= batcher.held
    most = batcher.limits.queue_windows
    assert batcher.held <= most or holders.total() == 1
    share = max(1, int(batcher.limits.share * most))
    for key, count in held.items():
        assert count <= share or share >= most or holders[key] == 1


def check_empty(batcher: Batcher[Any, Any]) -> None:
    """Nothing is left of any request."""
    assert batcher.held == batcher.waiting == 0
    assert not batcher._held_by
    assert not batcher._places
    assert not batcher._waiting
    assert not batcher._place_of
