"""`POST /spikes`: what Python records, over HTTP, within the limits of the other routes."""

from __future__ import annotations

import asyncio
import base64
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import httpx
import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from snn_voice_lite.answers import clearest
from snn_voice_server.app import create_app
from snn_voice_server.http import spikes
from snn_voice_server.http.spikes import SPIKES, Recorded, SpikesAnswer, spikes_of
from snn_voice_server.models.work import LOGITS
from snn_voice_server.queue.batching import Batcher
from snn_voice_server.settings import Settings
from torch import Tensor

from snn_voice_hub import SnnVoice, TcyCNN
from snn_voice_hub.spikes.raster import clip_raster
from snn_voice_hub.spikes.record import Row
from tests.server.conftest import answering, decoded, queue_of, until
from tests.server.helpers import check, clip, encoded, wav


@pytest.fixture(scope="module")
def local(model: SnnVoice) -> Iterator[TestClient]:
    with TestClient(create_app(model, Settings(max_body_mb=2, max_seconds=5))) as client:
        yield client


def wanted(model: SnnVoice, audio: bytes, top_k: int = 5) -> dict[str, object]:
    with model.record_spikes() as rec:
        model.classify(audio)
    return clip_raster(rec.row(0), model.labels, model.config.temperature, top_k=top_k)


def does(monkeypatch: pytest.MonkeyPatch, run: Callable[..., list[Recorded]]) -> None:
    """Let the model do something else."""
    monkeypatch.setattr(spikes, "SPIKES", replace(SPIKES, run=run))


# --- the answer -------------------------------------------------------------------------------------


def test_it_is_what_python_records(local: TestClient, model: SnnVoice) -> None:
    answer = local.post("/spikes", content=wav(3))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert re.match(r"decode;dur=[\d.]+, queue;dur=[\d.]+, compute;dur=", answer.headers["server-timing"])
    found = answer.json()
    assert found | wanted(model, wav(3)) == found
    assert (found["model"], found["start"], found["end"], found["windows"]) == ("TcySNN", 0.0, 0.9, 1)
    SpikesAnswer.model_validate(found, strict=True)
    assert [p["label"] for p in found["predictions"]] == [p.label for p in model.classify(wav(3))]
    assert found["layers"][0]["neurons"] == 60 * 134
    assert any(found["layers"][0]["spikes"])


def test_every_way_to_send_it(local: TestClient, model: SnnVoice) -> None:
    expected = wanted(model, wav(4), top_k=2)["predictions"]
    text = base64.b64encode(wav(4)).decode()
    for answer in (
        local.post("/spikes?top_k=2", content=wav(4)),
        local.post("/spikes?top_k=9", files={"file": wav(4)}, data={"top_k": "2"}),
        local.post("/spikes", json={"inputs": text, "parameters": {"top_k": 2}}),
        local.post("/spikes?top_k=2&model=TcySNN", content=wav(4), headers={"Content-Type": "text/plain"}),
    ):
        assert answer.json()["predictions"] == expected
    assert len(local.post("/spikes?top_k=1000", content=wav(4)).json()["predictions"]) == 35


def test_of_a_long_sound_the_clearest_window(local: TestClient, model: SnnVoice) -> None:
    audio = wav(5, seconds=4.2)
    windows = model.classify_windows(audio)
    best = windows[clearest(windows)]
    found = local.post("/spikes", content=audio).json()
    assert found["windows"] == len(windows) > 3
    assert (found["start"], found["end"]) == (best.start, best.end)
    assert [p["label"] for p in found["predictions"]] == [p.label for p in best.predictions]
    assert [p["score"] for p in found["predictions"]] == pytest.approx(
        [p.score for p in best.predictions], abs=1e-4
    )


