"""Too many connections, and no descriptors left: refused in words, survived, and over when they are."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.helpers import Running, raw_request, read_response, start, wav

CONNECTIONS = 6


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that takes few connections and little time for each."""
    log = tmp_path_factory.mktemp("narrow") / "log"
    limits = ("--max-connections", str(CONNECTIONS), "--first-byte-timeout", "60", "--body-timeout", "0.2")
    limits += ("--header-timeout", "0.2", "--max-header-kb", "8")
    running = Running.wait_for(start(log, "--model", "tcy-snn", *limits), log)
    yield running
    assert running.stop(signal.SIGTERM) == 0


def answers_again(running: Running) -> None:
    """Wait until the service takes a new connection, and use it for a whole request."""
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.post(f"{running.url}/classify", content=wav()).status_code == 200:
                return
        assert time.monotonic() < end, "still refused"


def turned_away(running: Running) -> dict[str, float]:
    prefix = "snn_voice_connections_turned_away_total{reason="
    lines = httpx.get(f"{running.url}/metrics").text.splitlines()
    found = [line.removeprefix(prefix).split("} ") for line in lines if line.startswith(prefix)]
    return {reason.strip('"'): float(count) for reason, count in found}


def test_one_too_many_is_told(narrow: Running) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(httpx.Client(base_url=narrow.url, timeout=30))
        assert first.get("/health").status_code == 200
        for _ in range(CONNECTIONS - 1):
            stack.enter_context(narrow.connect())
        refused = httpx.post(f"{narrow.url}/classify", content=wav())
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "too_many_connections"
        assert refused.headers["retry-after"] == "1"
        # Who is in is served.
        assert first.post("/classify", content=wav()).status_code == 200
        count = [line for line in first.get("/metrics").text.splitlines() if "voice_connections " in line]
        assert count[-1] == f"snn_voice_connections {CONNECTIONS}.0"
    answers_again(narrow)
    assert turned_away(narrow)["too_many_connections"] >= 1


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX-", 408, "timeout"),
        pytest.param(raw_request(b"RIFF", length=1000), 408, "timeout", marks=pytest.mark.slow),
        (b"GET /health HTTP/1.1\r\nX: " + b"a" * 8100 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"no HTTP at all\r\n\r\n", 400, "bad_request"),
    ],
)
def test_slow_and_large_clients_are_told(narrow: Running, sent: bytes, status: int, code: str) -> None:
    with narrow.connect() as connection:
        connection.sendall(sent)
        got, body = read_response(connection)
        assert (got, json.loads(body)["error"]["code"]) == (status, code)
        assert connection.recv(100) == b""
    answers_again(narrow)


def test_headers_of_many_megabytes_take_no_memory(narrow: Running) -> None:
    before = narrow.peak_megabytes()
    line = b"X-A: " + b"a" * (1 << 20) + b"\r\n"
    with narrow.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises(ConnectionError):
            connection.sendall(200 * line)
    assert narrow.peak_megabytes() - before < 20
    answers_again(narrow)


@pytest.mark.slow
@pytest.mark.parametrize("sudden", [False, True])
def test_without_descriptors_it_refuses_and_recovers(tmp_path: Path, sudden: bool) -> None:
    """Once where the limit is known at the start, once where the door could not know of it."""
    log = tmp_path / "log"
    process = start(log, "--model", "tcy-snn", "--log-format", "json", descriptors=None if sudden else 64)
    running = Running.wait_for(process, log)
    if sudden:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (64, 64))
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=running.url, timeout=30))
        assert client.get("/health").status_code == 200
        idle = [stack.enter_context(socket.create_connection(running.address, 30)) for _ in range(200)]
        refused = 0
        for connection in idle[100:]:
            connection.settimeout(30)
            with contextlib.suppress(ConnectionError):
                refused += b" 503 " in connection.recv(100)
        assert refused, "nobody was told"
        # The connections that are in, and files, work on.
        assert client.post("/classify", content=wav()).status_code == 200
    answers_again(running)
    assert turned_away(running)["no_descriptors"] >= 100
    lines = log.read_text().splitlines()
    assert 1 <= len(lines) <= 3, lines
    assert all("refused" in json.loads(line)["message"] for line in lines)
    assert running.stop(signal.SIGTERM) == 0
