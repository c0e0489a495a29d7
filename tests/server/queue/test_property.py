"""Whatever comes, and in whatever order: each request ends once, with its own answer or with a reason."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import re
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from snn_voice_server.failures import (
    Busy,
    DeadlineExceeded,
    ModelFailure,
    OutOfMemory,
    OverShare,
    Refused,
    Stopped,
)
from snn_voice_server.queue.batching import Batcher
from snn_voice_server.queue.places import Limits, Outcome

from tests.server.queue.helpers import (
    FakeModel,
    Notes,
    answers,
    check_bounds,
    check_empty,
    now,
    virtually,
    windows,
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one client does. Times are seconds from the one before."""

    arrives: float
    decodes: float
    windows: int
    seconds: float
    key: str
    deadline: float
    hangs_up: float
    bad: bool


TIMES = st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.3]) | st.floats(0, 2)
PLANS = st.builds(
    Plan,
    arrives=TIMES,
    decodes=TIMES,
    windows=st.sampled_from([1, 1, 1, 2, 3, 10, 33]) | st.integers(1, 200),
    seconds=st.sampled_from([0.0, 1.0, 1.0, 0.3, 7.0]),
    key=st.sampled_from("abc"),
    deadline=st.sampled_from([math.inf, math.inf, 0.02, 10.0]) | st.floats(0.001, 5),
    hangs_up=st.sampled_from([math.inf, math.inf, math.inf, 0.01]) | st.floats(0, 5),
    bad=st.sampled_from([False] * 5 + [True]),
)
LIMITS = st.builds(
    Limits,
    batch_windows=st.integers(1, 32),
    batch_seconds=st.sampled_from([math.inf, 0.5, 8.0, 64.0]),
    queue_windows=st.sampled_from([1, 2, 16, 100, 256, 5000]),
    share=st.sampled_from([1.0, 1.0, 0.5, 0.1]),
)
MODELS = st.builds(
    FakeModel,
    LIMITS,
    devices=st.integers(1, 3),
    fixed=st.sampled_from([0.0, 0.01, 0.2]),
    each=st.sampled_from([0.001, 0.01, 0.1]),
    memory=st.sampled_from([math.inf, math.inf]) | st.integers(1, 40),
)
ENDS = st.none() | st.tuples(st.sampled_from(["close", "abort"]), st.floats(0, 10))


