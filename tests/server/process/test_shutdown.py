"""How the service ends. Its name makes this module run after those that use the same service."""

from __future__ import annotations

import json
import signal
import socket
import threading

from tests.server.helpers import Running, raw_request, read_response, wav


def test_sigterm_lets_open_requests_finish(small_server: Running) -> None:
    """`Expect: 100-continue` shows that the requests are open: the application asks for the body."""
    audio = wav(1, seconds=4)
    connections = [small_server.connect() for _ in range(4)]
    for connection in connections:
        connection.sendall(raw_request(b"", "Expect: 100-continue", length=len(audio)))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    logged = small_server.log.read_text()
    small_server.process.send_signal(signal.SIGTERM)
    closed = threading.Event()
    for _ in range(100):  # nobody new is let in
        try:
            socket.create_connection(small_server.address, timeout=5).close()
        except OSError:
            closed.set()
            break
        closed.wait(0.1)
    assert closed.is_set()
    assert small_server.process.poll() is None
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
    assert small_server.ended() == 0
    assert small_server.log.read_text() == logged
