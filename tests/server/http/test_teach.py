"""The routes that teach: who may, what is refused, and a new model that answers."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app
from snn_voice_server.on_ray.command import on_ray
from snn_voice_server.settings import Settings

from snn_voice_hub import ConfigError, SnnVoice
from tests.places import ROOT
from tests.server.helpers import PROGRAM, Running, check, wait_until, wav
from tests.server.teaching.helpers import FIGURES, WITH_FAKE, asked, pids, program, runs, takes, zipped
from tests.slowness import mostly_slow

KEYS = [{"Authorization": f"Bearer {name}"} for name in ("ann", "bob")]


@pytest.fixture(scope="module")
def teaching(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    kept = tmp_path_factory.mktemp("kept")
    settings = Settings(
        model=[str(checkpoint)],
        api_keys=["ann", "bob"],
        allow_teach=True,
        teach_folder=kept,
        teach_words=2,
        teach_mb=0.2,
        page=False,
    )
    app = create_app(settings=settings)
    app.state.service.teacher.program = program(checkpoint)
    with TestClient(app, headers=KEYS[0]) as client:
        yield client


def job(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/teach").json()["job"]
    return found


def over(client: Any) -> dict[str, Any]:
    wait_until(lambda: job(client)["state"] != "running", 120)
    return job(client)


def test_clips_become_a_model_that_answers(teaching: TestClient) -> None:
    assert teaching.get("/models").json()["teach"] is True
    begun = teaching.post("/teach", content=takes("lumos", "hey nox"))
    assert begun.status_code == 202
    assert begun.json()["limits"] == {"words": 2, "clips": 200, "bytes": 200_000, "seconds": 3600.0}
    first = begun.json()["job"]
    assert (first["state"], first["words"], first["clips"]) == (
        "running",
        ["lumos", "hey nox"],
        {"lumos": 2, "hey nox": 2},
    )
    found = over(teaching)
    assert found["id"] == first["id"]
    assert (found["state"], found["error"], found["step"]) == ("done", None, "load")
    assert found["result"] == {"model": "lumos-hey-nox", "figures": FIGURES}
    assert found["lines"][0] == "reads 4 clips in _clips"
    entry = {"name": "lumos-hey-nox", "default": False, "loaded": True}
    assert entry in teaching.get("/models").json()["models"]
    answer = teaching.post("/classify?model=lumos-hey-nox", content=wav()).json()
    assert answer == teaching.post("/classify", content=wav()).json()  # it is a copy


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("where", ["mkdtemp", "write_bytes"])
def test_a_disk_that_takes_no_clips(
    teaching: TestClient, monkeypatch: pytest.MonkeyPatch, where: str, reason: int
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(reason, os.strerror(reason), "/some/where")

    kept = teaching.app.state.service.teacher.limits.folder  # type: ignore[attr-defined]
    before = sorted(kept.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(tempfile if where == "mkdtemp" else Path, where, full)
        said = check(teaching.post("/teach", content=takes("lumos")), 507, "no_room")
    assert os.strerror(reason) in said
    assert "/some" not in said
    assert sorted(kept.iterdir()) == before


def test_a_form(teaching: TestClient) -> None:
    files = {"clips": ("takes.zip", takes("nox"))}
    begun = teaching.post("/teach", files=files, data={"words": "nox", "synthetic": "no", "name": "mine"})
    assert begun.status_code == 202, begun.text
    assert over(teaching)["result"]["model"] == "mine"
    check(teaching.post("/teach", content=takes("nox"), params={"name": "mine"}), 409, "name_taken")


def test_words_alone(teaching: TestClient) -> None:
    kept = teaching.app.state.service.settings.teach_folder  # type: ignore[attr-defined]
    before = set(kept.iterdir())
    begun = teaching.post("/teach", params={"words": "lumos, nox"})
    assert begun.status_code == 202, begun.text
    assert over(teaching)["state"] == "done"
    (folder,) = set(kept.iterdir()) - before  # several may begin in the second that their names tell
    assert asked(folder)["words"] == ["lumos", "nox"]
    assert asked(folder)["synthetic"] is True


def test_a_pronunciation(teaching: TestClient) -> None:
    kept = teaching.app.state.service.settings.teach_folder  # type: ignore[attr-defined]
    before = set(kept.iterdir())
    begun = teaching.post("/teach", params={"words": "hey sheila = HH EY1 | SH IY1 L AH0, nox"})
    assert begun.status_code == 202, begun.text
    assert begun.json()["job"]["words"] == ["hey sheila", "nox"]
    assert over(teaching)["result"]["model"] == "hey-sheila-nox"
    (folder,) = set(kept.iterdir()) - before
    assert asked(folder)["words"] == ["hey sheila=HH EY1 | SH IY1 L AH0", "nox"]


def trainings(client: TestClient, state: str) -> float:
    pattern = rf'^snn_voice_trainings_total{{state="{state}"}} (\S+)$'
    found = re.search(pattern, client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_what_went_wrong_is_told(teaching: TestClient) -> None:
    failed = trainings(teaching, "failed")
    teaching.post("/teach", content=takes("wrong"))
    found = over(teaching)
    assert trainings(teaching, "failed") == failed + 1
    assert (found["state"], found["result"]) == ("failed", None)
    error = {"code": "training_failed", "message": "too few clips of wrong (record more)", "hint": ""}
    assert found["error"] == error
    teaching.post("/teach", content=takes("broken"))
    found = over(teaching)
    assert found["state"] == "failed"
    assert "can't be loaded" in found["error"]["message"]
    assert "broken" not in [entry["name"] for entry in teaching.get("/models").json()["models"]]


def test_one_at_a_time_and_cancelled_by_its_owner(teaching: TestClient) -> None:
    begun = teaching.post("/teach", content=takes("slow"))
    assert begun.status_code == 202
    assert "\nsnn_voice_training 1.0\n" in teaching.get("/metrics").text
    assert "DELETE /teach" in check(teaching.post("/teach", content=takes("lumos")), 409, "teaching")
    check(teaching.delete("/teach", headers=KEYS[1]), 403, "forbidden")
    check(teaching.delete("/teach", headers={"Origin": "https://evil.example"}), 403, "forbidden")
    ended = teaching.delete("/teach")
    assert ended.status_code == 200
    assert ended.json()["job"]["state"] == "cancelled"
    check(teaching.delete("/teach"), 404, "no_job")
    assert "\nsnn_voice_training 0.0\n" in teaching.get("/metrics").text
    assert trainings(teaching, "cancelled") == 1


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({}, 400, "no_clips"),
        ({"content": b"no zip"}, 400, "bad_zip"),
        ({"content": bytes(200_001)}, 413, "too_large"),
        ({"content": zipped({"../lumos/0.wav": wav()})}, 400, "bad_zip"),
        ({"content": zipped({"lumos/0.wav": b"no sound"})}, 415, "not_audio"),
        ({"content": takes("a", "b", "c")}, 400, "too_many_words"),
        ({"content": takes("lumos"), "params": {"word": "lumos"}}, 400, "bad_query"),
        ({"content": takes("lumos"), "params": {"words": "nox"}}, 400, "no_clips"),
        ({"content": takes("lumos"), "params": {"name": "a/b"}}, 400, "bad_name"),
        ({"content": takes("lumos"), "params": {"name": "TcySNN/../x"}}, 400, "bad_name"),
        ({"params": {"words": "lumos", "synthetic": "maybe"}}, 400, "bad_synthetic"),
        ({"params": {"words": "_silence_", "synthetic": "yes"}}, 400, "bad_word"),
        ({"params": [("synthetic", "yes"), ("synthetic", "no")]}, 400, "bad_synthetic"),
        ({"params": {"words": "lumos=L UW1 MO"}}, 400, "bad_pronunciation"),
        ({"params": {"words": "lumos="}}, 400, "bad_pronunciation"),
        ({"params": {"words": "hey lumos=L UW1"}}, 400, "bad_pronunciation"),
        ({"params": {"words": "lumos=L UW1,lumos=L"}}, 400, "bad_pronunciation"),
        ({"params": {"words": "=L UW1"}}, 400, "bad_word"),
        ({"files": {"clips": b"x", "file": b"y"}}, 400, "several_files"),
        ({"files": {"clips": takes("lumos")}, "data": {"color": "red"}}, 400, "bad_form"),
        ({"content": takes("lumos"), "headers": {"Origin": "https://evil.example"}}, 403, "forbidden"),
    ],
)
def test_refusals(teaching: TestClient, request_: dict[str, Any], status: int, code: str) -> None:
    before = job(teaching)
    text = check(teaching.post("/teach", **request_), status, code)
    assert not text.endswith("| ")  # a hint says what would be right
    after = job(teaching)
    assert (before["id"], before["state"]) == (after["id"], after["state"])


def test_pages_of_this_service_may(teaching: TestClient) -> None:
    headers = {"Origin": "http://testserver"}
    check(teaching.post("/teach", headers=headers), 400, "no_clips")


def test_by_default_nobody_teaches(model: SnnVoice) -> None:
    with TestClient(create_app(model, Settings())) as client:
        assert client.get("/models").json()["teach"] is False
        for method in ("POST", "GET", "DELETE"):
            text = check(client.request(method, "/teach"), 403, "forbidden")
            assert "--allow-teach" in text
            assert "snn-voice teach" in text


def test_not_on_ray() -> None:
    with (
        pytest.raises(ConfigError, match="--allow-teach is not possible on Ray: replicas"),
        on_ray(Settings(allow_teach=True, ray=True)),
    ):
        raise AssertionError("it has begun")


def test_a_zip_has_to_fit_into_the_memory_of_bodies() -> None:
    with pytest.raises(ValueError, match="teach_mb is more than max_body_memory_mb"):
        Settings(allow_teach=True, teach_mb=300)


def test_the_extra_is_asked_for_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from snn_voice_server.teaching import teacher

    teacher.check_training()
    monkeypatch.setattr(teacher, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"snn-voice-hub\[train\]"):
        teacher.check_training()
    monkeypatch.delattr(os, "killpg")
    with pytest.raises(ConfigError, match="Linux or macOS"):
        teacher.check_training()


# --- a real process -------------------------------------------------------------------------------


def started(checkpoint: Path, folder: Path, *arguments: str) -> Running:
    script = WITH_FAKE.format(program(checkpoint)) + PROGRAM
    command = [sys.executable, "-c", script, "--port", "0", "--device", "cpu", "--model", str(checkpoint)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")])
    with (folder / "log").open("w") as errors:
        process = subprocess.Popen(
            [*command, "--allow-teach", "--teach-folder", str(folder / "kept"), *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            cwd=folder,
        )
    return Running.wait_for(process, folder / "log")


@pytest.mark.parametrize("how", mostly_slow(["asked", "killed"], "killed"))
def test_the_training_ends_with_the_service(checkpoint: Path, tmp_path: Path, how: str) -> None:
    """By SIGTERM no request is lost, and even where the service is killed no training goes on without it."""
    running = started(checkpoint, tmp_path, "--drain-delay", "8")
    try:
        answer = httpx.post(f"{running.url}/teach", content=takes("slow"), timeout=60)
        assert answer.status_code == 202, answer.text
        (folder,) = (tmp_path / "kept").iterdir()
        wait_until(lambda: pids(folder))
        trainer, helper = pids(folder)
        if how == "asked":
            zip_, sound = takes("lumos"), wav()
            running.process.send_signal(signal.SIGTERM)
            check(httpx.post(f"{running.url}/teach", content=zip_), 503, "stopping")
            assert httpx.post(f"{running.url}/classify", content=sound).status_code == 200
            wait_until(lambda: job(httpx.Client(base_url=running.url))["state"] == "cancelled")
            assert not runs(trainer)
            assert not runs(helper)
            assert running.ended() == 0
        else:
            running.process.kill()
            wait_until(lambda: not runs(trainer))
            time.sleep(0.1)
            if runs(helper):  # what the training itself has started is its own to end
                os.kill(helper, signal.SIGKILL)
    finally:
        running.process.kill()
        running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()
    if how == "asked":
        about = json.loads((folder / "asked.json").read_text())
        assert about["words"] == ["slow"]
        assert (folder / "_clips" / "slow" / "me_nohash_0.wav").exists()