@dataclass
class World:
    """One model with its queue and clients.

    Attributes:
        admitted: Requests that got a place, and when.
        ended: When the queue was told to end.
    """

    model: FakeModel
    plans: list[Plan]
    end: tuple[str, float] | None
    observer_raises: bool
    first: int
    notes: Notes = field(init=False)
    batcher: Batcher[Any, Any] = field(init=False)
    admitted: dict[int, float] = field(default_factory=dict)
    ended: float = math.inf

    async def play(self) -> None:
        self.notes = Notes(raises=self.observer_raises)
        self.batcher = Batcher(self.model.runs(), self.model.limits, self.notes)
        self.batcher.start()
        workers = list(self.batcher._workers)
        arrivals = itertools.accumulate(plan.arrives for plan in self.plans)
        clients = [
            asyncio.create_task(self._client(self.first + index, plan, arrival))
            for index, (plan, arrival) in enumerate(zip(self.plans, arrivals, strict=True))
        ]
        for index, (client, plan) in enumerate(zip(clients, self.plans, strict=True)):
            asyncio.get_running_loop().call_later(plan.hangs_up, self._hang_up, self.first + index, client)
        if self.end is not None:
            await asyncio.sleep(self.end[1])
            self.ended = now()
            await (self.batcher.close() if self.end[0] == "close" else self.batcher.abort())
            if self.end[0] == "close":  # else they are told in the next turns of the loop
                check_empty(self.batcher)
        await asyncio.wait(clients)
        check_empty(self.batcher)
        if self.end is None:
            await self.batcher.close()
        assert all(worker.done() for worker in workers)
        for index, (client, plan) in enumerate(zip(clients, self.plans, strict=True)):
            self._check(self.first + index, plan, client)
        self._check_notes()
        assert not self.model.broken

    def _hang_up(self, request: int, client: asyncio.Task[Any]) -> None:
        if not client.done():
            self.model.gone.add(request)
            client.cancel()

    async def _client(self, request: int, plan: Plan, arrival: float) -> tuple[object, float]:
        """How it ended, and when."""
        try:
            await asyncio.sleep(arrival)
            with self.batcher.admit(plan.key, seconds=plan.deadline) as ticket:
                self.admitted[request] = now()
                self.model.deadlines[request] = ticket.deadline
                if plan.bad:
                    self.model.bad.add(request)
                await asyncio.sleep(plan.decodes)
                outcome = await ticket.run(windows(request, plan.windows, plan.seconds), plan.seconds)
            return outcome, now()
        except (Refused, DeadlineExceeded, ModelFailure) as error:
            return error, now()
        finally:
            check_bounds(self.batcher)

    def _check(self, request: int, plan: Plan, client: asyncio.Task[tuple[object, float]]) -> None:
        if client.cancelled():
            event("hung up")
            assert request in self.model.gone
            return
        found, when = client.result()
        event(type(found).__name__)
        end = self.model.deadlines.get(request, math.inf)
        if isinstance(found, Outcome):
            assert not plan.bad
            assert found.rows == answers(request, plan.windows)
            assert when <= end + 1e-9
            batches = [batch for batch in self.model.batches if any(w.request == request for w in batch)]
            assert found.batch_windows <= max(len(batch) for batch in batches)
            assert 0 <= found.queue_seconds <= when - self.admitted[request]
            assert found.compute_seconds > 0
        elif isinstance(found, DeadlineExceeded):
            # Its decoding may have lasted longer than all it had.
            over = max(end, self.admitted[request] + plan.decodes)
            assert math.isclose(when, over, abs_tol=1e-9)
            waited = float(re.findall(r"after (\S+) s", found.message)[0])
            assert abs(waited - (when - self.admitted[request])) < 0.006
        elif isinstance(found, ModelFailure):
            assert plan.bad
        elif isinstance(found, OutOfMemory):
            assert self.model.memory < 1
        elif isinstance(found, OverShare):
            assert self.model.limits.share < 1
        elif isinstance(found, Stopped):
            assert self.end is not None
            assert when >= self.ended
            assert self.end[0] == "abort" or request not in self.admitted
        else:
            assert isinstance(found, Busy)
        if isinstance(found, Refused):
            assert 1 <= found.retry_after <= 120

    def _check_notes(self) -> None:
        assert self.notes.ran_windows == len(self.model.succeeded)
        assert self.notes.failures == self.model.failures
        assert len(self.notes.waits) == len({window.request for window in self.model.begun})
        assert all(seconds >= 0 for seconds in self.notes.waits)


WORLDS = st.builds(
    World,
    model=MODELS,
    plans=st.integers(1, 30).flatmap(lambda count: st.lists(PLANS, min_size=count, max_size=count)),
    end=ENDS,
    observer_raises=st.booleans(),
    first=st.just(0),
)


def together(*scenes: Coroutine[Any, Any, None]) -> None:
    """Play them in one event loop."""

    async def all_of_them() -> None:
        await asyncio.gather(*scenes)

    virtually(all_of_them())


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """Tracebacks of thousands of runs would take most of the time."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=WORLDS)
def test_every_request_ends_once_with_what_is_its_own(world: World) -> None:
    together(world.play())


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds=st.lists(WORLDS, min_size=2, max_size=3))
def test_models_do_not_touch_each_other(worlds: list[World]) -> None:
    for index, world in enumerate(worlds):
        world.first = 1000 * index
    together(*(world.play() for world in worlds))


@settings(max_examples=60, deadline=None)
@given(
    limits=LIMITS, devices=st.integers(1, 3), memory=st.integers(1, 40), counts=st.lists(st.integers(1, 99))
)
def test_with_room_and_time_all_are_answered(
    limits: Limits, devices: int, memory: int, counts: list[int]
) -> None:
    """However little memory there is, as long as single windows fit."""
    limits = replace(limits, queue_windows=10**6)
    model = FakeModel(limits, devices=devices, memory=memory)

    async def scene() -> None:
        batcher: Batcher[Any, Any] = Batcher(model.runs(), limits)
        batcher.start()

        async def client(request: int, count: int) -> None:
            with batcher.admit() as ticket:
                outcome = await ticket.run(windows(request, count, 1.0), 1.0)
            assert outcome.rows == answers(request, count)
            assert outcome.batch_windows <= memory

        await asyncio.gather(*(client(request, count) for request, count in enumerate(counts)))
        await batcher.close()
        check_empty(batcher)

    virtually(scene())
    assert not model.broken
