"""Several models in one service."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app
from snn_voice_server.models import work
from snn_voice_server.models.work import LOGITS
from snn_voice_server.settings import Settings

from snn_voice_hub import SnnVoice, TcySNN
from tests.server.conftest import Slowly, answering, until
from tests.server.helpers import check, wav


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    found = []
    for seed, name in enumerate(("first", "second", "third")):
        torch.manual_seed(seed)
        folder = tmp_path_factory.mktemp(name, numbered=False)
        TcySNN().save_pretrained(folder)
        found.append(folder)
    return found


@pytest.fixture
def local(folders: list[Path]) -> Iterator[TestClient]:
    settings = Settings(model=[str(folder) for folder in folders])
    with TestClient(create_app(settings=settings)) as client:
        yield client


def loaded(client: TestClient) -> list[str]:
    return [entry["name"] for entry in client.get("/models").json()["models"] if entry["loaded"]]


def answer_of(folder: Path) -> list[object]:
    return [
        {"label": p.label, "score": pytest.approx(p.score, abs=1e-4)}
        for p in SnnVoice.from_pretrained(folder).classify(wav(1))
    ]


def test_the_list(local: TestClient) -> None:
    assert local.get("/models").json() == {
        "models": [
            {"name": "first", "default": True, "loaded": True},
            {"name": "second", "default": False, "loaded": False},
            {"name": "third", "default": False, "loaded": False},
        ],
        "teach": False,
    }
    assert local.get("/ready").json()["model"] == "first"


def test_a_model_is_loaded_when_it_is_asked_for(local: TestClient, folders: list[Path]) -> None:
    wanted = [answer_of(folder) for folder in folders]
    assert wanted[0] != wanted[1]
    assert local.post("/classify", content=wav(1)).json() == wanted[0]
    assert loaded(local) == ["first"]
    assert local.post("/classify?model=second", content=wav(1)).json() == wanted[1]
    assert loaded(local) == ["first", "second"]
    assert local.post("/classify", content=wav(1)).json() == wanted[0]
    files = {"file": wav(1)}
    answer = local.post("/classify/batch", files=files, data={"model": "third"}).json()
    assert answer["results"][0]["predictions"] == wanted[2]
    page = local.get("/metrics").text
    for name in ("first", "second", "third"):
        assert f'snn_voice_model_loaded{{model="{name}"}} 1.0' in page
    assert 'snn_voice_windows_total{model="second"} 1.0' in page


def test_facts_of_each(local: TestClient, folders: list[Path]) -> None:
    assert local.get("/model").json()["name"] == "first"
    assert local.get("/model?model=second").json()["name"] == "second"
    facts = local.get("/models/third").json()
    assert facts["name"] == "third"
    assert facts["labels"] == SnnVoice.from_pretrained(folders[2]).labels
    assert loaded(local) == ["first", "second", "third"]


def test_unknown(local: TestClient, folders: list[Path]) -> None:
    for answer in (
        local.post("/classify?model=other", content=wav()),
        local.post("/classify", files={"file": wav()}, data={"model": "../first"}),
        local.post("/classify/batch?model=other", files={"file": wav()}),
        local.post(f"/classify?model={folders[1]}", content=wav()),  # a path is no name
        local.get("/models/other"),
        local.get("/model?model=other"),
    ):
        assert "first, second, third" in check(answer, 404, "unknown_model")
    assert loaded(local) == ["first"]


def test_one_that_can_not_be_loaded_harms_no_other(
    folders: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folders[1], broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    settings = Settings(model=[str(folders[0]), str(broken)])
    with TestClient(create_app(settings=settings)) as client:
        answer = client.post("/classify?model=broken", content=wav())
        check(answer, 503, "not_ready")
        assert answer.headers["retry-after"]
        assert str(tmp_path) not in answer.text
        assert "broken" in caplog.text
        assert client.post("/classify", content=wav()).status_code == 200
        assert client.get("/ready").status_code == 200
        # Whoever mends it need not start the service again.
        shutil.copy(folders[1] / "model.safetensors", broken)
        assert client.post("/classify?model=broken", content=wav()).status_code == 200


def test_little_memory(folders: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    """The model unused for longest makes room; the default stays."""
    caplog.set_level(logging.INFO)
    voice = SnnVoice.from_pretrained(folders[0])
    tensors = [*voice.network.parameters(), *voice.network.buffers()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6
    settings = Settings(model=[str(folder) for folder in folders], max_models_mb=2.5 * size)
    with TestClient(create_app(settings=settings)) as client:
        for name, beside in (
            ("second", "second"),
            ("third", "third"),
            ("first", "third"),
            ("second", "second"),
        ):
            assert client.post(f"/classify?model={name}", content=wav()).status_code == 200
            assert loaded(client) == ["first", beside]
        assert 'snn_voice_model_loaded{model="third"} 0.0' in client.get("/metrics").text
        assert "second makes room for third" in caplog.text


def test_no_room_beside_the_default(folders: list[Path]) -> None:
    settings = Settings(model=[str(folder) for folder in folders], max_models_mb=0.001)
    with TestClient(create_app(settings=settings)) as client:
        assert client.post("/classify", content=wav()).status_code == 200
        check(client.post("/classify?model=second", content=wav()), 503, "not_ready")


def test_many_ask_for_a_model_that_is_not_loaded(folders: list[Path]) -> None:
    app = create_app(settings=Settings(model=[str(folder) for folder in folders]))
    loads: list[str] = []

    async def scene() -> None:
        async with answering(app) as client:
            models = app.state.service.models
            real = models._load
            models._load = lambda spec, device: (loads.append(spec), real(spec, device))[1]
            answers = await asyncio.gather(
                *(client.post("/classify?model=second", content=wav(1)) for _ in range(8))
            )
            assert [answer.json() for answer in answers] == [answer_of(folders[1])] * 8

    asyncio.run(scene())
    assert loads == [str(folders[1])]


def test_a_busy_model_does_not_hold_up_another(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the device, but each has a queue of its own."""
    slowly = Slowly()
    app = create_app(settings=Settings(model=[str(folder) for folder in folders], max_queue=1))

    async def scene() -> None:
        async with answering(app) as client:
            await client.post("/classify?model=second", content=wav())
            monkeypatch.setattr(work, "logits_of", slowly)
            first = [asyncio.create_task(client.post("/classify?model=first", content=wav()))]
            await slowly.begun()
            first.append(asyncio.create_task(client.post("/classify?model=first", content=wav())))
            entry = app.state.service.models.loaded("first")
            await until(lambda: entry.queue(LOGITS).held)
            check(await client.post("/classify?model=first", content=wav()), 503, "busy")
            second = asyncio.create_task(client.post("/classify?model=second", content=wav()))
            slowly.go_on.set()
            answers = await asyncio.gather(second, *first)
            assert [answer.status_code for answer in answers] == [200] * 3

    asyncio.run(scene())


def test_names_are_part_of_the_metrics_only_if_served(local: TestClient) -> None:
    """Otherwise anybody could fill the memory of Prometheus."""
    for index in range(50):
        local.post(f"/classify?model=made-up-{index}", content=wav())
        local.get(f"/models/made-up-{index}")
        local.get(f"/made-up-{index}")
    page = local.get("/metrics").text
    assert "made-up" not in page
    assert set(re.findall(r'route="([^"]*)"', page)) <= {
        "/classify",
        "/models/{name:path}",
        "/models/{name}",
        "/metrics",
        "other",
    }
