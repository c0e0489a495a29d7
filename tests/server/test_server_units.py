"""The parts in process: what a socket does not show."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from server_helpers import FORMATS, clip, encoded, wav
from snn_voice_server import routes
from snn_voice_server.app import create_app
from snn_voice_server.parsing import parse
from snn_voice_server.settings import Settings

from snn_voice_hub import M5SNN, ConfigError, Prediction, SnnVoice

# --- what bytes are -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"inputs": "QUJD"}', ""),
        (b'\xef\xbb\xbf \n{"inputs": "QUJD"}', ""),
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
    assert early.get("/ready").status_code == 503
    assert early.get("/ready").json()["error"]["code"] == "not_ready"
    with TestClient(app) as client:
        assert client.get("/ready").status_code == 200


def test_two_applications_share_nothing(model: SnnVoice) -> None:
    first, second = TestClient(create_app(model)), TestClient(create_app(model, Settings(max_body_mb=0.001)))
    assert second.post("/classify", content=wav()).status_code == 413
    assert first.post("/classify", content=wav()).status_code == 200


@pytest.mark.parametrize("limits", [{"max_body_bytes": 0}, {"max_seconds": 0}, {"max_seconds": float("nan")}])
def test_bad_limits(model: SnnVoice, limits: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        create_app(model, **limits)  # type: ignore[arg-type]


def test_a_model_in_training_mode_is_put_into_evaluation_mode(checkpoint: object) -> None:
    model = SnnVoice.from_pretrained(str(checkpoint)).train()
    create_app(model)
    assert not model.training


def test_failure_of_the_service_tells_nothing(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret in /home/someone/file.py")

    app = create_app(model)
    monkeypatch.setattr(model, "classify", fail)
    answer = TestClient(app, raise_server_exceptions=False).post("/classify", content=wav())
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "secret" not in answer.text
    assert "home" not in answer.text
    with pytest.raises(RuntimeError, match="secret"):  # so the server logs it
        TestClient(app).post("/classify", content=wav())


def test_configuration_errors_are_the_services_own_fault(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConfigError("a path: /home/someone")

    app = create_app(model)
    monkeypatch.setattr(model, "classify", fail)
    answer = TestClient(app, raise_server_exceptions=False).post("/classify", content=wav())
    assert answer.status_code == 500
    assert "home" not in answer.text


def test_sound_without_finite_scores_is_refused(monkeypatch: pytest.MonkeyPatch, model: SnnVoice) -> None:
    app = create_app(model)
    monkeypatch.setattr(model, "classify", lambda *_, **__: [Prediction("yes", float("nan"))])
    answer = TestClient(app).post("/classify", content=wav())
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "not_finite"


def test_loudest_possible_sound() -> None:
    """Float files can hold anything; a network without normalisation may overflow."""
    app = create_app(SnnVoice(M5SNN(num_classes=2), labels=["a", "b"]))
    audio = encoded(np.where(clip(0) > 0, 3e38, -3e38).astype(np.float32), subtype="FLOAT")
    assert TestClient(app).post("/classify", content=audio).status_code in (200, 400)


def test_stalled_upload_is_given_up(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_PATIENCE", 0.1)
    app = create_app(model)
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        if not sent:
            sent.append({})
            return {"type": "http.request", "body": b"RIFF", "more_body": True}
        await asyncio.sleep(60)
        raise AssertionError("not given up")

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/classify", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[1]["status"] == 408


def test_the_loop_is_free_and_one_computation_runs_at_a_time(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(model)
    release, running, most = threading.Event(), [0], [0]

    def slow(*_: object, **__: object) -> list[Prediction]:
        running[0] += 1
        most[0] = max(most[0], running[0])
        assert release.wait(20)
        time.sleep(0.01)
        running[0] -= 1
        return [Prediction("yes", 1.0)]

    monkeypatch.setattr(model, "classify", slow)

    async def scene() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            waiting = [asyncio.create_task(client.post("/classify", content=wav())) for _ in range(8)]
            while not running[0]:
                await asyncio.sleep(0.01)
            assert (await client.get("/health")).status_code == 200
            assert not any(task.done() for task in waiting)
            release.set()
            return await asyncio.gather(*waiting)

    assert [answer.status_code for answer in asyncio.run(scene())] == [200] * 8
    assert most[0] == 1
