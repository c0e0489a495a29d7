"""`snn-voice wyoming` and `snn-voice-lite wyoming`, as a user runs them."""

from __future__ import annotations

import asyncio
import re
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main

from tests.slowness import mostly_slow

pytest.importorskip("wyoming", reason="the extra wyoming is not installed")

from snn_voice_lite.errors import MissingExtraError, SnnVoiceError
from snn_voice_lite.finding import found
from snn_voice_lite.shell import program
from wyoming.ping import Ping, Pong

import snn_voice_hub as sv
from snn_voice_hub.cli import app
from tests.lacking import lack
from tests.programs import started
from tests.wyoming.helpers import Client, talk

# `snn-voice --help` loads the command, also where the extra is not installed.
HUB = """
import sys
import snn_voice_hub.cli.wyoming
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"wyoming", "torch", "numpy", "snn_voice_server"}, loaded
from snn_voice_hub.cli import main
sys.argv[0] = "snn-voice"
main()
"""
# From its start to its end, after sound was heard.
LITE = """
import sys
from snn_voice_lite.shell.program import main
try:
    main()
finally:
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert "wyoming" in loaded
    assert not loaded & {"torch", "torchaudio", "snn_voice_hub", "snn_voice_server", "typer"}, loaded
"""
PROGRAMS = {"snn-voice": HUB, "snn-voice-lite": LITE}


def hub(*arguments: str) -> None:
    typer.main.get_command(app)(["wyoming", *arguments], standalone_mode=False)


def lite(*arguments: str) -> None:
    program._run(["wyoming", *arguments])


Command = Callable[..., None]
both = pytest.mark.parametrize("wyoming", [hub, lite])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, default_model: sv.SnnVoice) -> dict[str, Path]:
    """A model of one's own, as each program has it: a folder, a file."""
    folder = tmp_path_factory.mktemp("runs")
    default_model.save_pretrained(folder / "mine")
    (folder / "mine.onnx").write_bytes(found(None).read_bytes())
    return {"snn-voice": folder / "mine", "snn-voice-lite": folder / "mine.onnx"}


@pytest.fixture(params=PROGRAMS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def process(name: str, own: dict[str, Path], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = ["wyoming", "--port", "0", "--model", str(own[name]), "--words", "yes,stop"]
    with started(PROGRAMS[name], [*arguments, "--threshold", "yes=0.5"], tmp_path / "log") as process:
        yield process


def port_of(process: subprocess.Popen[str], name: str, log: Path) -> int:
    assert process.stdout
    assert select.select([process.stdout], [], [], 200)[0], log.read_text()
    line = process.stdout.readline()
    told = re.fullmatch(rf"{name}: wake words of \S+ at tcp://127.0.0.1:(\d+): yes, stop\n", line)
    assert told, line + log.read_text()
    return int(told[1])


@pytest.mark.parametrize("how", mostly_slow([signal.SIGTERM, signal.SIGINT], signal.SIGTERM))
def test_it_hears_until_it_is_asked_to_end(
    process: subprocess.Popen[str], name: str, tmp_path: Path, how: signal.Signals
) -> None:
    port = port_of(process, name, tmp_path / "log")

    async def use() -> None:
        async with Client(port) as client, Client(port) as idle:
            assert [word.name for word in await client.heard(talk("yes", "go"))] == ["yes"]
            await idle.say(Ping())
            assert Pong.is_type((await idle.answer()).type)
            process.send_signal(how)
            assert await client.rest() == await idle.rest() == []

    asyncio.run(use())
    code, log = process.wait(timeout=60), (tmp_path / "log").read_text()
    assert code == 0, log
    assert "hears yes" in log
    assert "Traceback" not in log
    assert all(line.split()[1] == "info" for line in log.splitlines()), log


@both
def test_mistakes_are_told(wyoming: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SnnVoiceError, match=f"port {port} of 127.0.0.1 is already in use"):
            wyoming("--port", str(port))
    for arguments, said in (
        (["--words", "yes,lumos"], "'lumos' is no word of the model"),
        (["--words", ","], "no words to listen for"),
        (["--words", "yes", "--threshold", "go=0.5"], "'go', which is not listened for"),
        (["--threshold", "7"], r"threshold=7\.0 is not legal"),
        (["--log-level", "loud"], "--log-level='loud' is not legal"),
        (["--model", "resmel-snn", "--model", "nowhere"], "there is no model|'nowhere'"),
    ):
        with pytest.raises(SnnVoiceError, match=said):
            wyoming("--port", "0", *arguments)


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "65536"), ("--max-connections", "0"), ("--idle-timeout", "0.5")]
)
def test_numbers_that_are_not_legal(option: str, value: str) -> None:
    """Of `snn-voice` Typer says it."""
    with pytest.raises(SnnVoiceError, match=f"{option}={value} is not legal"):
        lite(option, value)


def test_models_may_be_several(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from snn_voice_lite.wyoming import serving

    monkeypatch.setattr(serving, "serve_until_asked_to_end", lambda *given: given[-1]())
    lite("--port", "0", "--model", "tempo-snn", "--model", "resmel-snn", "--words", "yes")
    assert re.search(r"of tempo-snn, resmel-snn at tcp://127.0.0.1:\d+: yes\n", capsys.readouterr().out)


@both
def test_without_the_extra(wyoming: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lack(monkeypatch, "wyoming", "snn_voice_lite.wyoming")
    with pytest.raises(MissingExtraError, match=r"\[wyoming\]"):
        wyoming("--port", "0")
