"""The service on Ray Serve: its parts, each without Ray running; and a run of `test_serve_inside.py`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.places import ROOT

pytest.importorskip("ray.serve", reason="the extra [ray] is not installed")


from ray.exceptions import ActorDiedError, RayError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from snn_voice_server.failures import (
    Busy,
    DeadlineExceeded,
    ModelFailure,
    NotReady,
    OutOfMemory,
    OverShare,
    RequestError,
    UnknownModel,
)
from snn_voice_server.models.compute import largest_batch
from snn_voice_server.models.metrics import Metrics
from snn_voice_server.models.naming import Source
from snn_voice_server.models.work import LOGITS, Work
from snn_voice_server.on_ray.app import build, deployment_name, portable
from snn_voice_server.on_ray.command import _fitted
from snn_voice_server.on_ray.models import RayEntry, RayModels
from snn_voice_server.on_ray.replica import Failed, Ran
from snn_voice_server.settings import Settings

from snn_voice_hub.errors import ConfigError, SnnVoiceError
from tests.server.conftest import until
from tests.server.on_ray.helpers import STALL, Ready, inside

LABELS = 35


class Response:
    """What a handle gives: can be awaited and cancelled."""

    def __init__(self, work: Awaitable[Any]) -> None:
        self._work = work
        self.cancelled = False

    def __await__(self) -> Any:
        return self._work.__await__()

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Stands for a deployment: `answer` gets the windows of each call and returns or raises."""

    def __init__(self, answer: Callable[[np.ndarray], Awaitable[Any]]) -> None:
        self._answer = answer
        self.sizes: list[int] = []
        self.responses: list[Response] = []
        self.run = self.facts = self

    def remote(self, work: Work[Any] | None = None, windows: np.ndarray | None = None) -> Response:
        if windows is None:
            response = Response(_facts())
        else:
            self.sizes.append(len(windows))
            response = Response(self._answer(windows))
            self.responses.append(response)
        return response


async def _facts() -> dict[str, Any]:
    return {"parameters": 1, "device": "cpu", "engine": {}}


async def echo(windows: np.ndarray) -> Ran:
    """Logits that tell which window they are of."""
    return Ran(list(np.repeat(windows[:, :1], LABELS, axis=1)), 0.001, len(windows), counts=True)


def failing(*errors: BaseException) -> Callable[[np.ndarray], Awaitable[Any]]:
    """The first calls raise these; the later ones succeed."""
    left = list(errors)

    async def answer(windows: np.ndarray) -> Ran:
        if left:
            raise left.pop(0)
        return await echo(windows)

    return answer


def models(handle: Handle, settings: Settings | None = None, *, several: bool = False) -> RayModels:
    settings = settings or Settings()
    limits = settings.limits(2 if several else 0)
    return RayModels([Source("resmel-snn", "resmel-snn")], limits, Ready(handle), Metrics())


async def ask(entry: RayEntry, count: int = 1, key: str = "", seconds: float = 5.0) -> list[float]:
    windows = [torch.full((16_000,), float(index)) for index in range(count)]
    with entry.admit(LOGITS, key, seconds=seconds) as place:
        outcome = await place.run(windows, 1.0)
    return [float(row[0]) for row in outcome.rows]


def run(work: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(work, 30)

    return asyncio.run(main())


def test_long_sound_goes_in_pieces_and_comes_back_in_order() -> None:
    async def scene() -> None:
        handle = Handle(echo)
        entry = await models(handle, Settings(max_batch_size=8)).get()
        assert await ask(entry, 10) == list(range(10))
        assert handle.sizes == [4, 4, 2]
        assert entry.queue(LOGITS).held == 0

    run(scene())


def test_a_long_sound_that_has_begun_waits_for_room() -> None:
    async def scene() -> None:
        full = [BackPressureError(1, 1) for _ in range(3)]

        async def answer(windows: np.ndarray) -> Ran:
            if windows[0, 0] > 0 and full:
                raise full.pop()
            return await echo(windows)

        handle = Handle(answer)
        entry = await models(handle, Settings(max_batch_size=2, max_queue=1)).get()
        assert await ask(entry, 5) == list(range(5))
        assert len(handle.sizes) == 8

    run(scene())


def test_a_call_whose_replica_died_is_sent_again_but_not_for_ever() -> None:
    async def scene() -> None:
        entry = await models(Handle(failing(ActorDiedError(), ActorDiedError()))).get()
        assert await ask(entry) == [0.0]
        entry = await models(Handle(failing(*[ActorDiedError() for _ in range(3)]))).get()
        with pytest.raises(NotReady):
            await ask(entry)
        assert entry.queue(LOGITS).held == 0

    run(scene())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BackPressureError(256, 256), Busy),
        (DeploymentUnavailableError(None), NotReady),  # type: ignore[arg-type]
        (RayError("anything else"), ModelFailure),
    ],
)
def test_what_ray_raises_becomes_an_error_of_the_service(
    error: Exception, expected: type[SnnVoiceError]
) -> None:
    async def scene() -> None:
        handle = Handle(failing(error))
        entry = await models(handle).get()
        with pytest.raises(expected):
            await ask(entry)
        assert len(handle.sizes) == 1
        assert await ask(entry) == [0.0]

    run(scene())


