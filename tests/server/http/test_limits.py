"""Requests that are too large, and clients that leave."""

from __future__ import annotations

import base64
import json
import socket
import struct
from collections.abc import Iterator

import httpx
import pytest

from tests.server.conftest import SMALL_BODY_MB
from tests.server.helpers import Running, check, raw_request, read_response, wait_until, wav

JSON = {"Content-Type": "application/json"}

# --- size -----------------------------------------------------------------------------------------


def test_declared_length_over_the_limit(server: Running) -> None:
    """The answer comes at once, though not a byte of the body was sent."""
    with server.connect() as connection:
        connection.sendall(raw_request(b"", length=25_000_001))
        status, body = read_response(connection)
    assert status == 413
    assert json.loads(body)["error"]["code"] == "too_large"


def test_limit_is_exact(small_server: Running) -> None:
    limit = SMALL_BODY_MB * 1_000_000
    for chunked in (False, True):
        for size, status, code in ((limit, 415, "not_audio"), (limit + 1, 413, "too_large")):
            body = bytes(size)
            content = (body[i : i + 65536] for i in range(0, size, 65536)) if chunked else body
            check(httpx.post(f"{small_server.url}/classify", content=content), status, code)


def test_limit_holds_for_forms_and_json(small_server: Running) -> None:
    url, too_much = f"{small_server.url}/classify", bytes(SMALL_BODY_MB * 1_000_000)
    check(httpx.post(url, files={"file": too_much}), 413, "too_large")
    inputs = base64.b64encode(too_much).decode()
    check(httpx.post(url, json={"inputs": inputs}), 413, "too_large")


def test_endless_body_takes_no_memory(small_server: Running) -> None:
    before = small_server.peak_megabytes()

    def endless() -> Iterator[bytes]:
        for _ in range(400):
            yield bytes(1_000_000)

    with httpx.Client(base_url=small_server.url, timeout=60) as client:
        check(client.post("/classify", content=endless()), 413, "too_large")
        assert client.post("/classify", content=wav()).status_code == 200
    assert small_server.peak_megabytes() - before < 50


def test_json_of_many_values_takes_no_memory(server: Running, client: httpx.Client) -> None:
    """20 MB of JSON like this would be a gigabyte of objects."""
    body = b'{"inputs": [' + b"[]," * 6_000_000 + b"[]]}"
    before = server.peak_megabytes()
    check(client.post("/classify", content=body, headers=JSON), 400, "bad_json")
    assert server.peak_megabytes() - before < 200


# --- clients that leave ---------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("sent", [0, 100, 100_000])
def test_client_that_leaves_while_it_sends(server: Running, reset: bool, sent: int) -> None:
    logged, others = server.log.read_text(), server.connections()
    connection = server.connect()
    connection.sendall(raw_request(bytes(sent), length=1_000_000))
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    wait_until(lambda: server.connections() <= others)
    assert httpx.get(f"{server.url}/health").status_code == 200
    assert server.log.read_text() == logged


def test_client_that_does_not_wait_for_the_answer(server: Running) -> None:
    logged = server.log.read_text()
    with server.connect() as connection:
        connection.sendall(raw_request(wav(seconds=20)))
    assert httpx.post(f"{server.url}/classify", content=wav(), timeout=60).status_code == 200
    assert server.log.read_text() == logged
