"""The batcher, case by case, on a clock that costs no time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from batching_helpers import FakeModel, Notes, Window, row, run
from snn_voice_server.batching import Batcher, Limits, Outcome
from snn_voice_server.failures import (
    Busy,
    DeadlineExceeded,
    ModelFailure,
    OutOfMemory,
    OverShare,
    Stopped,
)

Row = tuple[str, Window]


async def ask(
    batcher: Batcher[Window, Row], number: int, windows: int = 1, *, key: str = "", seconds: float = 1e6
) -> Outcome[Row]:
    with batcher.admit(key, seconds=seconds) as ticket:
        return await ticket.run([(number, place) for place in range(windows)], 1.0)


def test_an_idle_batcher_waits_for_nobody() -> None:
    model = FakeModel()

    async def scene() -> None:
        batcher = Batcher([model])
        batcher.start()
        for number in range(3):
            await asyncio.sleep(1)
            begun = asyncio.get_running_loop().time()
            outcome = await ask(batcher, number)
            assert model.batches[-1][0] == begun
            assert outcome.queue_seconds == 0
            assert outcome.compute_seconds == pytest.approx(0.011)
            assert outcome.batch_windows == 1
        await batcher.close()

    run(scene)


def test_what_arrives_meanwhile_runs_together() -> None:
    model = FakeModel()

    async def scene() -> None:
        batcher = Batcher([model], Limits(batch_windows=8))
        batcher.start()
        first = asyncio.create_task(ask(batcher, 0))
        await asyncio.sleep(0.001)
        rest = await asyncio.gather(*(ask(batcher, number) for number in range(1, 13)))
        assert (await first).rows == [row((0, 0))]
        assert [outcome.rows for outcome in rest] == [[row((number, 0))] for number in range(1, 13)]
        await batcher.close()

    run(scene)
    assert [len(windows) for _, windows in model.batches] == [1, 8, 4]
    assert model.batches[1][1] == [(number, 0) for number in range(1, 9)]  # the oldest first


def test_several_devices_share_the_queue() -> None:
    models = [FakeModel(), FakeModel()]

    async def scene() -> None:
        batcher = Batcher(models, Limits(batch_windows=1))
        batcher.start()
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(*(ask(batcher, number) for number in range(10)))
        assert asyncio.get_running_loop().time() - begun == pytest.approx(5 * 0.011)
        await batcher.close()

    run(scene)
    assert [len(model.batches) for model in models] == [5, 5]


def test_one_bad_request_among_32() -> None:
    model, notes = FakeModel(poison=frozenset({17})), Notes()

    async def scene() -> list[Outcome[Row] | BaseException]:
        batcher = Batcher([model], observer=notes)
        batcher.start()
        found = await asyncio.gather(*(ask(batcher, number) for number in range(32)), return_exceptions=True)
        assert batcher.health.trouble(asyncio.get_running_loop().time()) == ""
        await batcher.close()
        return found

    found = run(scene)
    bad = found.pop(17)
    assert isinstance(bad, ModelFailure)
    assert bad.code == "internal"
    assert "bad window" not in str(bad)
    assert all(isinstance(outcome, Outcome) for outcome in found)
    assert notes.failures == ["error", "error"]  # the batch, and the one at fault
    assert notes.runs == [(1, pytest.approx(0.011))] * 31


def test_out_of_memory_halves_the_batch_and_it_grows_again() -> None:
    model, notes = FakeModel(memory=5), Notes()

    async def scene() -> None:
        batcher = Batcher([model], Limits(batch_windows=16), notes)
        batcher.start()
        assert len(await asyncio.gather(*(ask(batcher, number) for number in range(16)))) == 16
        # 16, 8 and 4 were tried; from now on, batches of 4.
        assert max(windows for windows, _ in notes.runs) == 4
        assert batcher.health.trouble(asyncio.get_running_loop().time()) == ""
        notes.runs.clear()
        await asyncio.gather(*(ask(batcher, number) for number in range(16)))
        assert {windows for windows, _ in notes.runs} <= {1, 2, 4}
        model.memory = 100
        await asyncio.sleep(61)
        for _ in range(4):
            await asyncio.gather(*(ask(batcher, number) for number in range(16)))
        assert notes.runs[-1][0] == 16
        await batcher.close()

    run(scene)
    assert set(notes.failures) == {"out_of_memory"}


def test_a_single_window_that_does_not_fit() -> None:
    async def scene() -> None:
        batcher = Batcher([FakeModel(memory=0)])
        batcher.start()
        for _ in range(3):
            with pytest.raises(OutOfMemory):
                await ask(batcher, 0)
        now = asyncio.get_running_loop().time()
        assert "out of memory" in batcher.health.trouble(now)
        assert batcher.health.trouble(now + 61) == ""
        await batcher.close()

    run(scene)


def test_a_model_that_always_fails_is_seen_until_it_succeeds() -> None:
    model = FakeModel(poison=frozenset(range(5)))

    async def scene() -> None:
        batcher = Batcher([model])
        batcher.start()
        for number in range(5):
            assert batcher.health.trouble(asyncio.get_running_loop().time()) == ""
            with pytest.raises(ModelFailure):
                await ask(batcher, number)
        assert "failed" in batcher.health.trouble(asyncio.get_running_loop().time())
        await ask(batcher, 9)
        assert batcher.health.trouble(asyncio.get_running_loop().time()) == ""
        await batcher.close()

    run(scene)


def test_a_batch_that_hangs_is_seen() -> None:
    async def scene() -> None:
        batcher = Batcher([FakeModel(base=100.0)])
        batcher.start()
        task = asyncio.create_task(ask(batcher, 0, seconds=20.0))
        await asyncio.sleep(29)
        assert batcher.health.trouble(asyncio.get_running_loop().time()) == ""
        await asyncio.sleep(2)
        assert "over 30 s" in batcher.health.trouble(asyncio.get_running_loop().time())
        with pytest.raises(DeadlineExceeded, match=r"after 20\.00 s"):
            await task
        await batcher.abort()

    run(scene)


def test_a_full_queue_and_the_time_it_takes() -> None:
    async def scene() -> None:
        batcher = Batcher([FakeModel(base=0.0, each=0.5)], Limits(batch_windows=1, queue_windows=10))
        batcher.start()
        await ask(batcher, 0)  # from now on the rate is known: two windows a second
        tasks = [asyncio.create_task(ask(batcher, 1))]
        await asyncio.sleep(0.1)  # it runs, and its place is free
        tasks += [asyncio.create_task(ask(batcher, number)) for number in range(2, 12)]
        await asyncio.sleep(0.1)
        with pytest.raises(Busy, match="queue of 10 windows") as refused:
            batcher.admit()
        assert refused.value.retry_after == 5
        await asyncio.sleep(refused.value.retry_after)
        await ask(batcher, 99)
        await asyncio.gather(*tasks)
        await batcher.close()

    run(scene)


def test_a_callers_share() -> None:
    async def scene() -> None:
        batcher = Batcher([FakeModel(base=1.0)], Limits(batch_windows=1, queue_windows=8, share=0.5))
        batcher.start()
        first = asyncio.create_task(ask(batcher, 100))
        await asyncio.sleep(0.1)
        tasks = [asyncio.create_task(ask(batcher, number, key="a")) for number in range(4)]
        await asyncio.sleep(0.1)
        with pytest.raises(OverShare, match="4 windows"):
            batcher.admit("a")
        tasks.append(asyncio.create_task(ask(batcher, 5, 4, key="b")))
        await asyncio.sleep(0.1)
        with pytest.raises(Busy):
            batcher.admit("c")
        await asyncio.gather(first, *tasks)
        await batcher.close()

    run(scene)


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_request_longer_than_the_queue_runs_when_it_is_alone(share: float) -> None:
    async def scene() -> None:
        batcher = Batcher([FakeModel()], Limits(batch_windows=4, queue_windows=8, share=share))
        batcher.start()
        assert len((await ask(batcher, 0, 50)).rows) == 50
        with batcher.admit("b"):
            with pytest.raises(Busy):
                await ask(batcher, 1, 50, key="a")
            assert len((await ask(batcher, 2, 2, key="a")).rows) == 2
        await batcher.close()

    run(scene)


def test_seconds_of_sound_bound_a_batch_too() -> None:
    model = FakeModel()

    async def scene() -> None:
        batcher = Batcher([model], Limits(batch_windows=32, batch_seconds=2.5))
        batcher.start()

        async def one(number: int, seconds: float) -> None:
            with batcher.admit(seconds=100) as ticket:
                await ticket.run([(number, 0)], seconds)

        await asyncio.gather(*(one(number, 1.0) for number in range(5)))
        await one(9, 60.0)
        await batcher.close()

    run(scene)
    assert [len(windows) for _, windows in model.batches] == [2, 2, 1, 1]


def test_who_has_gone_is_not_run() -> None:
    model = FakeModel(base=1.0)

    async def scene() -> None:
        batcher = Batcher([model], Limits(batch_windows=2))
        batcher.start()
        first = asyncio.create_task(ask(batcher, 0))
        await asyncio.sleep(0.1)
        gone = [asyncio.create_task(ask(batcher, number)) for number in (1, 2)]
        late = asyncio.create_task(ask(batcher, 3, seconds=0.5))
        stays = asyncio.create_task(ask(batcher, 4))
        await asyncio.sleep(0.1)
        for task in gone:
            task.cancel()
        await asyncio.gather(first, stays)
        with pytest.raises(DeadlineExceeded, match=r"after 0\.50 s"):
            await late
        assert batcher.held == 0
        await batcher.close()

    run(scene)
    assert [windows for _, windows in model.batches] == [[(0, 0)], [(4, 0)]]


def test_a_ticket_that_is_not_used_gives_its_place_back() -> None:
    async def scene() -> None:
        batcher = Batcher([FakeModel()], Limits(queue_windows=1))
        batcher.start()

        def fail() -> None:
            with batcher.admit():
                assert batcher.held == 1
                raise ValueError("decoding")

        with pytest.raises(ValueError, match="decoding"):
            fail()
        assert batcher.held == 0
        await ask(batcher, 0)
        await batcher.close()
        with pytest.raises(Stopped):
            batcher.admit()

    run(scene)


def test_close_answers_what_was_admitted_and_abort_does_not() -> None:
    async def scene() -> None:
        for ends, legal in (("close", Outcome), ("abort", Stopped)):
            batcher = Batcher([FakeModel(base=1.0)], Limits(batch_windows=2))
            batcher.start()
            tasks = [asyncio.create_task(ask(batcher, number)) for number in range(7)]
            await asyncio.sleep(0.5)
            await getattr(batcher, ends)()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(outcome, legal) for outcome in found)

    run(scene)


class _Careless(Notes):
    """An observer that fails once."""

    def ran(self, windows: int, seconds: float) -> None:
        super().ran(windows, seconds)
        if len(self.runs) == 1:
            raise RuntimeError("no metrics today")


def test_an_observer_that_fails_does_not_stop_the_queue() -> None:
    async def scene() -> None:
        batcher = Batcher([FakeModel()], observer=_Careless())
        batcher.start()
        for number in range(2):
            assert (await ask(batcher, number)).rows == [row((number, 0))]
        await batcher.close()

    run(scene)


def test_a_model_that_loses_rows_is_a_failure() -> None:
    async def lossy(windows: list[Window]) -> Sequence[Row]:
        return [row(window) for window in windows[1:]]

    async def scene() -> None:
        batcher: Batcher[Window, Row] = Batcher([lossy])
        batcher.start()
        with pytest.raises(ModelFailure):
            await ask(batcher, 0)
        await batcher.close()

    run(scene)
