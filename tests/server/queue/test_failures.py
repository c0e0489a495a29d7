"""A model fails, a device has no memory, figures can't be kept: nobody else pays for it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from snn_voice_server.failures import ModelFailure, OutOfMemory
from snn_voice_server.queue.batching import Batcher
from snn_voice_server.queue.places import Limits, Outcome

from tests.server.queue.helpers import (
    FakeModel,
    Notes,
    Window,
    answers,
    ask,
    check_empty,
    now,
    result,
    running,
    virtually,
)


def rows_of(found: Sequence[object]) -> list[object]:
    """The rows of answers; errors as they are."""
    return [outcome.rows if isinstance(outcome, Outcome) else outcome for outcome in found]


# --- errors of the model --------------------------------------------------------------------------


def test_one_bad_sound_among_thirty_two(caplog: pytest.LogCaptureFixture) -> None:
    model, notes = FakeModel(Limits(batch_windows=32), bad={13}), Notes()

    async def scene() -> None:
        async with running(model, notes) as batcher:
            found = rows_of(await asyncio.gather(*(result(ask(batcher, request)) for request in range(32))))
            assert batcher.health.trouble(now()) == ""
        failure = found.pop(13)
        assert isinstance(failure, ModelFailure)
        assert failure.code == "internal"
        assert found == [answers(request) for request in range(32) if request != 13]

    virtually(scene())
    assert model.sizes == [32] + [1] * 32
    assert notes.failures == {"error": 2}
    assert notes.ran_windows == 31
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_what_is_left_of_a_bad_request_does_not_run() -> None:
    model = FakeModel(Limits(batch_windows=4), bad={0})

    async def scene() -> None:
        async with running(model) as batcher:
            found = await asyncio.gather(result(ask(batcher, 0, 100)), ask(batcher, 1, 3))
        assert isinstance(found[0], ModelFailure)
        assert found[1].rows == answers(1, 3)

    virtually(scene())
    assert (
        sum(window.request == 0 for batch in model.batches for window in batch) == 4
    )  # two, and alone again


class Panic(BaseException):
    """As libraries written in Rust raise it: no Exception."""


def raising(error: BaseException) -> Callable[[list[Window]], object]:
    def act(_: list[Window]) -> object:
        raise error

    return act


class Torn:
    """Rows that can be counted and not read."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> object:
        raise RuntimeError("the rows are gone")


@pytest.mark.parametrize(
    "act",
    [
        lambda _: None,
        lambda _: [],
        lambda batch: [window.answer for window in batch] * 2,
        lambda _: Torn(),
        raising(KeyError("x")),
        raising(MemoryError()),
        raising(StopIteration()),
        raising(TimeoutError()),
        raising(asyncio.CancelledError()),
        raising(Panic("in Rust")),
    ],
    ids=[
        "None",
        "no row",
        "too many",
        "torn",
        "KeyError",
        "MemoryError",
        "StopIteration",
        "TimeoutError",
        "CancelledError",
        "BaseException",
    ],
)
def test_a_run_that_does_odd_things(act: Callable[[list[Window]], object]) -> None:
    model, notes = FakeModel(Limits(batch_windows=4)), Notes()

    def odd(run: Callable[[list[Window]], Awaitable[Any]]) -> Callable[[list[Window]], Awaitable[Any]]:
        async def odd_run(batch: list[Window]) -> Any:
            rows = await run(batch)
            return act(batch) if any(window.request == 9 for window in batch) else rows

        return odd_run

    async def scene() -> None:
        async with running(model, notes, [odd(run) for run in FakeModel(model.limits).runs()]) as batcher:
            found = await asyncio.gather(*(result(ask(batcher, request)) for request in (0, 9, 1, 2)))
            alone = await result(ask(batcher, 9))
            assert isinstance(alone, ModelFailure)
            assert isinstance(found.pop(1), ModelFailure)
            assert rows_of(found) == [answers(request) for request in range(3)]
            assert (await ask(batcher, 3, 10)).rows == answers(3, 10)
            # Nothing of it is taken for a batch that still runs.
            assert batcher.health.trouble(now() + 50) == ""

    virtually(scene())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_is_no_failure(error: type[BaseException]) -> None:
    async def run(_: list[Window]) -> list[object]:
        raise error

    async def scene() -> None:
        batcher: Batcher[Window, object] = Batcher([run], Limits())
        batcher.start()
        await ask(batcher, 0)

    with pytest.raises(error):
        virtually(scene())


@pytest.mark.parametrize("what", ["waited", "ran", "failed"])
def test_an_observer_that_raises_harms_nobody(what: str, caplog: pytest.LogCaptureFixture) -> None:
    model, notes = FakeModel(Limits(batch_windows=4), bad={2}, devices=2), Notes()
    monkeyed: list[object] = []

    def fail(*facts: object) -> None:
        monkeyed.append(facts)
        raise ValueError("no room for another figure")

    setattr(notes, what, fail)

    async def scene() -> None:
        async with running(model, notes) as batcher:
            found = await asyncio.gather(*(result(ask(batcher, request, 3)) for request in range(5)))
        assert isinstance(found.pop(2), ModelFailure)
        assert rows_of(found) == [answers(request, 3) for request in (0, 1, 3, 4)]

    virtually(scene())
    assert monkeyed
    assert "the observer failed" in caplog.text


