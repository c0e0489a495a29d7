"""Work goes on while its client is there, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import Request
from snn_voice_server.failures import HungUp
from snn_voice_server.http import bodies
from snn_voice_server.http.bodies import while_connected


class Client:
    """What a server tells about a client, whose body has been read."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.watched = asyncio.Event()
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        self.watched.set()
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def leave_when_watched(self) -> None:
        await self.watched.wait()
        self.leaves.set()

    def request(self) -> Request:
        return Request({"type": "http", "headers": []}, self.receive)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_WATCH_AFTER", 0.0)


def run(scene: Callable[[Client], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(20):
            await scene(Client())
            assert asyncio.all_tasks() == {asyncio.current_task()}  # no watcher stays

    asyncio.run(timed())


async def forever(ends: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        ends.append("cancelled")
        raise


def test_a_result() -> None:
    async def scene(client: Client) -> None:
        async def work() -> int:
            await client.watched.wait()
            return 3

        assert await while_connected(client.request(), work()) == 3
        await asyncio.sleep(0)
        assert client.asked == 1

    run(scene)


def test_nobody_watches_over_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[asyncio.TimerHandle] = []
    monkeypatch.setattr(bodies, "_WATCH_AFTER", 60.0)

    async def scene(client: Client) -> None:
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def noted(delay: float, *call: Any, **options: Any) -> asyncio.TimerHandle:
            timers.append(call_later(delay, *call, **options))
            return timers[-1]

        async def work() -> int:
            return 3

        monkeypatch.setattr(loop, "call_later", noted)
        assert await while_connected(client.request(), work()) == 3
        assert client.asked == 0
        (timer,) = timers
        assert timer.cancelled()  # and nobody will

    run(scene)


def test_an_error() -> None:
    async def scene(client: Client) -> None:
        async def work() -> None:
            await client.watched.wait()
            raise ValueError("here")

        with pytest.raises(ValueError, match="here"):
            await while_connected(client.request(), work())
        await asyncio.sleep(0)

    run(scene)


def test_a_client_that_hangs_up() -> None:
    async def scene(client: Client) -> None:
        ends: list[str] = []
        leaving = asyncio.create_task(client.leave_when_watched())
        with pytest.raises(HungUp):
            await while_connected(client.request(), forever(ends))
        assert ends == ["cancelled"]
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await leaving  # this task is not cancelled any more

    run(scene)


def test_a_client_that_has_left_before() -> None:
    async def scene(client: Client) -> None:
        client.leaves.set()
        with pytest.raises(HungUp):
            await while_connected(client.request(), forever([]))

    run(scene)


def test_work_that_outlasts_its_client_has_a_result_all_the_same() -> None:
    async def stubborn() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 3
        return 4

    async def scene(client: Client) -> None:
        client.leaves.set()
        assert await while_connected(client.request(), stubborn()) == 3
        await asyncio.sleep(0)

    run(scene)


@pytest.mark.parametrize("leaves", [False, True])
def test_to_be_cancelled_is_not_to_be_left(leaves: bool) -> None:
    """As at the end of the grace time, whether or not the client leaves in the same moment."""

    async def scene(client: Client) -> None:
        ends: list[str] = []
        task = asyncio.create_task(while_connected(client.request(), forever(ends)))
        await client.watched.wait()
        if leaves:
            client.leaves.set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ends == ["cancelled"]
        await asyncio.sleep(0)

    run(scene)
