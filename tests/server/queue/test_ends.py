"""How a queue ends, and how a place in it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from snn_voice_server.failures import ModelFailure, Stopped
from snn_voice_server.queue.batching import Batcher
from snn_voice_server.queue.places import Limits, Outcome

from tests.server.queue.helpers import (
    FakeModel,
    Hang,
    Window,
    answers,
    ask,
    check_empty,
    now,
    result,
    running,
    virtually,
    windows,
)


def started(model: FakeModel) -> Batcher[Window, Any]:
    batcher: Batcher[Window, Any] = Batcher(model.runs(), model.limits)
    batcher.start()
    return batcher


def test_the_clock_notices_a_hang() -> None:
    """Otherwise the other tests would show nothing."""
    with pytest.raises(Hang):
        virtually(asyncio.Event().wait())
    with pytest.raises(Hang):
        # A batcher that nobody has started.
        virtually(ask(Batcher(FakeModel(Limits()).runs()), 0))


# --- close ----------------------------------------------------------------------------------------


def test_close_answers_what_was_admitted() -> None:
    model = FakeModel(Limits(batch_windows=4), devices=2)

    async def scene() -> None:
        batcher = started(model)
        tasks = [asyncio.create_task(ask(batcher, request, 9)) for request in range(5)]
        await asyncio.sleep(0)
        await batcher.close()
        found = [task.result() for task in tasks]
        assert [outcome.rows for outcome in found] == [answers(request, 9) for request in range(5)]
        with pytest.raises(Stopped):
            batcher.admit()
        check_empty(batcher)

    virtually(scene())


def test_close_waits_for_what_is_being_decoded() -> None:
    async def scene() -> None:
        batcher = started(FakeModel(Limits()))

        async def client() -> Outcome[Any]:
            with batcher.admit() as ticket:
                await asyncio.sleep(5)
                return await ticket.run(windows(0))

        task = asyncio.create_task(client())
        await asyncio.sleep(0)
        await batcher.close()
        assert now() > 5
        assert (await task).rows == answers(0)

    virtually(scene())


def test_who_is_admitted_as_the_last_one_leaves_is_answered() -> None:
    async def scene() -> None:
        batcher = started(FakeModel(Limits()))
        with batcher.admit():
            closing = asyncio.create_task(batcher.close())
            await asyncio.sleep(0)
        with batcher.admit() as ticket:
            await asyncio.sleep(1)
            assert (await ticket.run(windows(0))).rows == answers(0)
        await closing
        with pytest.raises(Stopped):
            batcher.admit()

    virtually(scene())


def test_close_of_an_idle_queue() -> None:
    async def scene() -> None:
        batcher = started(FakeModel(Limits()))
        await batcher.close()
        await batcher.close()
        await batcher.abort()
        never_started: Batcher[Window, Any] = Batcher(FakeModel(Limits()).runs())
        await never_started.close()
        assert now() == 0

    virtually(scene())


def test_abort_ends_a_close_that_takes_too_long() -> None:
    async def scene() -> None:
        batcher = started(FakeModel(Limits(), fixed=1000.0))
        task = asyncio.create_task(result(ask(batcher, 0)))
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(30)
        await batcher.abort()
        assert isinstance(await task, Stopped)
        await closing
        assert now() == 30

    virtually(scene())


# --- abort ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [0.0, 0.001, 0.5, 1.0, 1.2])
def test_abort_tells_all_who_wait(when: float) -> None:
    model = FakeModel(Limits(batch_windows=2), fixed=0.5, each=0.0)

    async def scene() -> None:
        batcher = started(model)
        tasks = [asyncio.create_task(result(ask(batcher, request))) for request in range(8)]

        async def decode() -> Outcome[Any]:
            with batcher.admit() as ticket:
                await asyncio.sleep(5)
                return await ticket.run(windows(8))

        tasks.append(asyncio.create_task(result(decode())))
        await asyncio.sleep(when)
        await batcher.abort()
        begun = len(model.batches)
        found = [await task for task in tasks]
        done = sum(isinstance(outcome, Outcome) for outcome in found)
        assert all(isinstance(error, Stopped) for error in found[done:])
        assert done in (2 * int(when / 0.5), 2 * int(when / 0.5) - 2)  # at a boundary either may be first
        assert len(model.batches) == begun
        check_empty(batcher)

    virtually(scene())


def stubborn(error: Exception | None) -> Callable[[list[Window]], Awaitable[Any]]:
    """A run that does not let itself be cancelled."""

    async def run(batch: list[Window]) -> Any:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            if error is not None:
                raise error from None
        return [window.answer for window in batch]

    return run


@pytest.mark.parametrize("error", [None, RuntimeError("cleaning up failed")])
def test_abort_with_a_run_that_is_not_cancelled(error: Exception | None) -> None:
    async def scene() -> None:
        batcher: Batcher[Window, Any] = Batcher([stubborn(error)], Limits(batch_windows=2))
        batcher.start()
        tasks = [asyncio.create_task(result(ask(batcher, request))) for request in range(6)]
        await asyncio.sleep(1)
        await batcher.abort()
        assert now() == 2
        assert [type(await task) for task in tasks] == [Stopped] * 6
        check_empty(batcher)

    virtually(scene())


def test_a_place_that_is_used_after_the_end() -> None:
    async def scene() -> None:
        batcher = started(FakeModel(Limits()))
        with batcher.admit() as ticket:
            await batcher.abort()
            assert isinstance(await result(ticket.run(windows(0))), Stopped)
        check_empty(batcher)

    virtually(scene())


def test_a_place_that_is_used_while_the_queue_ends() -> None:
    """The workers are gone already, and `abort` still waits for one of them."""

    async def scene() -> None:
        batcher: Batcher[Window, Any] = Batcher([stubborn(None)], Limits())
        batcher.start()
        first = asyncio.create_task(result(ask(batcher, 0)))
        with batcher.admit() as ticket:
            await asyncio.sleep(1)
            ending = asyncio.create_task(batcher.abort())
            await asyncio.sleep(0.5)
            assert not ending.done()
            assert isinstance(await result(ticket.run(windows(1))), Stopped)
            with pytest.raises(Stopped):
                batcher.admit()
        await ending
        assert isinstance(await first, Stopped)
        check_empty(batcher)

    virtually(scene())


def test_the_loop_ends_before_the_queue() -> None:
    """As under a program that does not wait for its tasks: it must not hang."""

    async def scene() -> Batcher[Window, Any]:
        batcher = started(FakeModel(Limits(), fixed=100.0))
        tasks = [asyncio.create_task(ask(batcher, request)) for request in range(3)]
        await asyncio.sleep(1)
        assert not any(task.done() for task in tasks)
        return batcher

    check_empty(virtually(scene()))


# --- places ---------------------------------------------------------------------------------------


def test_a_place_that_is_not_used() -> None:
    async def scene() -> None:
        async with running(FakeModel(Limits(queue_windows=1))) as batcher:
            for _ in range(3):
                with batcher.admit():
                    assert batcher.held == 1
                assert batcher.held == 0
            assert (await ask(batcher, 0)).rows == answers(0)

    virtually(scene())


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
def test_an_error_while_a_place_is_held(error: type[BaseException]) -> None:
    async def scene() -> None:
        async with running(FakeModel(Limits(queue_windows=1))) as batcher:
            with pytest.raises(error), batcher.admit("a"):
                raise error
            check_empty(batcher)
            assert (await ask(batcher, 0)).rows == answers(0)

    virtually(scene())


def test_a_place_that_is_left_while_its_windows_wait() -> None:
    """A mistake of the caller, which must not leave a queue behind that holds fewer than no windows."""

    async def scene() -> None:
        async with running(FakeModel(Limits())) as batcher:
            with batcher.admit("a") as ticket:
                waiting = asyncio.create_task(ticket.run(windows(0, 3)))
                await asyncio.sleep(0)
                assert batcher.held == 3
            assert (await waiting).rows == answers(0, 3)
            check_empty(batcher)

    virtually(scene())


def test_a_request_that_is_refused_or_fails_gives_its_place_back() -> None:
    async def scene() -> None:
        async with running(FakeModel(Limits(queue_windows=4), bad={1})) as batcher:
            with batcher.admit("other"):
                with batcher.admit("a") as ticket:
                    assert type(await result(ticket.run(windows(0, 9)))).__name__ == "Busy"
                    assert batcher.held == 2
                assert batcher.held == 1
                assert isinstance(await result(ask(batcher, 1, 2)), ModelFailure)
                assert batcher.held == 1
            assert batcher.held == 0

    virtually(scene())
