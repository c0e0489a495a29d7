"""Spikes over Ray Serve: recorded in a replica, refused in the service's own words; without Ray running."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import torch

pytest.importorskip("ray.serve", reason="the extra [ray] is not installed")

from ray.exceptions import ActorDiedError
from snn_voice_server.failures import Busy, ModelFailure
from snn_voice_server.http.keys import read_keys
from snn_voice_server.http.spikes import SPIKES
from snn_voice_server.models.naming import Source
from snn_voice_server.on_ray.app import make_app
from snn_voice_server.on_ray.models import RayEntry
from snn_voice_server.on_ray.replica import Failed, Ran, Replica
from snn_voice_server.settings import Settings

from snn_voice_hub import SnnVoice
from snn_voice_hub.spikes.raster import clip_raster
from tests.places import EXAMPLES
from tests.server.conftest import until
from tests.server.on_ray.helpers import Ready

YES = (EXAMPLES / "yes.wav").read_bytes()
RAN = Ran([None], 0.001, 1, counts=True)
Answer = Callable[[np.ndarray], Awaitable[Any]]


class Method:
    """One method of a handle."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.calls = 0

    def remote(self, *arguments: Any) -> asyncio.Task[Any]:
        self.calls += 1
        return asyncio.ensure_future(self._answer(*arguments))


class Handle:
    """A deployment whose replica is here; what goes in and out is pickled, as between processes."""

    def __init__(self, replica: Replica, record: Answer | None = None) -> None:
        async def through(windows: np.ndarray) -> Any:
            frozen = pickle.loads(pickle.dumps(windows))
            frozen.setflags(write=False)
            return pickle.loads(pickle.dumps(await replica.run(pickle.loads(pickle.dumps(SPIKES)), frozen)))

        self.run = Method(lambda _, windows: (record or through)(windows))
        self.facts = Method(replica.facts)


async def made(model: str = "resmel-snn") -> Replica:
    replica = Replica.__new__(Replica)
    await Replica.__init__(replica, Source(model, model), "cpu", Settings(device="cpu", engine="torch"))  # type: ignore[misc]
    return replica


def scene(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(work(), 60)

    asyncio.run(main())


def client_of(handle: Handle, model: str = "resmel-snn", **settings: Any) -> tuple[Any, httpx.AsyncClient]:
    app = make_app(Settings(**settings), [Source(model, model)], read_keys([], None), Ready(handle))
    transport = httpx.ASGITransport(app=app)
    return app, httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60)


def test_the_answer_is_that_of_the_plain_service(default_model: SnnVoice) -> None:
    with default_model.record_spikes() as rec:
        default_model.classify(YES)
    wanted = clip_raster(rec.row(0), default_model.labels, default_model.config.temperature)

    async def work() -> None:
        handle = Handle(await made())
        app, client = client_of(handle)
        async with app.router.lifespan_context(app), client:
            answer = await client.post("/spikes", content=YES)
            assert answer.status_code == 200, answer.text
            found = answer.json()
            assert [layer["spikes"] for layer in found["layers"]] == [
                layer["spikes"] for layer in wanted["layers"]
            ]
            assert found["decision"]["labels"] == wanted["decision"]["labels"]
            assert found["energy"]["cnn"]["energy_dense_uj"] > found["energy"]["energy_uj"] > 1
            assert (await client.post("/spikes", content=b"no sound")).status_code == 415
            page = (await client.get("/metrics")).text
            assert 'snn_voice_windows_total{model="resmel-snn"} 1.0' in page
            assert 'snn_voice_queue_windows{model="resmel-snn"} 0.0' in page
        assert handle.run.calls == 1

    scene(work)


def test_a_cnn_has_no_spikes() -> None:
    async def work() -> None:
        replica = await made("m5-cnn")
        found = await replica.run(SPIKES, np.zeros((1, 16_000), np.float32))
        assert isinstance(found, Failed)
        assert found.kind == "refused"
        app, client = client_of(Handle(replica), "m5-cnn")
        async with app.router.lifespan_context(app), client:
            for _ in range(6):  # which are no failures of the model
                answer = await client.post("/spikes", content=YES)
                assert answer.status_code == 400
                assert answer.json()["error"]["code"] == "no_spikes"
                assert "m5-cnn has no spikes" in answer.json()["error"]["message"]
            await until(lambda: app.state.service.models.trouble() == "")

    scene(work)


async def entry_of(handle: Handle, **settings: Any) -> RayEntry:
    app, client = client_of(handle, **settings)
    await client.aclose()
    found = await app.state.service.models.get()
    assert isinstance(found, RayEntry)
    return found


async def ask(entry: RayEntry, seconds: float = 10.0) -> Any:
    with entry.admit(SPIKES, seconds=seconds) as place:
        return await place.run([torch.zeros(16_000)], 1.0)


def test_recordings_are_bounded() -> None:
    async def work() -> None:
        go_on = asyncio.Event()

        async def slow(_: np.ndarray) -> Ran:
            await go_on.wait()
            return RAN

        handle = Handle(await made(), slow)
        entry = await entry_of(handle)
        tasks = [asyncio.create_task(ask(entry)) for _ in range(16)]
        await until(lambda: handle.run.calls == 16)
        with pytest.raises(Busy):
            await ask(entry)
        assert entry.queue(SPIKES).held == 16
        go_on.set()
        await asyncio.gather(*tasks)
        await ask(entry)
        assert entry.queue(SPIKES).held == 0

    scene(work)


def test_a_replica_that_ends_is_asked_no_more() -> None:
    async def work() -> None:
        left: list[BaseException] = [ActorDiedError()]

        async def dying(_: np.ndarray) -> Ran:
            if left:
                raise left.pop()
            return RAN

        handle = Handle(await made(), dying)
        entry = await entry_of(handle)
        await ask(entry)
        assert handle.run.calls == 2

    scene(work)


def test_a_failure_stays_inside() -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("secret")

    async def work() -> None:
        replica = await made()
        failing = replace(SPIKES, run=fails)
        windows = np.zeros((1, 16_000), np.float32)
        assert await replica.run(failing, windows) == Failed("error")
        entry = await entry_of(Handle(replica, lambda windows: replica.run(failing, windows)))
        with pytest.raises(ModelFailure, match="failed on this sound"):
            await ask(entry)

    scene(work)
