"""The parts in process: what a socket does not show."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from pydantic import ValidationError
from snn_voice_server.app import create_app
from snn_voice_server.http import bodies, sounds
from snn_voice_server.http.parsing import parse
from snn_voice_server.models import work
from snn_voice_server.settings import Settings

from snn_voice_hub import M5SNN, ConfigError, SnnVoice
from tests.server.conftest import Slowly, answering
from tests.server.helpers import FORMATS, check, clip, encoded, wav

# --- what bytes are -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"inputs": "QUJD"}', ""),
        (b'\xef\xbb\xbf \n{"inputs": "QUJD"}', ""),
        ('{"inputs": "QUJD"}'.encode("utf-16"), ""),
        ('{"inputs": "QUJD"}'.encode("utf-16-be"), "application/json"),
        ('{"inputs": "QUJD"}'.encode("utf-16-le"), "application/json; charset=utf-16"),
        ('\ufeff\n{"inputs": "QUJD"}'.encode("utf-32-le"), "text/plain"),
        (b'{"inputs": "QUJD"}', "text/plain"),
        (b'{"inputs": "QUJD"}', "application/octet-stream"),
        (b'{"inputs": "QUJD"}', "Application/JSON ; charset=utf-8"),
        (b'{"inputs": "QUJD"}', "application/vnd.api+json"),
        (b'{"inputs": "Q U\\nJD"}', "application/json"),
        (b'{"inputs": "data:audio/wav;base64,QUJD", "options": {"wait_for_model": true}}', ""),
        (
            b"--x\r\ncontent-disposition: form-data; name=file\r\n\r\nABC\r\n--x--",
            'MULTIPART/Form-Data;Boundary="x"',
        ),
        (b"ABC", ""),
        (b"ABC", "chemical/x-xyz"),
        (b"ABC", "application/x-www-form-urlencoded"),
    ],
)
def test_the_same_three_bytes(body: bytes, content_type: str) -> None:
    assert parse(body, content_type).audio == b"ABC"


@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x"])
def test_sound_is_sound_whatever_the_header(kind: str, subtype: str, content_type: str) -> None:
    audio = encoded(clip(2, 0.2), kind, subtype)
    assert parse(audio, content_type).audio == audio


# --- the application ------------------------------------------------------------------------------


def test_not_ready_before_the_lifespan(model: SnnVoice) -> None:
    app = create_app(model)
    early = TestClient(app)
    assert early.get("/health").status_code == 200
    refusal = early.get("/ready")
    check(refusal, 503, "not_ready")
    assert refusal.headers["retry-after"] == "1"
    with TestClient(app) as client:
        assert client.get("/ready").status_code == 200


def test_two_applications_share_nothing(model: SnnVoice) -> None:
    small = create_app(model, Settings(max_body_mb=0.001))
    with TestClient(create_app(model)) as first, TestClient(small) as second:
        assert second.post("/classify", content=wav()).status_code == 413
        assert first.post("/classify", content=wav()).status_code == 200
        assert 'code="413"' not in first.get("/metrics").text
        assert 'code="200",route="/classify"' not in second.get("/metrics").text


@pytest.mark.parametrize("limits", [{"max_body_mb": 0}, {"max_seconds": 0}, {"max_seconds": float("nan")}])
def test_bad_limits(limits: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(limits))):
        Settings(**limits)  # type: ignore[arg-type]


def test_a_model_in_training_mode_is_put_into_evaluation_mode(checkpoint: Path) -> None:
    model = SnnVoice.from_pretrained(checkpoint).train()
    with TestClient(create_app(model)):
        assert not model.training


def fails_with(error: Exception) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_failure_of_the_model_tells_nothing(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = RuntimeError("secret in /home/someone/file.py")
    with TestClient(create_app(model)) as client:
        monkeypatch.setattr(work, "logits_of", fails_with(secret))
        answer = client.post("/classify", content=wav())
    check(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "home" not in answer.text
    assert any(record.exc_info and record.exc_info[1] is secret for record in caplog.records)


def test_failure_of_the_service_tells_nothing(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the model, but around it: a fault of this program."""
    for secret in (RuntimeError("secret in /home/someone/file.py"), ConfigError("secret in /home/someone")):
        app = create_app(model)
        with TestClient(app) as client:
            monkeypatch.setattr(sounds, "Ends", fails_with(secret))
            answer = client.post("/classify", content=wav())
            check(answer, 500, "internal")
            assert "secret" not in answer.text
            assert "home" not in answer.text
            assert answer.headers["x-request-id"]
            assert any(record.exc_info and record.exc_info[1] is secret for record in caplog.records)
            assert 'snn_voice_requests_total{code="500",route="/classify"} 1.0' in client.get("/metrics").text


def test_sound_without_finite_scores_is_refused(monkeypatch: pytest.MonkeyPatch, model: SnnVoice) -> None:
    classes = len(model.labels)
    with TestClient(create_app(model)) as client:
        for windows in ("false", "true"):
            for value in (float("nan"), float("inf")):
                row = torch.full((classes,), value)
                monkeypatch.setattr(work, "logits_of", lambda _, w, row=row: row.expand(len(w), -1))
                answer = client.post(f"/classify?windows={windows}", content=wav(seconds=3))
                check(answer, 400, "not_finite")


def test_loudest_possible_sound() -> None:
    """Float files can hold anything; a network without normalisation may overflow."""
    app = create_app(SnnVoice(M5SNN(num_classes=2), labels=["a", "b"]))
    audio = encoded(np.where(clip(0) > 0, 3e38, -3e38).astype(np.float32), subtype="FLOAT")
    with TestClient(app) as client:
        assert client.post("/classify", content=audio).status_code in (200, 400)


def test_stalled_upload_is_given_up(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_PATIENCE", 0.1)
    app = create_app(model)
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        if not sent:
            sent.append({})
            return {"type": "http.request", "body": b"RIFF", "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError("not given up")

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/classify", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[1]["status"] == 408
    assert app.state.service.bodies.held == 0


def test_the_loop_is_free_and_one_computation_runs_at_a_time(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = threading.Semaphore(1), []
    slowly = Slowly()

    def once(voice: SnnVoice, windows: list[torch.Tensor]) -> torch.Tensor:
        most.append(running.acquire(blocking=False))
        try:
            return slowly(voice, windows)
        finally:
            running.release()

    async def scene() -> list[int]:
        async with answering(create_app(model)) as client:
            monkeypatch.setattr(work, "logits_of", once)
            waiting = [asyncio.create_task(client.post("/classify", content=wav())) for _ in range(8)]
            await slowly.begun()
            assert (await client.get("/health")).status_code == 200
            assert not any(task.done() for task in waiting)
            slowly.go_on.set()
            return [answer.status_code for answer in await asyncio.gather(*waiting)]

    assert asyncio.run(scene()) == [200] * 8
    assert all(most)
    assert sum(slowly.sizes) == 8
