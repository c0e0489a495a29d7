"""Signals to real processes: another checkpoint, and ends that are not smooth."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from snn_voice_hub import SnnVoice, TcySNN
from tests.server.helpers import ROOT, Running, raw_request, read_response, start, wait_until, wav
from tests.server.process.load_helpers import Load

Started = dict[str, "subprocess.Popen[str]"]

# A service whose model takes a minute to load, in a thread that nothing can stop.
SLOW_LOADER = """
import asyncio, time
from fastapi import FastAPI
from snn_voice_lite.process.sockets import bind, url_of
from snn_voice_server.process.running import Life, configuration, run
app = FastAPI()
listener = bind("127.0.0.1", 0)
print(url_of(listener), flush=True)
life = Life(on_start=lambda: asyncio.to_thread(time.sleep, 60))
run(configuration(app, lifespan="off"), listener, "ready", life)
"""


@pytest.fixture(scope="module")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("reloaded") / "words"
    shutil.copytree(checkpoint, found)
    return found


@pytest.fixture(scope="module")
def started(folder: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """All of them at once, because starting is what takes time."""
    logs = tmp_path_factory.mktemp("signals")
    found = {
        "reload": start(logs / "reload", "--model", str(folder), "--max-queue", "1000"),
        "twice": start(logs / "twice", "--model", str(checkpoint)),
        "grace": start(logs / "grace", "--model", str(checkpoint), "--grace", "0.5"),
    }
    yield found
    for process in found.values():
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def running(started: Started, request: pytest.FixtureRequest) -> Running:
    process = started[request.param]
    log = Path(f"/proc/{process.pid}/fd/2").readlink()
    return Running.wait_for(process, log)


def words(url: str) -> list[tuple[str, float]]:
    answer = httpx.post(f"{url}/classify", content=wav(1), timeout=60).json()
    return [(item["label"], item["score"]) for item in answer]


def wanted(folder: Path) -> list[tuple[str, object]]:
    found = SnnVoice.from_pretrained(folder).classify(wav(1))
    return [(p.label, pytest.approx(p.score, abs=1e-4)) for p in found]


def wait_for_log(running: Running, text: str, times: int = 1) -> None:
    wait_until(lambda: running.log.read_text().count(text) >= times)


@pytest.mark.slow
@pytest.mark.parametrize("running", ["reload"], indirect=True)
def test_sighup_exchanges_the_checkpoint_under_load(running: Running, folder: Path) -> None:
    old = wanted(folder)
    assert words(running.url) == old
    weights = folder / "model.safetensors"
    with Load(running.address, 8) as load:
        load.wait_for(20)
        torch.manual_seed(7)
        other = folder.parent / "other"
        TcySNN().save_pretrained(other)
        shutil.copy(other / "model.safetensors", weights)  # in place, under the nose of the running model
        load.wait_for(sum(load.tally.answered.values()) + 20)
        assert words(running.url) == old
        running.process.send_signal(signal.SIGHUP)
        wait_for_log(running, "reloaded words")
        new = wanted(folder)
        assert new != old
        assert words(running.url) == new

        # One that is broken changes nothing, and is told.
        weights.write_bytes(weights.read_bytes()[:100])
        running.process.send_signal(signal.SIGHUP)
        wait_for_log(running, "the models were not reloaded")
        load.wait_for(sum(load.tally.answered.values()) + 20)
        assert words(running.url) == new
        assert httpx.get(f"{running.url}/ready").status_code == 200

        # And mended, it works again.
        shutil.copy(other / "model.safetensors", weights)
        running.process.send_signal(signal.SIGHUP)
        wait_for_log(running, "reloaded words", 2)
        load.wait_for(sum(load.tally.answered.values()) + 20)
    assert load.tally.lost == []
    assert load.tally.refused == 0
    assert set(load.tally.answered) == {200}
    assert running.stop(signal.SIGTERM) == 0


def with_an_open_upload(running: Running) -> socket.socket:
    """A request whose body the service waits for."""
    connection = running.connect()
    connection.sendall(raw_request(b"", "Expect: 100-continue", length=len(wav())))
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    return connection


@pytest.mark.parametrize("running", ["twice"], indirect=True)
def test_a_second_signal_stops_at_once(running: Running) -> None:
    with with_an_open_upload(running):
        running.process.send_signal(signal.SIGTERM)
        wait_until(running.refuses_connections)
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGTERM)
        assert running.ended() == 1


@pytest.mark.parametrize("running", ["grace"], indirect=True)
def test_requests_that_take_longer_than_the_grace_time_are_cut_off(running: Running) -> None:
    with with_an_open_upload(running) as stalled, running.connect() as quick:
        running.process.send_signal(signal.SIGTERM)
        quick.sendall(raw_request(wav(1)))
        status, body = read_response(quick)  # it had been accepted, and is in time
        assert status == 200
        assert json.loads(body)
        assert running.process.wait(20) == 1
        status, body = read_response(stalled)
    assert status == 503
    assert json.loads(body)["error"]["code"] == "stopping"
    assert "a request was cut off: the grace time is over" in running.log.read_text()
    assert "Traceback" not in running.log.read_text()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_model_loads(sig: signal.Signals) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_LOADER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/openapi.json", timeout=30).status_code == 200  # alive, and not ready
        process.send_signal(sig)
        assert process.wait(20) == 0
        assert process.stdout.read() == ""


def minds(process: subprocess.Popen[str], sig: signal.Signals) -> bool:
    """Whether the process has a handler of its own for a signal, by what the system says."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (sig - 1) & 1)


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The service, as soon as it minds signals: it is importing then, and listens seconds later."""
    process = start(tmp_path / "log", "--model", "tcy-snn")
    wait_until(lambda: process.poll() is not None or minds(process, signal.SIGHUP))
    assert process.poll() is None
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_sigterm_during_the_imports_is_a_normal_end(importing: subprocess.Popen[str], tmp_path: Path) -> None:
    importing.send_signal(signal.SIGTERM)
    assert importing.wait(30) == 0
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.slow
def test_sighup_during_the_imports_changes_nothing(importing: subprocess.Popen[str], tmp_path: Path) -> None:
    importing.send_signal(signal.SIGHUP)
    running = Running.wait_for(importing, tmp_path / "log")
    assert running.stop(signal.SIGTERM) == 0
