"""`snn-voice wyoming`, as a user runs it."""

from __future__ import annotations

import asyncio
import re
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("wyoming", reason="the extra wyoming is not installed")

from snn_voice_wyoming.command import wyoming
from wyoming.ping import Ping, Pong

import snn_voice_hub as sv
from snn_voice_hub.errors import MissingExtraError, SnnVoiceError
from tests.lacking import lack
from tests.programs import started
from tests.wyoming.helpers import Client, talk

# `snn-voice --help` loads the command, also where the extra is not installed.
PROGRAM = """
import sys, typer
from snn_voice_wyoming.command import wyoming
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"wyoming", "torch", "numpy", "fastapi", "uvicorn"}, loaded
typer.run(wyoming)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, default_model: sv.SnnVoice) -> Path:
    """A checkpoint of one's own."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    default_model.save_pretrained(folder)
    return folder


@pytest.fixture
def process(own: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = ["--port", "0", "--model", str(own), "--words", "yes,stop", "--threshold", "yes=0.5"]
    with started(PROGRAM, arguments, tmp_path / "log") as process:
        yield process


def port_of(process: subprocess.Popen[str], log: Path) -> int:
    assert process.stdout
    assert select.select([process.stdout], [], [], 200)[0], log.read_text()
    line = process.stdout.readline()
    found = re.fullmatch(r"snn-voice: wake words of \S+ at tcp://127.0.0.1:(\d+): yes, stop\n", line)
    assert found, line + log.read_text()
    return int(found[1])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_hears_until_it_is_asked_to_end(
    process: subprocess.Popen[str], tmp_path: Path, how: signal.Signals
) -> None:
    port = port_of(process, tmp_path / "log")

    async def use() -> None:
        async with Client(port) as client, Client(port) as idle:
            assert [found.name for found in await client.heard(talk("yes", "go"))] == ["yes"]
            await idle.say(Ping())
            assert Pong.is_type((await idle.answer()).type)
            process.send_signal(how)
            assert await client.rest() == await idle.rest() == []

    asyncio.run(use())
    assert process.wait(timeout=60) == 0
    log = (tmp_path / "log").read_text()
    assert "hears yes" in log
    assert "Traceback" not in log
    assert all(line.split()[1] == "info" for line in log.splitlines()), log


def test_mistakes_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SnnVoiceError, match=f"port {port} of 127.0.0.1 is already in use"):
            wyoming(port=port)
    with pytest.raises(SnnVoiceError, match="'lumos' is no word of the model"):
        wyoming(port=0, words=["yes,lumos"])
    with pytest.raises(SnnVoiceError, match="no words to listen for"):
        wyoming(port=0, words=[","])
    with pytest.raises(SnnVoiceError, match="'go', which is not listened for"):
        wyoming(port=0, words=["yes"], threshold=["go=0.5"])
    with pytest.raises(SnnVoiceError, match=r"threshold=7\.0 is not legal"):
        wyoming(port=0, threshold=["7"])
    with pytest.raises(SnnVoiceError, match="--log-level='loud' is not legal"):
        wyoming(port=0, log_level="loud")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    lack(monkeypatch, "wyoming", "snn_voice_wyoming")
    with pytest.raises(MissingExtraError, match=r"snn-voice-hub\[wyoming\]"):
        wyoming(port=0)