def test_the_energy_of_the_clip(local: TestClient, model: SnnVoice) -> None:
    found = local.post("/spikes", content=wav(3)).json()["energy"]
    counted = model.energy(wav(3), twin=False)
    assert found["synops"] == found["macs"] + found["acs"] == counted.synops
    assert found["energy_uj"] == pytest.approx(counted.energy_uj, rel=1e-3)
    assert found["energy_uj"] == pytest.approx(4.6e-6 * found["macs"] + 0.9e-6 * found["acs"], rel=1e-3)
    # The CNN of the paper's study that this one was made from has the same layers, and runs them once.
    twin = SnnVoice(TcyCNN(num_classes=35), model.config.features, labels=model.labels).eval()
    assert found["cnn"] == {"energy_dense_uj": pytest.approx(twin.energy(wav(3)).dense_uj, rel=1e-3)}
    other = local.post("/spikes", content=bytes(wav(4))).json()["energy"]
    assert other["synops"] != found["synops"]


def test_no_energy_where_it_can_not_be_counted(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spikes, "clip_energy", lambda *_: None)
    with TestClient(create_app(model)) as client:
        answer = client.post("/spikes", content=wav(3))
    assert answer.status_code == 200
    assert "energy" not in answer.json()


def test_its_size_is_bounded() -> None:
    from snn_voice_hub import ResMelSNN

    torch.manual_seed(0)
    network = ResMelSNN(num_classes=500, num_steps=30, threshold=1e-9)
    voice = SnnVoice(network, labels=[f"word {i}" for i in range(500)]).eval()
    with TestClient(create_app(voice)) as client:
        answer = client.post("/spikes?top_k=500", content=wav())
    assert len(answer.json()["layers"]) == 11
    assert len(answer.content) < 1_500_000


# --- what is refused --------------------------------------------------------------------------------


def test_refusals(local: TestClient) -> None:
    check(local.post("/spikes", content=b""), 400, "empty")
    check(local.post("/spikes", content=b"no sound at all"), 415, "not_audio")
    check(local.post("/spikes", content=wav(seconds=6)), 413, "too_long")
    check(local.post("/spikes", content=bytes(2_100_000)), 413, "too_large")
    check(local.post("/spikes?model=nope", content=wav()), 404, "unknown_model")
    check(local.post("/spikes?top_k=0", content=wav()), 400, "bad_top_k")
    check(local.post("/spikes?windows=true", content=wav()), 400, "bad_windows")
    check(local.post("/spikes?function_to_apply=none", content=wav()), 400, "bad_function_to_apply")
    check(local.get("/spikes"), 405, "method_not_allowed")


def test_a_cnn_has_no_spikes() -> None:
    voice = SnnVoice(TcyCNN(num_classes=2), labels=["a", "b"], name="plain").eval()
    with TestClient(create_app(voice)) as client:
        assert "plain has no spikes" in check(client.post("/spikes", content=wav()), 400, "no_spikes")
        assert client.post("/classify", content=wav()).status_code == 200


