"""`snn-voice serve`: how it refuses to start."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import click
import httpx
import pytest
import torch
import typer
from fastapi.testclient import TestClient
from snn_voice_lite.process.sockets import bind
from snn_voice_server.app import create_app
from snn_voice_server.command import serve
from snn_voice_server.process import running
from snn_voice_server.settings import Settings, read_settings

from snn_voice_hub import CheckpointError, ConfigError, MissingExtraError, SnnVoice, SnnVoiceError, TcySNN
from tests.lacking import lack
from tests.server.helpers import PROGRAM, Running, start

# What should be refused, but is not, would serve for ever.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The line on stderr of a command that must end with code 2, and without anything on stdout."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer replaces it

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["serve", "--device", "cpu", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            exec(PROGRAM, {"__name__": "__main__"})
        assert ended.value.code == 2
        output = capfd.readouterr()
        assert output.out == ""
        assert output.err.startswith("snn-voice: error: ")
        assert output.err.count("\n") == 1
        return output.err

    return run


def context_of(*arguments: str) -> typer.Context:
    """What the command is called with."""
    context = typer.Context(click.Command("serve"))
    context.args = list(arguments)
    return context


def test_unknown_engine(
    checkpoint: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refused("--model", str(checkpoint), "--port", "0", "--engine", "warp")
    assert "--engine=warp is not legal" in line
    assert "native" in line
    monkeypatch.setenv("SNN_VOICE_ENGINE", "slow")
    assert "SNN_VOICE_ENGINE=slow is not legal" in refused("--model", str(checkpoint), "--port", "0")


def test_port_in_use(checkpoint: Path, refused: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refused("--model", str(checkpoint), "--port", str(port))
        assert f"port {port} of 127.0.0.1 is already in use" in line
        assert "--port" in line


def test_port_that_another_program_takes_while_the_model_loads(
    checkpoint: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with bind("127.0.0.1", port) as other:  # possible as long as neither listens
        other.listen()
        monkeypatch.setattr("snn_voice_lite.process.sockets.bind", lambda *_: listener)
        line = refused("--model", str(checkpoint), "--port", str(port))
    assert f"port {port} of 127.0.0.1 is already in use" in line


def test_port_from_the_environment(
    checkpoint: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("SNN_VOICE_PORT", str(port))
        assert f"port {port} " in refused("--model", str(checkpoint))


def test_unknown_model(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "'no-such-model'" in refused("--model", "no-such-model", "--port", "0")
    assert "config.json" in refused("--model", str(tmp_path), "--port", "0")


def test_model_that_can_not_classify(
    checkpoint: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration may be legal, and yet no sound fit the network: only an attempt shows it."""

    def fail(*_: object, **__: object) -> None:
        raise ConfigError("got features of another shape")

    monkeypatch.setattr(SnnVoice, "forward", fail)
    assert "features of another shape" in refused("--model", str(checkpoint), "--port", "0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "nonsense"), "nonsense"),
        (("--device", "cpu,cpu"), "twice"),
        (("--max-seconds", "0"), "--max-seconds=0 is not legal"),
        (("--max-seconds=inf",), "--max-seconds=inf is not legal"),
        (("--max-body-mb", "-1"), "--max-body-mb=-1 is not legal"),
        (("--max-queue", "many"), "--max-queue=many is not legal"),
        (("--max-body-mb", "300"), "max_body_memory_mb"),
        (("--api-keys-file", "/nowhere"), "/nowhere can't be read"),
        (("--api-keys", "two words"), "API key 1 can't be sent"),
        (("--log-level", "loud"), "--log-level=loud is not legal"),
        (("--no-such-flag",), "no-such-flag"),
        (("surplus",), "surplus"),
        (("--host", "no such host"), "host 'no such host' is not known"),
        (("--host", "x" * 500), "is not known"),
        (("--host", ""), "host"),
        (("--host", "192.0.2.1"), "can't be had"),
    ],
)
def test_bad_values(
    checkpoint: Path, refused: Callable[..., str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused("--port", "0", "--model", str(checkpoint), *arguments)


def test_a_key_that_is_refused_is_not_shown(checkpoint: Path, refused: Callable[..., str]) -> None:
    line = refused("--port", "0", "--model", str(checkpoint), "--api-keys", "geheim wort")
    assert "geheim" not in line


def test_two_models_of_one_name(tmp_path: Path, refused: Callable[..., str]) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "words").mkdir(parents=True)
    models = f"{tmp_path / 'a' / 'words'},{tmp_path / 'b' / 'words'}"
    assert "two models are called words" in refused("--port", "0", "--model", models)


@pytest.mark.parametrize(
    "package", ["fastapi", "uvicorn", "python_multipart", "prometheus_client", "pydantic_settings"]
)
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    lack(monkeypatch, package, "snn_voice_server")
    with pytest.raises(MissingExtraError, match=r"snn-voice-hub\[serve\]"):
        serve(context_of("--port", "0"))


def test_connections_that_begin_while_the_listener_closes_are_refused_not_reset() -> None:
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        listener.settimeout(20)
        address = listener.getsockname()
        with socket.create_connection(address, timeout=20) as early:
            if not running._ignore_new(listener):
                pytest.skip("this system has no socket filters")
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            # Who was there before is let in, and can be talked to.
            connection, _ = listener.accept()
            with connection:
                early.sendall(b"question")
                assert connection.recv(100) == b"question"
                connection.sendall(b"answer")
                assert early.recv(100) == b"answer"
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=20)