# --- memory ---------------------------------------------------------------------------------------


def test_too_large_batches_are_halved_until_they_fit() -> None:
    model, notes = FakeModel(Limits(batch_windows=32), memory=5), Notes()

    async def scene() -> None:
        async with running(model, notes) as batcher:
            found = await asyncio.gather(*(ask(batcher, request) for request in range(40)))
        assert rows_of(found) == [answers(request) for request in range(40)]
        assert {outcome.batch_windows for outcome in found} == {4}

    virtually(scene())
    # What one part has shown is not tried again with the next.
    assert model.sizes == [32, 16, 8] + [4] * 10
    assert notes.failures == {"out_of_memory": 3}


def test_a_device_with_memory_for_one_window_only() -> None:
    model = FakeModel(Limits(batch_windows=32), memory=1, devices=2)

    async def scene() -> None:
        async with running(model) as batcher:
            found = await asyncio.gather(*(ask(batcher, request, 7) for request in range(9)))
        assert rows_of(found) == [answers(request, 7) for request in range(9)]

    virtually(scene())


def test_batches_grow_again_after_a_minute() -> None:
    model = FakeModel(Limits(batch_windows=32), memory=5, fixed=0.0, each=0.001)

    async def scene() -> None:
        async with running(model) as batcher:
            await ask(batcher, 0, 32)
            await asyncio.sleep(59.9)
            del model.batches[:]
            await ask(batcher, 1, 16)
            assert model.sizes == [4] * 4  # not yet
            await asyncio.sleep(20)
            del model.batches[:]
            await ask(batcher, 2, 16)
            assert model.sizes == [4, 8, 4, 4, 4]  # tried, and too large still
            model.memory = math.inf
            await asyncio.sleep(60.1)
            del model.batches[:]
            await ask(batcher, 3, 100)
            assert model.sizes == [4, 8, 16, 32, 32, 8]

    virtually(scene())


def test_a_window_that_does_not_fit_alone(caplog: pytest.LogCaptureFixture) -> None:
    model = FakeModel(Limits(batch_windows=4), memory=0)

    async def scene() -> None:
        async with running(model) as batcher:
            found = await asyncio.gather(*(result(ask(batcher, request, 2)) for request in range(3)))
            assert all(isinstance(error, OutOfMemory) for error in found)
            model.memory = 1
            assert (await ask(batcher, 5, 3)).rows == answers(5, 3)

    virtually(scene())
    assert "no memory for this" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]  # no trace: it is no bug


# --- health ---------------------------------------------------------------------------------------


def test_health_with_too_little_memory() -> None:
    model = FakeModel(Limits(), memory=0)

    async def scene() -> None:
        async with running(model) as batcher:
            for request, trouble in enumerate(["", "", "out of memory 3 times"]):
                await asyncio.sleep(10)
                assert isinstance(await result(ask(batcher, request)), OutOfMemory)
                assert trouble in batcher.health.trouble(now())
                assert bool(trouble) == bool(batcher.health.trouble(now()))
            model.memory = 1
            await ask(batcher, 5)
            assert batcher.health.trouble(now())  # one success does not mean that there is memory
            await asyncio.sleep(60)
            assert batcher.health.trouble(now()) == ""

    virtually(scene())


def test_health_with_a_model_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    model = FakeModel(Limits(), bad=set(range(10)))

    async def scene() -> None:
        async with running(model) as batcher:
            for request in range(5):
                assert batcher.health.trouble(now()) == ""
                assert isinstance(await result(ask(batcher, request)), ModelFailure)
            assert "last 5 runs of the model failed" in batcher.health.trouble(now())
            await ask(batcher, 20)
            assert batcher.health.trouble(now()) == ""
            for request in range(5):
                assert isinstance(await result(ask(batcher, 30 + request)), Outcome)
                assert isinstance(await result(ask(batcher, request)), ModelFailure)
            assert batcher.health.trouble(now()) == ""

    virtually(scene())


def test_health_with_a_batch_that_does_not_end() -> None:
    model = FakeModel(Limits(), fixed=40.0, devices=2)

    async def scene() -> None:
        async with running(model) as batcher:
            task = asyncio.create_task(ask(batcher, 0))
            await asyncio.sleep(29)
            assert batcher.health.trouble(now()) == ""
            await asyncio.sleep(2)
            assert "has been running for over 30 s" in batcher.health.trouble(now())
            await task
            assert batcher.health.trouble(now()) == ""

    virtually(scene())


def test_a_run_that_never_ends_holds_up_no_answer_and_no_end() -> None:
    async def run(_: list[Window]) -> list[object]:
        return await asyncio.get_running_loop().create_future()

    async def scene() -> None:
        batcher: Batcher[Window, object] = Batcher([run], Limits())
        batcher.start()
        tasks = [asyncio.create_task(result(ask(batcher, request, deadline=10))) for request in range(3)]
        await asyncio.sleep(0)
        await batcher.close()
        assert [type(await task).__name__ for task in tasks] == ["DeadlineExceeded"] * 3
        check_empty(batcher)

    virtually(scene())
