"""How the service ends while requests are open."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.helpers import Running, raw_request, read_response, start, wait_until, wav


@pytest.fixture
def ending(checkpoint: Path, tmp_path: Path) -> Iterator[Running]:
    """A service of its own, which the test ends."""
    process = start(tmp_path / "log", "--model", str(checkpoint))
    try:
        yield Running.wait_for(process, tmp_path / "log")
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.slow
def test_sigterm_lets_open_requests_finish(ending: Running) -> None:
    """`Expect: 100-continue` shows that the requests are open: the application asks for the body."""
    audio = wav(1, seconds=4)
    connections = [ending.connect() for _ in range(4)]
    for connection in connections:
        connection.sendall(raw_request(b"", "Expect: 100-continue", length=len(audio)))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    logged = ending.log.read_text()
    ending.process.send_signal(signal.SIGTERM)
    wait_until(ending.refuses_connections)
    assert ending.process.poll() is None
    for connection in connections:
        connection.sendall(audio)
    answers = []
    for connection in connections:
        status, body = read_response(connection)
        assert status == 200
        answers.append(json.loads(body))
        connection.close()
    assert len(answers[0]) == 5
    assert all(answer == answers[0] for answer in answers)
    assert ending.ended() == 0
    assert ending.log.read_text() == logged