@pytest.mark.parametrize(("kind", "expected"), [("error", ModelFailure), ("out_of_memory", OutOfMemory)])
def test_what_a_replica_reports_becomes_an_error(kind: str, expected: type[SnnVoiceError]) -> None:
    async def answer(_: np.ndarray) -> Failed:
        return Failed(kind)

    async def scene() -> None:
        served = models(Handle(answer))
        entry = await served.get()
        for _ in range(5):
            with pytest.raises(expected):
                await ask(entry)
        assert served.trouble()

    run(scene())


def test_deadline_and_hang_up_cancel_the_call() -> None:
    async def never(_: np.ndarray) -> None:
        await asyncio.Event().wait()

    async def scene() -> None:
        handle = Handle(never)
        entry = await models(handle).get()
        with pytest.raises(DeadlineExceeded):
            await ask(entry, seconds=0.05)
        task = asyncio.ensure_future(ask(entry))
        await until(lambda: len(handle.responses) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [response.cancelled for response in handle.responses] == [True, True]
        assert entry.queue(LOGITS).held == 0

    run(scene())


def test_a_key_holds_its_share_and_no_more() -> None:
    async def never(_: np.ndarray) -> None:
        await asyncio.Event().wait()

    async def scene() -> None:
        entry = await models(Handle(never), Settings(max_queue=8), several=True).get()
        task = asyncio.ensure_future(ask(entry, 4, "anna"))
        await until(lambda: entry.queue(LOGITS).held == 4)
        with pytest.raises(OverShare) as caught:
            entry.admit(LOGITS, "anna")
        assert caught.value.retry_after >= 1
        with entry.admit(LOGITS, "bert"):
            pass
        task.cancel()

    run(scene())


def test_sounds_that_are_decoded_are_bounded() -> None:
    async def scene() -> None:
        entry = await models(Handle(echo), Settings(max_queue=2)).get()
        with entry.admit(LOGITS), entry.admit(LOGITS), pytest.raises(Busy):
            entry.admit(LOGITS)
        assert entry.queue(LOGITS).held == 0

    run(scene())


def test_ready_when_a_replica_has_answered_and_reload_says_how() -> None:
    async def scene() -> None:
        served = models(Handle(echo))
        assert "not warmed up" in served.trouble()
        entry = await served.get()
        with pytest.raises(NotReady):
            entry.facts()
        await until(lambda: not served.trouble())
        assert entry.facts()["parameters"] == 1
        with pytest.raises(UnknownModel):
            await served.get("nothing")
        with pytest.raises(RequestError, match="generation"):
            await served.reload()

    run(scene())


def test_application_has_a_deployment_for_each_model() -> None:
    application = build({"model": ["resmel-snn", "m5-snn"], "device": "cpu", "ray_min_replicas": 2})
    ingress = application._bound_deployment
    assert ingress.name == "http"
    names = {model._bound_deployment.name: model._bound_deployment for model in ingress.init_args}
    assert list(names) == ["model-resmel-snn", "model-m5-snn"]
    model = names["model-m5-snn"]
    assert model.max_queued_requests == 512
    assert model._deployment_config.autoscaling_config.min_replicas == 2
    assert deployment_name("me/words") == "model-me--words"


def test_gpus_are_asked_for_where_the_device_is_one() -> None:
    application = build({"device": "cuda"})
    (model,) = application._bound_deployment.init_args
    assert model._bound_deployment.ray_actor_options["num_gpus"] == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"max_queue": 0}, "max_queue"),
        ({"max_qeue": 5}, "max_qeue"),
        ({"device": "cuda:1"}, "cuda:1"),
        ({"model": "no/such/folder/here"}, "no/such/folder"),
    ],
)
def test_settings_that_can_not_be_are_told(args: dict[str, Any], words: str) -> None:
    with pytest.raises(SnnVoiceError, match=words) as caught:
        build({"device": "cpu", **args})
    assert "\n" not in str(caught.value)


def test_keys_do_not_travel_and_paths_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words").mkdir()
    monkeypatch.chdir(tmp_path)
    settings, sources = portable(Settings(api_keys=["secret"], model=["words"]))
    assert settings.api_keys == []
    assert sources == [Source("words", str(tmp_path / "words"))]


def test_replicas_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="don't fit"):
        _fitted(Settings(ray_min_replicas=10_000), 1)
    assert _fitted(Settings(ray_cpus=0.001, ray_max_replicas=3), 1).ray_max_replicas == 3


def test_batches_are_bounded_by_sound() -> None:
    from snn_voice_hub.hub.checkpoints import read_config, resolve

    config = read_config(resolve("resmel-snn"))
    assert largest_batch(config.features, Settings(max_batch_size=8).limits()) == 8
    three = 3 * config.features.seconds
    assert largest_batch(config.features, Settings(max_batch_audio_seconds=three).limits()) == 3


@pytest.mark.timeout(2 * STALL)
def test_in_a_network_of_its_own() -> None:
    """Runs the other file: Ray listens on about a dozen ports."""
    command = inside()
    if command is None:
        pytest.skip("no network namespace can be made (unshare -n)")
    file = Path(__file__).with_name("test_serve_inside.py")
    path = os.pathsep.join([str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        capture_output=True,
        text=True,
        timeout=2 * STALL - 60,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "RAY_TESTS_INSIDE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout, done.stdout
