"""`snn-voice serve`: how it refuses to start."""

from __future__ import annotations

import builtins
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from server_helpers import PROGRAM
from snn_voice_server import running
from snn_voice_server.command import serve
from snn_voice_server.running import bind
from snn_voice_server.settings import read_settings

from snn_voice_hub import ConfigError, MissingExtraError, SnnVoice, SnnVoiceError

# What should be refused, but is not, would serve for ever.
pytestmark = pytest.mark.timeout(60)


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
        monkeypatch.setattr("snn_voice_server.running.bind", lambda *_: listener)
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


def test_a_misspelt_variable_is_pointed_out(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SNN_VOICE_MAX_QUEU", "3")
    read_settings(["--port", "0"])
    assert "SNN_VOICE_MAX_QUEU is no setting; is SNN_VOICE_MAX_QUEUE meant?" in caplog.text


@pytest.mark.parametrize(
    "package", ["fastapi", "uvicorn", "python_multipart", "prometheus_client", "pydantic_settings"]
)
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in (package, "snn_voice_server")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
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