def test_scores_that_are_not_finite(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    def loud(voice: SnnVoice, windows: Sequence[Tensor]) -> list[Recorded]:
        row = spikes_of(voice, windows)[0].row
        return [Recorded(Row(row.spk, row.mem, row.logits * torch.inf, row.features))]

    with TestClient(create_app(model)) as client:
        does(monkeypatch, loud)
        check(client.post("/spikes", content=wav()), 400, "not_finite")


# --- under load -------------------------------------------------------------------------------------


class SlowSpikes:
    """Takes the place of `spikes_of`, and waits in the device's thread until it may go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, voice: SnnVoice, windows: Sequence[Tensor]) -> list[Recorded]:
        self.sizes.append(len(windows))
        assert self.go_on.wait(30)
        return spikes_of(voice, windows)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowSpikes]:
    found = SlowSpikes()
    does(monkeypatch, found)
    yield found
    found.go_on.set()


def recorder_of(app: FastAPI) -> Batcher[Tensor, Recorded]:
    return queue_of(app, spikes.SPIKES)


async def when(condition: Callable[[], object], then: Callable[[], None]) -> None:
    await until(condition)
    then()


def asked(client: httpx.AsyncClient, path: str = "/spikes", seed: int = 0) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(client.post(path, content=wav(seed)))


def test_recordings_run_one_by_one_and_wait_in_a_short_queue(model: SnnVoice, slow: SlowSpikes) -> None:
    app = create_app(model)

    async def scene() -> None:
        async with answering(app) as client:
            first = asked(client)
            await until(lambda: slow.sizes)
            waiting = [asked(client, seed=seed) for seed in range(1, 17)]
            await until(lambda: recorder_of(app).waiting == 16)
            refused = await client.post("/spikes", content=wav())
            check(refused, 503, "busy")
            assert int(refused.headers["retry-after"]) >= 1
            assert (await client.get("/health")).status_code == 200  # the loop is free
            other = asked(client, "/classify")
            await until(lambda: queue_of(app, LOGITS).health._running)
            assert not other.done()  # one device computes one thing at a time
            slow.go_on.set()
            found = await asyncio.gather(first, *waiting)
            assert [answer.status_code for answer in found] == [200] * 17
            assert (await other).status_code == 200
            for seed, answer in enumerate(found):
                expected = [p.label for p in model.classify(wav(seed))]
                assert [p["label"] for p in answer.json()["predictions"]] == expected
            assert recorder_of(app).held == 0
            page = (await client.get("/metrics")).text
            assert 'snn_voice_requests_total{code="200",route="/spikes"} 17.0' in page
            assert 'snn_voice_requests_total{code="503",route="/spikes"} 1.0' in page
            assert 'snn_voice_windows_total{model="TcySNN"} 18.0' in page

    asyncio.run(scene())
    assert slow.sizes == [1] * 17


def test_the_deadline_holds(model: SnnVoice, slow: SlowSpikes) -> None:
    async def scene() -> None:
        async with answering(create_app(model, Settings(deadline=0.3))) as client:
            check(await client.post("/spikes", content=wav()), 504, "deadline")
            slow.go_on.set()

    asyncio.run(scene())


def test_an_error_of_the_model_stays_inside(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> list[Recorded]:
        raise RuntimeError("secret in /home/someone")

    with TestClient(create_app(model)) as client:
        does(monkeypatch, fails)
        answer = client.post("/spikes", content=wav())
        check(answer, 500, "internal")
        assert "secret" not in answer.text
        assert client.post("/classify", content=wav()).status_code == 200


def test_a_recording_ends_before_the_service_does(model: SnnVoice, slow: SlowSpikes) -> None:
    app = create_app(model)

    async def scene() -> httpx.Response:
        async with answering(app) as client:
            task = asked(client)
            await until(lambda: slow.sizes)
            entry = app.state.service.models.loaded()
            ending = asyncio.create_task(when(lambda: entry._closing, slow.go_on.set))
        await ending
        return await task

    assert asyncio.run(scene()).status_code == 200


def test_a_reload_lets_recordings_end(model: SnnVoice, slow: SlowSpikes) -> None:
    app = create_app(model)

    async def scene() -> None:
        async with answering(app) as client:
            task = asked(client)
            await until(lambda: slow.sizes)
            old = recorder_of(app)
            reloading = asyncio.create_task(app.state.service.models.reload())
            # It warms up in the device's thread, where the recording is.
            await until(app.state.service.models._loading.locked)
            slow.go_on.set()
            assert await reloading == ["TcySNN"]
            assert recorder_of(app) is not old
            assert (await task).status_code == 200
            assert (await client.post("/spikes", content=wav())).status_code == 200

    asyncio.run(scene())


def test_a_client_that_leaves_is_not_waited_for(model: SnnVoice, slow: SlowSpikes) -> None:
    app = create_app(model)

    async def scene() -> None:
        async with answering(app) as client:
            first = asked(client)
            await until(lambda: slow.sizes)
            second = asked(client)
            await until(lambda: recorder_of(app).waiting == 1)
            second.cancel()
            await until(lambda: recorder_of(app).held == 0)
            slow.go_on.set()
            assert (await first).status_code == 200

    asyncio.run(scene())
    assert slow.sizes == [1]


def test_loud_and_quiet_are_different(local: TestClient) -> None:
    """Otherwise the tests of this module could not fail."""
    answers = [local.post("/spikes", content=encoded(clip(seed))).json()["layers"] for seed in range(4)]
    assert all(a != b for i, a in enumerate(answers) for b in answers[:i])
    assert decoded(local.app) == 0  # type: ignore[arg-type]
