"""`snn-voice hub-sandbox`, as a user runs it."""

from __future__ import annotations

import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi
from snn_hub_sandbox.command import hub_sandbox

from snn_voice_hub import MissingExtraError, SnnVoiceError
from tests.lacking import lack
from tests.programs import started
from tests.sandbox.helpers import Sandbox

# What should be refused, but is not, would serve for ever.
pytestmark = pytest.mark.timeout(60)

# `snn-voice --help` loads the command, also where the extra is not installed.
PROGRAM = """
import sys, typer
from snn_voice_hub import SnnVoiceError
from snn_hub_sandbox.command import hub_sandbox
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"fastapi", "uvicorn", "starlette", "python_multipart"}, loaded
typer.run(hub_sandbox)
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    data = str(tmp_path / "data")
    arguments = ["--port", "0", "--data", data, "--token", "hf_mine:somebody", "--token", "hf_other"]
    with started(PROGRAM, arguments, tmp_path / "log") as process:
        yield process


def test_rehearsal(process: subprocess.Popen[str], tmp_path: Path) -> None:
    """What it prints is all that a user has to set; and it ends cleanly, also while an answer is stalled."""
    assert process.stdout
    assert select.select([process.stdout], [], [], 50)[0], (tmp_path / "log").read_text()
    line = process.stdout.readline()
    settings = dict(word.split("=", 1) for word in line.split() if "=" in word)
    assert list(settings) == ["HF_ENDPOINT", "HF_HUB_DISABLE_XET", "HF_TOKEN"]
    assert settings["HF_ENDPOINT"].startswith("http://127.0.0.1:")
    assert settings["HF_TOKEN"] == "hf_mine"
    api = HfApi(endpoint=settings["HF_ENDPOINT"], token=settings["HF_TOKEN"])
    assert api.whoami()["name"] == "somebody"
    assert api.whoami(token="hf_other")["name"] == "me"
    api.create_repo("somebody/x")
    api.upload_file(path_or_fileobj=b"\0x", path_in_repo="x.bin", repo_id="somebody/x")
    with httpx.Client(base_url=settings["HF_ENDPOINT"]) as client:
        client.post("/_sandbox/faults", json={"kind": "stall", "seconds": 60})
        with pytest.raises(httpx.ReadTimeout):
            client.get("/", timeout=0.2)
        client.post("/_sandbox/faults", json={"kind": "cut", "bytes": 1})
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "ASGI" not in log
    assert (tmp_path / "data/repositories/somebody/x.json").exists()


def test_ctrl_c(hub: Sandbox) -> None:
    """Without `--data` nothing is left behind."""
    ran = hub.run(
        """
import os, signal, tempfile, threading, time
from snn_hub_sandbox.command import hub_sandbox

def press():
    while not os.fstat(1).st_size:  # until the greeting is there
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

with tempfile.TemporaryDirectory() as folder:
    tempfile.tempdir = folder
    threading.Thread(target=press, daemon=True).start()
    hub_sandbox(port=0)
    print("ended", os.listdir(folder))
"""
    )
    greeting, end = ran.out.splitlines()
    assert greeting.startswith("snn-voice: a Hub for the user me at http://127.0.0.1:")
    assert end == "ended []"
    assert ran.err == ""


def test_refusals(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SnnVoiceError, match=f"port {port} of 127.0.0.1 is already in use"):
            hub_sandbox(port=port)
    with pytest.raises(SnnVoiceError, match="host"):
        hub_sandbox(host="no such host", port=0)
    for token in ("", ":me", "with space", "hf_x:", "hf_x:a/b", "hf_x:a b", "ü:me"):
        with pytest.raises(SnnVoiceError, match="--token"):
            hub_sandbox(port=0, token=[token])
    (tmp_path / "file").write_text("")
    with pytest.raises(SnnVoiceError, match="can't be used"):
        hub_sandbox(port=0, data=tmp_path / "file")


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    lack(monkeypatch, package, "snn_voice_server")
    with pytest.raises(MissingExtraError, match=r"snn-voice-hub\[serve\]"):
        hub_sandbox(port=0)
