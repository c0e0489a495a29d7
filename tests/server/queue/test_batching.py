"""Which windows run together, who waits, and who is refused."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import pytest
from snn_voice_server.failures import Busy, DeadlineExceeded, OverShare
from snn_voice_server.queue.places import Limits, Outcome

from tests.server.queue.helpers import (
    FakeModel,
    Notes,
    answers,
    ask,
    check_bounds,
    now,
    result,
    running,
    virtually,
    windows,
)

# --- batches --------------------------------------------------------------------------------------


def test_an_idle_queue_runs_a_request_at_once() -> None:
    async def scene() -> None:
        async with running(FakeModel(Limits(), fixed=0.1, each=0.0)) as batcher:
            for request in range(3):
                await asyncio.sleep(1)
                begun = now()
                outcome = await ask(batcher, request)
                assert outcome == Outcome(answers(request), 0.0, pytest.approx(0.1), 1)
                assert now() - begun == pytest.approx(0.1)

    virtually(scene())


def test_what_arrives_while_a_batch_runs_makes_up_the_next() -> None:
    model = FakeModel(Limits(), fixed=1.0, each=0.0)

    async def scene() -> None:
        async with running(model) as batcher:

            async def client(request: int) -> Outcome[object]:
                await asyncio.sleep(request / 10)
                return await ask(batcher, request)

            found = await asyncio.gather(*(client(request) for request in range(6)))
        assert [outcome.batch_windows for outcome in found] == [1] + [5] * 5
        assert [outcome.queue_seconds for outcome in found] == pytest.approx([0, 0.9, 0.8, 0.7, 0.6, 0.5])
        assert [outcome.rows for outcome in found] == [answers(request) for request in range(6)]

    virtually(scene())
    assert model.sizes == [1, 5]


def test_a_long_request_runs_in_several_batches() -> None:
    model, notes = FakeModel(Limits(batch_windows=32), fixed=0.0, each=0.01), Notes()

    async def scene() -> None:
        async with running(model, notes) as batcher:
            outcome = await ask(batcher, 0, 100)
        assert outcome == Outcome(answers(0, 100), 0.0, pytest.approx(1.0), 32)

    virtually(scene())
    assert model.sizes == [32, 32, 32, 4]
    assert notes.waits == [0.0]
    assert notes.ran_windows == 100
    assert notes.compute_seconds == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("batch_seconds", "seconds", "sizes"),
    [
        (8.0, 1.0, [8, 8, 4]),
        (8.0, 3.0, [2] * 10),
        (8.0, 9.0, [1] * 20),  # longer than a batch may be
        (0.6, 0.2, [2, 2] * 5),  # 0.6 / 0.2 is a little less than 3 in binary
        (math.inf, 9.0, [10, 10]),
        (8.0, 0.0, [10, 10]),
    ],
)
def test_seconds_in_a_batch(batch_seconds: float, seconds: float, sizes: list[int]) -> None:
    model = FakeModel(Limits(batch_windows=10, batch_seconds=batch_seconds))

    async def scene() -> None:
        async with running(model) as batcher:
            assert (await ask(batcher, 0, 20, seconds=seconds)).rows == answers(0, 20)

    virtually(scene())
    assert model.sizes == sizes


def test_short_clips_pass_a_long_one() -> None:
    model = FakeModel(Limits(batch_windows=8), fixed=0.0, each=0.1)

    async def scene() -> None:
        async with running(model) as batcher:
            long = asyncio.create_task(ask(batcher, 0, 200))
            for request in range(1, 7):
                await asyncio.sleep(1)
                short = await ask(batcher, request)
                assert short.queue_seconds <= 0.8 + 1e-9  # the batch that was running, and no more
            assert not long.done()
            assert (await long).rows == answers(0, 200)

    virtually(scene())


def test_two_long_clips_share_each_batch() -> None:
    model = FakeModel(Limits(batch_windows=8))

    async def scene() -> None:
        async with running(model) as batcher:
            await asyncio.gather(ask(batcher, 0, 20), ask(batcher, 1, 20), ask(batcher, 2, 2))

    virtually(scene())
    shares = [Counter(window.request for window in batch) for batch in model.batches]
    # Oldest first, none more than half while others wait; what others leave is used.
    assert shares == [{0: 4, 1: 4}, {0: 4, 1: 4}, {0: 4, 1: 4}, {0: 4, 1: 4}, {0: 4, 1: 4}, {2: 2}]


def test_a_half_that_nobody_else_wants_is_used() -> None:
    model = FakeModel(Limits(batch_windows=8))

    async def scene() -> None:
        async with running(model) as batcher:
            await asyncio.gather(ask(batcher, 0, 20), ask(batcher, 1, 1))

    virtually(scene())
    assert Counter(window.request for window in model.batches[0]) == {0: 7, 1: 1}
    for request in (0, 1):
        indices = [w.index for batch in model.batches for w in batch if w.request == request]
        assert indices == sorted(indices)


def test_devices_run_side_by_side() -> None:
    model = FakeModel(Limits(batch_windows=8), devices=3, fixed=1.0, each=0.0)

    async def scene() -> None:
        async with running(model) as batcher:
            assert (await ask(batcher, 0, 48)).rows == answers(0, 48)
            assert now() == pytest.approx(2.0)

    virtually(scene())
    assert model.sizes == [8] * 6


# --- room -----------------------------------------------------------------------------------------


def test_the_queue_is_bounded() -> None:
    async def scene() -> None:
        async with running(FakeModel(Limits(batch_windows=1, queue_windows=4))) as batcher:
            first = asyncio.create_task(ask(batcher, 0))
            await asyncio.sleep(0)
            tasks = [asyncio.create_task(ask(batcher, request)) for request in (1, 2, 3, 4)]
            await asyncio.sleep(0.001)
            assert batcher.held == batcher.waiting == 4  # the first one runs
            with pytest.raises(Busy, match="its queue of 4 windows is full"):
                batcher.admit()
            await first
            await asyncio.gather(*tasks)
            assert batcher.held == 0

    virtually(scene())


def test_a_place_for_decoding_counts() -> None:
    async def scene() -> None:
        async with running(FakeModel(Limits(queue_windows=2))) as batcher:
            with batcher.admit(), batcher.admit():
                assert (batcher.held, batcher.waiting) == (2, 0)
                with pytest.raises(Busy):
                    batcher.admit()
            with batcher.admit():
                assert batcher.held == 1

    virtually(scene())


def test_a_request_longer_than_the_queue_is_taken_when_it_is_alone() -> None:
    async def scene() -> None:
        async with running(FakeModel(Limits(batch_windows=2, queue_windows=4))) as batcher:
            long = asyncio.create_task(ask(batcher, 0, 50))
            await asyncio.sleep(0.001)
            assert isinstance(await result(ask(batcher, 1)), Busy)
            assert (await long).rows == answers(0, 50)
            with batcher.admit() as other:
                assert isinstance(await result(ask(batcher, 2, 50)), Busy)  # not alone
                assert (await other.run(windows(3))).rows == answers(3)

    virtually(scene())


def test_a_caller_gets_its_share_and_no_more() -> None:
    limits = Limits(batch_windows=1, queue_windows=8, share=0.5)

    async def scene() -> None:
        async with running(FakeModel(limits)) as batcher:
            tasks = [asyncio.create_task(ask(batcher, 0, key="a"))]
            await asyncio.sleep(0.001)
            tasks += [asyncio.create_task(ask(batcher, request, key="a")) for request in (1, 2, 3, 4)]
            await asyncio.sleep(0)
            with pytest.raises(OverShare, match="hold your share of the queue, 4 windows"):
                batcher.admit("a")
            tasks += [asyncio.create_task(ask(batcher, request, key="b")) for request in (5, 6, 7, 8)]
            await asyncio.sleep(0)
            with pytest.raises(Busy):
                batcher.admit("c")
            check_bounds(batcher)
            await asyncio.gather(*tasks)

    virtually(scene())


def test_a_callers_only_request_may_be_longer_than_its_share() -> None:
    limits = Limits(batch_windows=1, queue_windows=8, share=0.25)

    async def scene() -> None:
        async with running(FakeModel(limits)) as batcher:
            with batcher.admit("b"):
                long = asyncio.create_task(ask(batcher, 0, 7, key="a"))
                await asyncio.sleep(0)
                assert isinstance(await result(ask(batcher, 1, key="a")), OverShare)
                await long

    virtually(scene())


def test_a_tiny_share_is_one_window() -> None:
    async def scene() -> None:
        async with running(FakeModel(Limits(queue_windows=2, share=0.01))) as batcher:
            with batcher.admit("a"):
                with pytest.raises(OverShare):
                    batcher.admit("a")
                await ask(batcher, 0, key="b")

    virtually(scene())


# --- retry_after ----------------------------------------------------------------------------------


def test_retry_after_follows_the_measured_rate() -> None:
    model = FakeModel(Limits(batch_windows=8), devices=2, fixed=0.0, each=0.5)

    async def scene() -> None:
        async with running(model) as batcher:
            assert batcher.retry_after(1000) == 1  # nothing was measured yet
            await ask(batcher, 0, 8)
            # Two devices of two windows a second.
            told = {count: batcher.retry_after(count) for count in (0, 1, 4, 5, 400, 10**9)}
            assert told == {0: 1, 1: 1, 4: 1, 5: 2, 400: 100, 10**9: 120}
            model.each = 0.05
            for request in range(1, 30):
                await ask(batcher, request, 8)
            assert batcher.retry_after(400) == 11  # 40 a second; the first batch is not forgotten at once

    virtually(scene())


def test_who_waits_as_told_finds_room() -> None:
    model = FakeModel(Limits(batch_windows=4, queue_windows=40), fixed=0.0, each=0.5)

    async def scene() -> None:
        async with running(model) as batcher:
            await ask(batcher, 0, 4)
            tasks = [asyncio.create_task(ask(batcher, request)) for request in range(1, 41)]
            await asyncio.sleep(0)
            refusal = await result(ask(batcher, 50, 40))
            assert isinstance(refusal, Busy)
            await asyncio.sleep(refusal.retry_after)
            assert (await ask(batcher, 50, 40)).rows == answers(50, 40)
            await asyncio.gather(*tasks)

    virtually(scene())


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_an_overloaded_service_answers_all_who_come_again(share: float) -> None:
    limits = Limits(batch_windows=4, queue_windows=10, share=share)
    model = FakeModel(limits, fixed=0.2, each=0.05)
    refusals: Counter[str] = Counter()

    async def scene() -> None:
        async with running(model) as batcher:

            async def client(request: int) -> None:
                while True:
                    found = await result(ask(batcher, request, 1 + request % 3, key="abcd"[request % 4]))
                    check_bounds(batcher)
                    if isinstance(found, Outcome):
                        assert found.rows == answers(request, 1 + request % 3)
                        return
                    assert isinstance(found, Busy | OverShare)
                    refusals[found.code] += 1
                    await asyncio.sleep(found.retry_after)

            async with asyncio.timeout(600):
                await asyncio.gather(*(client(request) for request in range(100)))

    virtually(scene())
    assert refusals["busy"] > 0
    assert bool(refusals["over_share"]) == (share < 1)


# --- deadlines and clients that leave -------------------------------------------------------------


def test_a_deadline() -> None:
    model = FakeModel(Limits(batch_windows=2), fixed=1.0, each=0.0)

    async def scene() -> None:
        async with running(model) as batcher:
            long = asyncio.create_task(ask(batcher, 0, 10, deadline=2.5))
            with batcher.admit(seconds=1.75) as ticket:
                await asyncio.sleep(0.5)
                with pytest.raises(DeadlineExceeded, match=r"given up after 1\.75 s"):
                    await ticket.run(windows(1, 50))
            assert now() == pytest.approx(1.75)
            with pytest.raises(DeadlineExceeded, match=r"given up after 2\.50 s"):
                await long
            assert now() == pytest.approx(2.5)
            assert batcher.held == 0

    virtually(scene())
    # What was taken before ran to its end, the rest did not.
    assert sum(model.sizes) == 6


def test_a_request_that_is_late_already_does_not_begin() -> None:
    model = FakeModel(Limits())

    async def scene() -> None:
        async with running(model) as batcher:
            with batcher.admit(seconds=1.0) as ticket:
                await asyncio.sleep(2)  # its decoding
                with pytest.raises(DeadlineExceeded, match=r"given up after 2\.00 s"):
                    await ticket.run(windows(0))

    virtually(scene())
    assert model.batches == []


def test_no_timer_outlives_its_request() -> None:
    """Else a busy service with a long deadline would hold every request of that time."""

    async def scene() -> None:
        async with running(FakeModel(Limits(), bad={1})) as batcher:
            for request in range(3):
                await result(ask(batcher, request, deadline=1000.0))
            timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
            assert all(timer.cancelled() for timer in timers)

    virtually(scene())


@pytest.mark.parametrize("when", [0.5, 1.5, 2.0])
def test_who_hangs_up_is_forgotten(when: float) -> None:
    """Before it begins, while it runs, and in the moment in which its answer comes."""
    model = FakeModel(Limits(batch_windows=4), fixed=1.0, each=0.0)

    async def scene() -> None:
        async with running(model) as batcher:
            others = [asyncio.create_task(ask(batcher, 0))]
            await asyncio.sleep(0.001)
            others.append(asyncio.create_task(ask(batcher, 1)))
            gone = asyncio.create_task(ask(batcher, 2, 3))
            await asyncio.sleep(when - now())
            gone.cancel()
            model.gone.add(2)
            assert [outcome.rows for outcome in await asyncio.gather(*others)] == [answers(0), answers(1)]
            with pytest.raises(asyncio.CancelledError):
                await gone

    virtually(scene())
    assert model.sizes == [1, 1 if when < 1 else 4]


def test_a_client_that_hangs_up_as_its_time_ends_is_nobodys_error() -> None:
    """Else the log would have the error of a future that nobody has asked."""

    async def scene() -> None:
        async with running(FakeModel(Limits(), fixed=5.0)) as batcher:
            first = asyncio.create_task(ask(batcher, 0))
            await asyncio.sleep(0.001)
            late = asyncio.create_task(ask(batcher, 1, deadline=1.0))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_at(1.001, late.cancel)
            with pytest.raises(asyncio.CancelledError):
                await late
            await first

    virtually(scene())
