"""Whatever arrives, leaves, fails or ends: every request is answered once, with its own answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass

from batching_helpers import FakeModel, Notes, row, run
from hypothesis import given, settings
from hypothesis import strategies as st
from snn_voice_server.batching import Batcher, Limits
from snn_voice_server.failures import (
    Busy,
    DeadlineExceeded,
    ModelFailure,
    OutOfMemory,
    OverShare,
    Stopped,
)


@dataclass(frozen=True)
class Ask:
    """A request: when, by whom, how long; and whether its client hangs up."""

    at: float
    key: str
    windows: int
    deadline: float
    decode: float
    hangs_up: float | None


ASKS = st.lists(
    st.builds(
        Ask,
        at=st.floats(0, 0.5),
        key=st.sampled_from(["a", "b", ""]),
        windows=st.one_of(st.integers(1, 4), st.integers(1, 200)),
        deadline=st.sampled_from([0.02, 0.2, 100.0, 100.0]),
        decode=st.sampled_from([0.0, 0.0, 0.003, 0.05]),
        hangs_up=st.sampled_from([None, None, None, 0.0, 0.01, 0.1]),
    ),
    min_size=1,
    max_size=40,
)
LIMITS = st.builds(
    Limits,
    batch_windows=st.integers(1, 40),
    batch_seconds=st.sampled_from([float("inf"), 5.0, 0.5]),
    queue_windows=st.sampled_from([1, 8, 64, 1000]),
    share=st.sampled_from([1.0, 0.5, 0.1]),
)


@settings(max_examples=150, deadline=None)
@given(
    asks=ASKS,
    limits=LIMITS,
    devices=st.integers(1, 3),
    memory=st.sampled_from([1, 3, 10, 1 << 30]),
    poison=st.frozensets(st.integers(0, 39), max_size=3),
    end=st.sampled_from([None, None, ("close", 0.1), ("abort", 0.1), ("abort", 0.0)]),
)
def test_every_request_is_answered_once_with_its_own_answer(
    asks: list[Ask],
    limits: Limits,
    devices: int,
    memory: int,
    poison: frozenset[int],
    end: tuple[str, float] | None,
) -> None:
    models = [FakeModel(poison=poison, memory=memory) for _ in range(devices)]
    notes = Notes()
    outcomes: dict[int, object] = {}
    left_at: dict[int, float] = {}

    async def scene() -> None:
        batcher = Batcher(models, limits, notes)
        batcher.start()
        loop = asyncio.get_running_loop()

        async def ask(number: int, request: Ask) -> None:
            await asyncio.sleep(request.at)

            async def answer() -> object:
                with batcher.admit(request.key, seconds=request.deadline) as ticket:
                    check_bounds()
                    await asyncio.sleep(request.decode)
                    windows = [(number, place) for place in range(request.windows)]
                    outcome = await ticket.run(windows, 1.0)
                    return outcome.rows

            task = asyncio.ensure_future(answer())
            if request.hangs_up is not None:
                loop.call_later(request.hangs_up, task.cancel)
            try:
                found: object = await task
            except asyncio.CancelledError:
                found = "hung up"
            except (Busy, OverShare, DeadlineExceeded, ModelFailure, OutOfMemory, Stopped) as error:
                found = error
            assert number not in outcomes
            outcomes[number] = found
            left_at[number] = loop.time()

        def check_bounds() -> None:
            assert batcher.held >= 0
            assert batcher.held <= max(limits.queue_windows, 200)
            assert all(held > 0 for held in batcher._held_by.values())

        tasks = [asyncio.create_task(ask(number, request)) for number, request in enumerate(asks)]
        if end is not None:
            await asyncio.sleep(end[1])
            if end[0] == "abort":
                await batcher.abort()
            else:
                await batcher.close()
        await asyncio.gather(*tasks)
        await batcher.close()
        assert batcher.held == 0
        assert not batcher._held_by
        assert batcher.waiting == 0

    run(scene)
    assert set(outcomes) == set(range(len(asks)))
    for number, request in enumerate(asks):
        found = outcomes[number]
        if isinstance(found, list):
            assert found == [row((number, place)) for place in range(request.windows)]
            assert number not in poison
        elif isinstance(found, ModelFailure):
            assert number in poison
        elif isinstance(found, Stopped):
            assert end is not None
        elif isinstance(found, DeadlineExceeded):
            assert request.deadline < 100
        elif isinstance(found, OutOfMemory):
            raise AssertionError("single windows fit")
        elif found == "hung up":
            assert request.hangs_up is not None
    for model in models:
        for begun, windows in model.batches:
            assert len(windows) <= limits.batch_windows
            # Each window is a second of sound.
            assert len(windows) <= max(1.0, limits.batch_seconds)
            for number in {number for number, _ in windows}:
                assert begun <= left_at[number] + 1e-6, "run for a request that has gone"
    ran = Counter(window for model in models for window in model.done)
    assert all(times == 1 for times in ran.values()), "a window that was answered ran again"
    assert sum(windows for windows, _ in notes.runs) == sum(ran.values())
    assert all(wait >= 0 for wait in notes.waits)
    assert len(notes.waits) <= len(asks)


@settings(max_examples=60, deadline=None)
@given(
    clients=st.integers(1, 60),
    windows=st.integers(1, 5),
    queue=st.integers(1, 30),
    each=st.sampled_from([0.001, 0.05, 0.7]),
)
def test_who_waits_as_long_as_is_said_gets_in(clients: int, windows: int, queue: int, each: float) -> None:
    """Closed loop, far more than fits: all succeed in the end, and nobody asks for ever."""
    model = FakeModel(base=0.0, each=each)

    async def scene() -> int:
        batcher = Batcher([model], Limits(batch_windows=4, queue_windows=queue))
        batcher.start()
        most = 0

        async def client(number: int) -> None:
            nonlocal most
            for tries in range(1, 1000):
                try:
                    with batcher.admit(seconds=1e6) as ticket:
                        found = await ticket.run([(number, place) for place in range(windows)])
                    assert found.rows == [row((number, place)) for place in range(windows)]
                    most = max(most, tries)
                    return
                except Busy as busy:
                    assert busy.retry_after >= 1
                    await asyncio.sleep(busy.retry_after)
            raise AssertionError("never got in")

        await asyncio.gather(*(client(number) for number in range(clients)))
        await batcher.close()
        return most

    # Of 60 clients, a queue of one lets one in at a time.
    assert run(scene) <= clients + 1


@settings(max_examples=60, deadline=None)
@given(long=st.integers(40, 200), short=st.integers(1, 10), batch=st.integers(2, 32))
def test_a_long_clip_holds_up_short_ones_by_less_than_its_length(long: int, short: int, batch: int) -> None:
    model = FakeModel(base=0.0, each=0.01)

    async def scene() -> tuple[float, float]:
        batcher = Batcher([model], Limits(batch_windows=batch, queue_windows=1000))
        batcher.start()
        loop = asyncio.get_running_loop()
        ends: dict[int, float] = {}

        async def ask(number: int, count: int) -> None:
            with batcher.admit(seconds=1e6) as ticket:
                await ticket.run([(number, place) for place in range(count)])
            ends[number] = loop.time()

        first = asyncio.create_task(ask(0, long))
        await asyncio.sleep(0.001)
        await asyncio.gather(first, *(ask(number, 1) for number in range(1, short + 1)))
        await batcher.close()
        return ends.pop(0), max(ends.values())

    whole, last_short = run(scene)
    # The batch that is running, and then the short ones get at least half of each.
    half = max(1, batch // 2)
    batches = -(-short // half)
    assert last_short <= 0.01 * batch * (1 + batches) + 1e-6
    assert last_short <= whole


def test_the_clock_tells_a_hang() -> None:
    async def scene() -> None:
        await asyncio.get_running_loop().create_future()

    with contextlib.suppress(AssertionError):
        run(scene)
        raise RuntimeError("not noticed")
