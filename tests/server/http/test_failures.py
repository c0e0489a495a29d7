"""The model fails, or the client leaves: nobody else notices."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

import pytest
import torch
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app
from snn_voice_server.models import compute, work
from snn_voice_server.models.work import LOGITS
from snn_voice_server.settings import Settings
from torch import Tensor

from snn_voice_hub import SnnVoice
from tests.server.conftest import Slowly, answering, decoded, on_a_socket, queued, until
from tests.server.helpers import check, clip, encoded, raw_request, wav

# Louder than every other clip: so the fake model knows it.
POISON = encoded(0.99 * torch.ones(8000).numpy())


class Poisoned(Slowly):
    """Fails for every batch with a certain clip in it."""

    def __call__(self, voice: SnnVoice, windows: Sequence[Tensor]) -> Tensor:
        logits = super().__call__(voice, windows)
        if any(window.abs().max() > 0.9 for window in windows):
            raise RuntimeError("secret weights in /home/someone")
        return logits


def test_an_error_hits_only_its_own_request(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert all(abs(clip(seed)).max() < 0.9 for seed in range(8))
    poisoned = Poisoned()
    app = create_app(model)

    async def scene() -> None:
        async with answering(app) as client:
            monkeypatch.setattr(work, "logits_of", poisoned)
            first = asyncio.create_task(client.post("/classify", content=wav()))
            await poisoned.begun()
            clips = [wav(1), wav(2), POISON, wav(3), wav(4)]
            tasks = [asyncio.create_task(client.post("/classify", content=audio)) for audio in clips]
            await until(lambda: decoded(app) == 5)
            poisoned.go_on.set()
            found = await asyncio.gather(first, *tasks)
            check(found.pop(3), 500, "internal")
            for answer, audio in zip(found, [wav(), *clips[:2], *clips[3:]], strict=True):
                assert answer.status_code == 200
                wanted = [(p.label, pytest.approx(p.score, abs=1e-4)) for p in model.classify(audio)]
                assert [(item["label"], item["score"]) for item in answer.json()] == wanted
            page = (await client.get("/metrics")).text
            assert re.search(r'batch_failures_total\{kind="error",model="TcySNN"\} 2\.0', page)
            assert (await client.get("/ready")).status_code == 200

    asyncio.run(scene())
    assert poisoned.sizes == [1, 5, 1, 1, 1, 1, 1]
    traces = [record for record in caplog.records if record.exc_info]
    assert len(traces) == 1
    assert "secret weights" in str(traces[0].exc_info)


def test_an_error_in_a_form_stays_with_its_file(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned = Poisoned()
    poisoned.go_on.set()
    with TestClient(create_app(model)) as client:
        monkeypatch.setattr(work, "logits_of", poisoned)
        files = [("file", (str(i), audio)) for i, audio in enumerate([wav(), POISON, wav(2)])]
        results = client.post("/classify/batch", files=files).json()["results"]
    assert ["error" in result for result in results] == [False, True, False]
    assert results[1]["error"]["code"] == "internal"
    assert "secret" not in str(results)


def test_too_large_batches_are_made_smaller(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU whose memory is small, or shared."""
    sizes = []

    def forward(voice: SnnVoice, waves: Tensor) -> Tensor:
        sizes.append(len(waves))
        if len(waves) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(voice, waves)

    real = SnnVoice.forward
    wanted = [p.label for p in model.classify(wav(1, seconds=8))]
    with TestClient(create_app(model)) as client:
        monkeypatch.setattr(SnnVoice, "forward", forward)
        answer = client.post("/classify", content=wav(1, seconds=8))
        assert [item["label"] for item in answer.json()] == wanted
        assert max(sizes) > 3
        before = len(sizes)
        assert client.post("/classify", content=wav(2, seconds=8)).status_code == 200
        assert max(sizes[before:]) <= 3  # it has learnt


def test_no_memory_at_all(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB in /home/someone")

    with TestClient(create_app(model)) as client:
        monkeypatch.setattr(SnnVoice, "forward", forward)
        for _ in range(3):
            answer = client.post("/classify", content=wav())
            check(answer, 503, "out_of_memory")
            assert "home" not in answer.text
            assert answer.headers["retry-after"]
        refusal = client.get("/ready")
        assert "out of memory" in check(refusal, 503, "not_ready")
        assert client.get("/health").status_code == 200
        page = client.get("/metrics").text
        assert 'batch_failures_total{kind="out_of_memory",model="TcySNN"} 3.0' in page
        assert "snn_voice_ready 0.0" in page


def test_a_model_that_always_fails_is_not_ready_until_it_succeeds(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Tensor:
        raise RuntimeError("no")

    with TestClient(create_app(model)) as client:
        monkeypatch.setattr(work, "logits_of", fail)
        for _ in range(5):
            assert client.get("/ready").status_code == 200
            check(client.post("/classify", content=wav()), 500, "internal")
        check(client.get("/ready"), 503, "not_ready")
        monkeypatch.setattr(work, "logits_of", compute.logits_of)
        assert client.post("/classify", content=wav()).status_code == 200
        assert client.get("/ready").status_code == 200


# --- clients that hang up -------------------------------------------------------------------------


def test_work_of_clients_that_hung_up_is_skipped(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly = Slowly()
    app = create_app(model, Settings(max_batch_size=4))

    async def scene(address: tuple[str, int]) -> None:
        async def ask(audio: bytes) -> asyncio.StreamWriter:
            _, writer = await asyncio.open_connection(*address)
            writer.write(raw_request(audio))
            await writer.drain()
            return writer

        running = await ask(wav())
        await slowly.begun()
        stays_reader, stays = await asyncio.open_connection(*address)
        stays.write(raw_request(wav(1, seconds=3)))
        leaving = [await ask(wav(2, seconds=5)) for _ in range(3)]
        entry = app.state.service.models.loaded()
        await until(lambda: entry.queue(LOGITS).waiting > 27)
        for writer in (running, *leaving):
            writer.close()
        await until(lambda: entry.queue(LOGITS).waiting < 8)
        slowly.go_on.set()
        assert (await stays_reader.readline()).startswith(b"HTTP/1.1 200 ")
        stays.close()

    with on_a_socket(app) as address:
        monkeypatch.setattr(work, "logits_of", slowly)
        asyncio.run(scene(address))
        metrics = app.state.service.metrics
        assert sum(slowly.sizes) == 1 + len(model.classify_windows(wav(1, seconds=3)))
        assert metrics.abandoned._value.get() == 4
        assert queued(app) == 0
        assert app.state.service.bodies.held == 0


def test_a_client_that_hung_up_is_no_error_in_the_log(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slowly = Slowly()
    app = create_app(model)
    caplog.set_level(logging.INFO)

    async def scene(address: tuple[str, int]) -> None:
        _, writer = await asyncio.open_connection(*address)
        writer.write(raw_request(wav()))
        await slowly.begun()
        writer.close()
        await until(lambda: app.state.service.metrics.abandoned._value.get())
        slowly.go_on.set()

    with on_a_socket(app) as address:
        monkeypatch.setattr(work, "logits_of", slowly)
        asyncio.run(scene(address))
    ours = [record for record in caplog.records if record.name.startswith(("snn_voice", "uvicorn"))]
    assert not [record for record in ours if record.levelno >= logging.WARNING]
    assert [getattr(r, "request", {}).get("status") for r in ours if "/classify" in r.getMessage()] == [499]
