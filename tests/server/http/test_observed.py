"""What an operator sees: metrics, the log, and whether requests should come."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from snn_voice_server.app import create_app
from snn_voice_server.models import work
from snn_voice_server.process import logs
from snn_voice_server.settings import Settings

from snn_voice_hub import SnnVoice
from tests.server.conftest import Slowly, answering, queued, until
from tests.server.helpers import check, wav

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(page: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"snn_voice_{name}", frozenset(labels.items())]


@pytest.fixture
def local(model: SnnVoice) -> Iterator[TestClient]:
    with TestClient(create_app(model)) as client:
        yield client


# --- metrics --------------------------------------------------------------------------------------

KINDS = {
    "requests": "counter",
    "request_duration_seconds": "histogram",
    "requests_in_flight": "gauge",
    "refused": "counter",
    "abandoned": "counter",
    "queue_windows": "gauge",
    "queue_wait_seconds": "histogram",
    "decode_seconds": "histogram",
    "batch_windows": "histogram",
    "compute_seconds": "histogram",
    "windows": "counter",
    "batch_failures": "counter",
    "model_loaded": "gauge",
    "ready": "gauge",
}


def test_all_metrics_are_there(local: TestClient) -> None:
    local.post("/classify", content=wav())
    answer = local.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family.type for family in text_string_to_metric_families(answer.text)}
    for name, kind in KINDS.items():
        assert families[f"snn_voice_{name}"] == kind
    assert "python_info" in families
    if sys.platform == "linux":
        assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"} <= set(families)
    assert not [name for name in families if name.endswith("_created")]


def test_counts_after_known_requests(local: TestClient, model: SnnVoice) -> None:
    for _ in range(3):
        local.post("/classify", content=wav())
    long = wav(1, seconds=3)
    local.post("/classify?windows=true", content=long)
    local.post("/classify", content=b"no sound")
    local.post("/classify?top_k=0", content=wav())
    local.post("/classify/batch", files=[("file", wav(2)), ("file", wav(3)), ("file", b"x")])
    local.get("/nope")
    found = samples(local.get("/metrics").text)
    windows = 3 + len(model.classify_windows(long)) + 2
    assert value(found, "requests_total", route="/classify", code="200") == 4
    assert value(found, "requests_total", route="/classify", code="400") == 1
    assert value(found, "requests_total", route="/classify", code="415") == 1
    assert value(found, "requests_total", route="/classify/batch", code="200") == 1
    assert value(found, "requests_total", route="other", code="404") == 1
    assert value(found, "request_duration_seconds_count", route="/classify") == 6
    assert value(found, "request_duration_seconds_sum", route="/classify") > 0
    assert value(found, "windows_total", model="TcySNN") == windows
    assert value(found, "batch_windows_sum", model="TcySNN") == windows
    batches = value(found, "batch_windows_count", model="TcySNN")
    assert value(found, "compute_seconds_count", model="TcySNN") == batches
    assert value(found, "queue_wait_seconds_count", model="TcySNN") == 6
    assert value(found, "decode_seconds_count", model="TcySNN") == 6  # failures are not decoded
    assert value(found, "queue_windows", model="TcySNN") == 0
    assert value(found, "model_loaded", model="TcySNN") == 1
    assert value(found, "abandoned_total") == 0
    assert value(found, "ready") == 1
    assert value(found, "requests_in_flight") == 1  # this one


def test_gauges_while_requests_wait(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly = Slowly()
    app = create_app(model, Settings(max_batch_size=1))

    async def scene() -> None:
        async with answering(app) as client:
            monkeypatch.setattr(work, "logits_of", slowly)
            tasks = [asyncio.create_task(client.post("/classify", content=wav()))]
            await slowly.begun()
            tasks += [asyncio.create_task(client.post("/classify", content=wav())) for _ in range(3)]
            await until(lambda: queued(app) == 3)
            found = samples((await client.get("/metrics")).text)
            assert value(found, "queue_windows", model="TcySNN") == 3
            assert value(found, "requests_in_flight") == 5
            slowly.go_on.set()
            await asyncio.gather(*tasks)
            found = samples((await client.get("/metrics")).text)
            assert value(found, "queue_windows", model="TcySNN") == 0
            assert value(found, "requests_in_flight") == 1

    asyncio.run(scene())


# --- ready ----------------------------------------------------------------------------------------


def test_draining(model: SnnVoice) -> None:
    app = create_app(model)
    with TestClient(app) as client:
        assert "connection" not in client.post("/classify", content=wav()).headers
        app.state.service.draining = True
        check(client.get("/ready"), 503, "not_ready")
        assert client.get("/health").status_code == 200
        assert "snn_voice_ready 0.0" in client.get("/metrics").text
        answer = client.post("/classify", content=wav())
        assert answer.status_code == 200  # until the listener closes
        assert answer.headers["connection"] == "close"


def test_not_ready_while_it_warms_up(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        app = create_app(model)
        go_on = asyncio.Event()
        real = app.state.service.models._make

        async def slow(name: str) -> object:
            await go_on.wait()
            return await real(name)

        monkeypatch.setattr(app.state.service.models, "_make", slow)
        starting = asyncio.create_task(app.state.service.start())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/health")).status_code == 200
            check(await client.get("/ready"), 503, "not_ready")
            assert "snn_voice_ready 0.0" in (await client.get("/metrics")).text
            # Who asks already is answered when the model is there.
            early = asyncio.create_task(client.post("/classify", content=wav()))
            await asyncio.sleep(0)
            go_on.set()
            assert (await early).status_code == 200
            assert (await client.get("/ready")).status_code == 200
            await starting
        await app.state.service.stop()

    asyncio.run(scene())


def test_who_asks_before_the_model_is_there_is_not_kept_for_ever(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        app = create_app(model, Settings(deadline=0.2))

        async def never(_: str) -> object:
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr(app.state.service.models, "_make", never)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.post("/classify", content=wav())
        check(answer, 503, "not_ready")
        assert answer.headers["retry-after"] == "5"

    asyncio.run(scene())


# --- the log --------------------------------------------------------------------------------------


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What `logs.set_up` sends to stderr; the loggers are left as they were."""
    before = {name: logging.getLogger(name) for name in (*logs.ROOTS, "uvicorn.error", "python_multipart")}
    kept = {name: (list(logger.handlers), logger.level, logger.propagate) for name, logger in before.items()}
    yield lambda: capsys.readouterr().err
    for name, (handlers, level, propagate) in kept.items():
        before[name].handlers[:] = handlers
        before[name].setLevel(level)
        before[name].propagate = propagate


