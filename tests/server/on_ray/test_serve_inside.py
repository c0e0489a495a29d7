"""`snn-voice serve --ray` as a program. `test_serve.py` runs this file in a network namespace."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf
from fastapi.testclient import TestClient

from tests.places import ROOT
from tests.server.helpers import wait_until
from tests.server.on_ray.helpers import STALL

pytestmark = [
    pytest.mark.skipif("RAY_TESTS_INSIDE" not in os.environ, reason="test_serve.py runs it"),
    pytest.mark.timeout(STALL),
]

CALL = "from snn_voice_hub.cli import main; main()"
URL = "http://127.0.0.1:8456"
# Ray gives its own processes 30 s to start, which no setting changes; on a busy machine they take longer.
GAVE_UP = "The current node timed out during startup"
TRIES = 10
KEY = {"Authorization": "Bearer sesame"}
SETTINGS = {
    "host": "127.0.0.1",
    "port": "8456",
    "model": "resmel-snn,m5-snn",
    "device": "cpu",
    "ray-min-replicas": "2",
    "ray-max-replicas": "2",
    "ray-cpus": "0.2",
    "max-batch-size": "4",
    "max-queue": "8",
    "deadline": str(STALL),
}


def wav(seed: int, seconds: float = 0.9) -> bytes:
    """A sweep in noise."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * 16_000)) / 16_000
    low, high = random.uniform(100, 1500), random.uniform(1500, 3500)
    samples = 0.5 * np.sin(2 * np.pi * (low * t + (high - low) * t**2 / 2)) + 0.02 * random.normal(
        size=len(t)
    )
    file = io.BytesIO()
    sf.write(file, samples.astype(np.float32), 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def command(**changed: str) -> list[str]:
    flags = [f"--{name}={value}" for name, value in {**SETTINGS, **changed}.items()]
    return [sys.executable, "-c", CALL, "serve", "--ray", *flags]


def start(log: Path, **changed: str) -> subprocess.Popen[str]:
    """The service in a process of its own, which is ready, or has ended."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command(**changed),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "SNN_VOICE_API_KEYS": "sesame"},
        )
    port = changed.get("port", SETTINGS["port"])
    try:
        wait_until(lambda: process.poll() is not None or ready(port), STALL)
    except BaseException:
        process.kill()
        raise
    return process


@contextmanager
def serving(folder: Path, **changed: str) -> Iterator[subprocess.Popen[str]]:
    """The service, until the end of the block."""
    log = folder / "stderr"
    for _ in range(TRIES):
        started = start(log, **changed)
        if started.poll() is None or GAVE_UP not in log.read_text():
            break
    try:
        assert started.poll() is None, log.read_text()
        yield started
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


def ready(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    with serving(tmp_path_factory.mktemp("log")) as started:
        yield started


@pytest.fixture
def client(process: subprocess.Popen[str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=URL, headers=KEY, timeout=STALL) as found:
        yield found


@pytest.fixture(scope="module")
def plain() -> Iterator[TestClient]:
    """The service without Ray, in this process."""
    from snn_voice_server.app import create_app
    from snn_voice_server.settings import Settings

    settings = Settings(model=["resmel-snn", "m5-snn"], device="cpu")
    with TestClient(create_app(settings=settings)) as found:
        yield found


def error(answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["code", "message", "hint"]
    assert body["error"]["code"] == code
    return body["error"]


def alike(one: Any, other: Any) -> None:
    assert [p["label"] for p in one] == [p["label"] for p in other]
    assert [p["score"] for p in one] == pytest.approx([p["score"] for p in other], abs=1e-4)


@pytest.mark.parametrize("model", ["resmel-snn", "m5-snn"])
def test_answers_are_those_of_the_plain_service(client: httpx.Client, plain: TestClient, model: str) -> None:
    sounds = [path.read_bytes() for path in sorted((ROOT / "examples").glob("*.wav"))]
    sounds += [wav(seed) for seed in range(12)]
    path = f"/classify?model={model}&top_k=3"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda sound: client.post(path, content=sound).json(), sounds))
    for sound, answer in zip(sounds, answers, strict=True):
        alike(answer, plain.post(path, content=sound).json())


def test_windows_and_files(client: httpx.Client, plain: TestClient) -> None:
    long = wav(1, seconds=12.3)
    path = "/classify?windows=true&top_k=2"
    answer, expected = client.post(path, content=long).json(), plain.post(path, content=long).json()
    assert [(w["start"], w["end"]) for w in answer] == [(w["start"], w["end"]) for w in expected]
    for window, other in zip(answer, expected, strict=True):
        alike(window["predictions"], other["predictions"])
    files = [("file", (f"{n}.wav", wav(n))) for n in range(6)]
    files.insert(2, ("file", ("b.txt", b"no sound, but text")))
    results = client.post("/classify/batch", files=files).json()["results"]
    assert [result["file"] for result in results] == [
        "0.wav",
        "1.wav",
        "b.txt",
        *(f"{n}.wav" for n in (2, 3, 4, 5)),
    ]
    assert results.pop(2)["error"]["code"] == "not_audio"
    assert all(len(result["predictions"]) == 5 for result in results)


def test_spikes_are_those_of_the_plain_service(client: httpx.Client, plain: TestClient) -> None:
    sound = (ROOT / "examples" / "yes.wav").read_bytes()
    answer, expected = (one.post("/spikes?top_k=2", content=sound).json() for one in (client, plain))
    alike(answer["predictions"], expected["predictions"])
    assert answer["layers"] == expected["layers"]
    assert answer["energy"] == expected["energy"]


def test_errors_have_the_one_form(client: httpx.Client) -> None:
    error(client.post("/classify", content=b"text"), 415, "not_audio")
    error(client.post("/classify?model=x", content=wav(1)), 404, "unknown_model")
    error(client.post("/classify?top_k=0", content=wav(1)), 400, "bad_top_k")
    error(client.get("/nowhere"), 404, "not_found")
    error(httpx.post(f"{URL}/classify", content=wav(1)), 401, "unauthorized")
    assert "generation" in error(client.post("/admin/reload"), 400, "not_supported")["hint"]


def test_facts_and_metrics(client: httpx.Client) -> None:
    client.post("/classify?model=m5-snn", content=wav(1))
    facts = client.get("/models/m5-snn").json()
    assert (facts["device"], facts["architecture"]) == ("cpu", "M5SNN")
    assert facts["parameters"] > 0
    page = client.get("/metrics").text
    counted = re.findall(r'^snn_voice_(batch_windows_sum|windows_total)\{model="m5-snn"\} (\S+)', page, re.M)
    assert len(counted) == 2
    assert all(float(value) > 0 for _, value in counted)
    assert 'snn_voice_queue_windows{model="m5-snn"} 0' in page


def test_overload_is_refused_with_a_time(client: httpx.Client) -> None:
    sound = wav(3, seconds=10)
    start = threading.Barrier(60)

    def ask(_: int) -> httpx.Response:
        with httpx.Client(base_url=URL, headers=KEY, timeout=STALL) as own:
            start.wait()
            return own.post("/classify", content=sound)

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(ask, range(60)))
    counts = Counter(answer.status_code for answer in answers)
    assert counts[200]
    assert counts[503]
    assert sum(counts.values()) == counts[200] + counts[503]
    for answer in answers:
        if answer.status_code == 503:
            error(answer, 503, "busy")
            assert int(answer.headers["Retry-After"]) >= 1
    assert client.post("/classify", content=sound).status_code == 200


def test_a_killed_replica_costs_no_request(client: httpx.Client) -> None:
    from benchmarks.ray_kill import replicas

    name = "model-resmel-snn"
    before = replicas(name)
    assert len(before) == 2
    stopped = threading.Event()
    seen: list[list[int]] = [[] for _ in range(6)]

    def ask(seed: int) -> None:
        with httpx.Client(base_url=URL, headers=KEY, timeout=STALL) as own:
            while not stopped.is_set():
                seen[seed].append(own.post("/classify", content=wav(seed)).status_code)

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, seed) for seed in range(6)]
        try:
            wait_until(lambda: all(seen), STALL)
            os.kill(before[0], signal.SIGKILL)
            wait_until(lambda: len(found := replicas(name)) == 2 and before[0] not in found, STALL)
        finally:
            stopped.set()
    for one in asked:
        one.result()
    assert {status for one in seen for status in one} == {200}


def test_sigterm_answers_everything_and_ends(tmp_path: Path) -> None:
    """The bodies are half sent when the signal comes."""
    port = "8457"
    url = f"http://127.0.0.1:{port}"
    ending = threading.Event()

    def ask(seed: int) -> int:
        def body() -> Iterator[bytes]:
            sound = wav(seed)
            yield sound[:100]
            assert ending.wait(STALL)
            yield sound[100:]

        return httpx.post(f"{url}/classify", content=body(), headers=KEY, timeout=STALL).status_code

    def in_flight() -> int:
        page = httpx.get(f"{url}/metrics").text
        return int(float(re.findall(r"^snn_voice_requests_in_flight (\S+)", page, re.M)[0])) - 1

    def refuses() -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
        except OSError:
            return True
        return False

    changed = {"port": port, "model": "resmel-snn", "ray-min-replicas": "1", "ray-max-replicas": "1"}
    with serving(tmp_path, **changed) as process, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, seed) for seed in range(4)]
        wait_until(lambda: in_flight() == 4, STALL)
        process.send_signal(signal.SIGTERM)
        wait_until(refuses, STALL)
        assert process.poll() is None
        ending.set()
        assert [one.result() for one in asked] == [200] * 4
        assert process.wait(timeout=STALL) == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "no-such-model"}, "no-such-model"),
        ({"device": "cuda:3"}, "cuda:3"),
        ({"ray-min-replicas": "9999"}, "don't fit"),
    ],
)
def test_mistakes_are_one_line(changed: dict[str, str], words: str) -> None:
    for _ in range(TRIES):
        done = subprocess.run(command(**changed), capture_output=True, text=True, timeout=STALL, check=False)
        if GAVE_UP not in done.stderr:
            break
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