def test_bind_gives_the_port_it_was_asked_for() -> None:
    with bind("localhost", 0) as first:
        host, port = first.getsockname()[:2]
        assert host == "127.0.0.1"
        first.listen()
        with pytest.raises(SnnVoiceError, match=f"port {port} of 127.0.0.1 is already in use"):
            bind("127.0.0.1", port)
    with bind("127.0.0.1", port) as again:
        assert again.getsockname()[1] == port


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "tcy-snn", "--model", "no-such-model"), "no checkpoint 'no-such-model'"),
        (("--model", "tcy-snn", "--model", "/nowhere/at all"), "no checkpoint '/nowhere/at all'"),
        (("--threads", "1000000"), "--threads=1000000 is not legal"),
        (("--decode-threads", "1000000"), "--decode-threads=1000000 is not legal"),
    ],
)
def test_what_can_never_work_stops_the_start(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SnnVoiceError, match=re.escape(said)):
        create_app(settings=read_settings(arguments))


def test_a_checkpoint_that_can_not_answer_stops_the_start(tmp_path: Path) -> None:
    """Its weights are finite, what they make of any sound is not."""
    voice = SnnVoice(TcySNN(num_classes=2), labels=["a", "b"])
    with torch.no_grad():
        for parameter in voice.network.parameters():
            parameter.fill_(3e38)
    voice.save_pretrained(tmp_path)
    app = create_app(settings=Settings(model=[str(tmp_path)], device="cpu"))
    with pytest.raises(CheckpointError, match="for silence are not finite"), TestClient(app):
        pass


def test_the_log_is_json_from_the_first_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNN_VOICE_MAX_QUEU", "1")
        process = start(log, "--model", "tcy-snn", "--log-format", "json", "--log-level", "info")
    running = Running.wait_for(process, log)
    assert httpx.get(f"{running.url}/nope").status_code == 404
    assert httpx.get(f"{running.url}/", headers={"Accept": "text/html"}).status_code == 200
    assert httpx.get(f"{running.url}/web/app.js").status_code == 200
    assert running.stop(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["message"] for line in lines if "is no setting" in line["message"]] == [lines[0]["message"]]
    assert [line["message"] for line in lines if line["logger"].endswith("middleware")] == [
        "GET /nope 404",
        "GET / 200",
    ]