def test_json_lines(model: SnnVoice, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up("info", "json")
    with TestClient(create_app(model)) as client:
        client.post("/classify", content=wav(), headers={"X-Request-ID": "mine"})
        client.post("/classify", content=b"no sound")
        client.get("/health")
        client.get("/ready")
        client.get("/metrics")

        def fail(*_: object) -> None:
            raise RuntimeError("two\nlines")

        monkeypatch.setattr(work, "logits_of", fail)
        client.post("/classify", content=wav(), headers={"X-Request-ID": "failed"})
    lines = [json.loads(line) for line in logged().splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    good, bad, *rest = lines
    assert good["request_id"] == "mine"
    assert good["message"] == "POST /classify 200"
    assert (good["method"], good["route"], good["status"]) == ("POST", "/classify", 200)
    assert (good["model"], good["windows"], good["batch"]) == ("TcySNN", 1, 1)
    assert {"milliseconds", "decode", "queue", "compute"} <= set(good)
    assert bad["status"] == 415
    assert re.fullmatch("[0-9a-f]{16}", bad["request_id"])
    traced = [line for line in rest if "traceback" in line]
    assert len(traced) == 1
    assert "two\nlines" in traced[0]["traceback"]
    assert traced[0]["level"] == "error"
    assert [(line["status"], line["request_id"]) for line in rest if "status" in line] == [(500, "failed")]


def test_text_lines(model: SnnVoice, logged: Callable[[], str]) -> None:
    logs.set_up("info", "text")
    with TestClient(create_app(model)) as client:
        client.post("/classify", content=wav(), headers={"X-Request-ID": "mine"})
        client.get("/health")
    lines = logged().splitlines()
    assert len(lines) == 1
    assert re.match(r"\d\d:\d\d:\d\d info +POST /classify 200 .*windows=1.*request_id=mine$", lines[0])


def test_quiet_by_default(model: SnnVoice, logged: Callable[[], str]) -> None:
    logs.set_up("warning", "text")
    with TestClient(create_app(model)) as client:
        client.post("/classify", content=wav())
        client.post("/classify", content=b"no sound")
        client.post("/classify", content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert logged() == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_that_was_sent_is_logged(model: SnnVoice, logged: Callable[[], str], form: str) -> None:
    """Not the key, not the sound, and no line that a client has made up; but which path it asked for."""
    logs.set_up("debug", form)
    key = "a-key-that-nobody-guesses"
    audio = wav(3)
    with TestClient(create_app(model, Settings(api_keys=[key]))) as client:
        headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "x\tinfo forged"}
        client.post("/classify", content=audio, headers=headers)
        client.post("/classify", json={"inputs": base64.b64encode(audio).decode()}, headers=headers)
        client.post("/classify/batch", files={"file": ("private-name.wav", audio)}, headers=headers)
        client.post("/classify?model=private-model%0aforged", content=audio, headers=headers)
        client.post("/elsewhere%0a12:00:00 info %1b[31m", content=audio, headers=headers)
        client.post("/classify", content=audio, headers={"Authorization": "Bearer almost-the-key"})
    text = logged()
    assert len(text.splitlines()) == 6
    assert all(len(line) < 600 for line in text.splitlines())
    assert r"/elsewhere\n12:00:00 info \x1b[31m" in text.replace("\\\\", "\\")
    assert "\x1b" not in text
    for secret in (key, "almost", "RIFF", base64.b64encode(audio).decode()[:20], "private", "forged"):
        assert secret not in text
