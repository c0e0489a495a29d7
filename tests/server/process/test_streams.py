"""Streams over real sockets."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from snn_voice_server.process.door import Unwatched
from snn_voice_server.process.reading import Reading

from tests.places import EXAMPLES, ROOT
from tests.server.helpers import Running, start
from tests.server.http.stream_helpers import HELLO, cut, expected, same, talk

websockets = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")

PCM = talk().tobytes()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A service of its own, which the test may end."""
    process = start(tmp_path / "log")
    try:
        yield Running.wait_for(process, tmp_path / "log")
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def opened(running: Running, stack: ExitStack) -> Any:
    """A stream that is listened to; `stack` closes it."""
    socket = stack.enter_context(websockets.connect(running.url.replace("http", "ws") + "/stream"))
    socket.send(json.dumps(HELLO))
    assert json.loads(socket.recv())["type"] == "ready"
    return socket


def rest(socket: Any, last: str = "closed") -> list[dict[str, Any]]:
    """What comes, up to a message of that type."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] != last:
        found.append(json.loads(socket.recv(timeout=60)))
    return found


def closed(socket: Any) -> int:
    """The code that it is closed with now."""
    with pytest.raises(exceptions.ConnectionClosed) as found:
        socket.recv(timeout=60)
    code: int = found.value.rcvd.code
    return code


def test_streams_until_sigterm(running: Running) -> None:
    """One that sends as fast as it can, one that hangs up, some that are open at the end: nothing hangs."""
    with ExitStack() as stack:
        socket = opened(running, stack)
        for chunk in cut(PCM, 3_333):
            socket.send(chunk)
        socket.send('{"type": "close"}')
        messages = rest(socket)
        same(messages, expected(PCM))
        assert (messages[-1]["reason"], closed(socket)) == ("closed", 1000)

        left = opened(running, stack)
        left.send(PCM[:5_001])
        left.socket.close()

        command = [sys.executable, str(ROOT / "examples" / "stream_client.py"), str(EXAMPLES / "yes.wav")]
        command += ["--url", running.url.replace("http", "ws") + "/stream"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout.split()[2] == "yes"
        refused = subprocess.run([*command, "--words", "nope"], capture_output=True, timeout=120)
        assert refused.returncode == 1

        sockets = [opened(running, stack) for _ in range(3)]
        opened(running, stack)  # says nothing more
        for socket in sockets:
            socket.send(PCM)
            # It was heard when the next message is taken.
            socket.send('{"type": "reset"}')
            rest(socket, "reset")
        running.process.send_signal(signal.SIGTERM)
        for socket in sockets:
            assert rest(socket) == [{"type": "closed", "reason": "stopping", "code": 1001}]
            assert closed(socket) == 1001
        assert running.ended() == 0
        assert not running.log.read_text()


class Transport(asyncio.WriteTransport):
    """Has so many bytes that nobody reads."""

    def __init__(self) -> None:
        self.waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting


def test_who_does_not_read_has_half_a_minute_and_a_second_for_each_16_kb() -> None:
    reading, transport = Reading(), Transport()
    assert not reading.too_slow(transport, 0.0)
    assert not reading.too_slow(transport, 100.0)
    transport.waiting = 163_840
    assert not reading.too_slow(transport, 101.0)
    assert not reading.too_slow(transport, 140.9)
    assert reading.too_slow(transport, 141.1)
    transport.waiting = 0
    assert not reading.too_slow(transport, 142.0)
    transport.waiting = 1
    assert not reading.too_slow(transport, 143.0)


@pytest.mark.parametrize("unread", [0, 1])
def test_what_nobody_reads_does_not_hold_up_the_end(unread: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("snn_voice_server.process.stream_connection")
    done: list[str] = []
    monkeypatch.setattr(module.WebSocketsSansIOProtocol, "shutdown", lambda _: done.append("told"))
    transport = Transport()
    transport.waiting = unread
    monkeypatch.setattr(transport, "abort", lambda: done.append("cut"), raising=False)
    connection = object.__new__(module.StreamConnection)
    connection.transport, connection._watcher, connection._reading = transport, Unwatched(), Reading()
    connection.shutdown()
    assert done == (["cut"] if unread else ["told"])
    connection.sweep(0.0)
    connection.sweep(100.0)
    assert done[1:] == (["cut"] if unread else [])
