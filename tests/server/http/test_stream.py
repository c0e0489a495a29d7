"""`WS /stream`: what goes in and what comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import soxr
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app
from snn_voice_server.http.hellos import MAX_TEXT
from snn_voice_server.http.listening import MAX_BYTES

from tests.server.helpers import check
from tests.server.http.stream_helpers import (
    HELLO,
    RATE,
    cut,
    expected,
    heard,
    listener,
    metric,
    refused,
    same,
    talk,
    until_closed,
)

PCM = talk().tobytes()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(listener())) as found:
        yield found


# --- sound in, words out --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [320, 2_560, 3_333, 32_000, MAX_BYTES, None])
def test_words_are_those_of_the_model_however_sound_is_cut(client: TestClient, size: int | None) -> None:
    """Also within a sample."""
    events = expected(PCM)
    assert {"yes", "marvin"} <= {event.label for event in events}
    same(heard(client, cut(PCM, size)), events)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_other_rates(client: TestClient, rate: int) -> None:
    wave = soxr.resample(talk().astype(np.float32), RATE, rate)
    data = wave.clip(-32_768, 32_767).astype("<i2").tobytes()
    events = expected(data, rate)
    assert events
    same(heard(client, cut(data, 1_000), {**HELLO, "sample_rate": rate}), events)


def test_floats(client: TestClient) -> None:
    data = (talk() / 32_768).astype("<f4").tobytes()
    hello = {**HELLO, "encoding": "float32"}
    same(heard(client, cut(data, 5_001), hello), expected(PCM))


def test_what_was_asked_for(client: TestClient) -> None:
    options = {"words": ["go", "marvin"], "threshold": {"go": 0.3}}
    found = heard(client, cut(PCM, 4_000), {**HELLO, **options, "hop_ms": 50})
    events = expected(PCM, hop=0.05, words=["go", "marvin"], threshold={"go": 0.3})
    assert "yes" not in {event.label for event in events}
    assert events
    same(found, events)


def test_ready_says_what_is_in_force(client: TestClient) -> None:
    point = listener().config.detection
    assert point is not None
    hello = {**HELLO, "type": "hello", "words": ["go", "no"], "threshold": {"no": 0.9}, "scores": True}
    with client.websocket_connect("/stream") as socket:
        socket.send_json(hello)
        ready = socket.receive_json()
    assert ready == {
        "type": "ready",
        "model": listener().config.name,
        "sample_rate": RATE,
        "encoding": "pcm16",
        "labels": listener().config.labels,
        "words": ["go", "no"],
        "threshold": {"go": point.threshold_of("go"), "no": 0.9},
        "hop_ms": 1e3 * point.hop,
        "window_ms": 1e3 * listener().config.features.seconds,
        "scores": True,
        "spikes": False,
    }


def test_scores_of_every_window_however_sound_is_cut(client: TestClient) -> None:
    whole, *others = (heard(client, cut(PCM, size), {**HELLO, "scores": True}) for size in (MAX_BYTES, 700))
    scores = [message for message in whole if message["type"] == "scores"]
    times = [message["time"] for message in scores if message["time"] <= len(PCM) / 2 / RATE]
    assert times == pytest.approx(0.1 * np.arange(1, len(times) + 1))
    assert len(times) == int(10 * len(PCM) / 2 / RATE)
    for message in scores:
        assert list(message["scores"]) == listener().config.labels
        assert sum(message["scores"].values()) == pytest.approx(1, abs=0.01)
    for other in others:
        assert len(other) == len(whole)
        for one, two in zip(whole, other, strict=True):
            assert one["type"] == two["type"]
            if one["type"] == "scores":
                assert one["level"] == two["level"]
                assert one["scores"] == pytest.approx(two["scores"], abs=2e-4)


def test_flush_reset_and_a_second_stream(client: TestClient) -> None:
    """After each, times begin at 0 and nothing of before is left."""
    events = expected(PCM)
    with client.websocket_connect("/stream") as socket:
        socket.send_json(HELLO)
        assert socket.receive_json()["type"] == "ready"
        for _ in range(2):
            socket.send_bytes(PCM[: len(PCM) // 3 * 2 + 1])
            socket.send_json({"type": "reset"})
            while socket.receive_json()["type"] != "reset":
                pass
            socket.send_bytes(PCM)
            socket.send_json({"type": "flush"})
            found = []
            while (message := socket.receive_json())["type"] != "flushed":
                found.append(message)
            same(found, events)
        socket.send_json({"type": "close"})
        assert until_closed(socket) == ([], 1000)


def test_nothing_is_left_over_when_a_client_connects_again(client: TestClient) -> None:
    with client.websocket_connect("/stream") as socket:
        socket.send_json(HELLO)
        socket.send_bytes(PCM[: len(PCM) // 2 + 1])  # within a word, and within a sample
        assert socket.receive_json()["type"] == "ready"
    same(heard(client, cut(PCM, 2_560)), expected(PCM))


def test_silence_says_nothing(client: TestClient) -> None:
    assert heard(client, cut(bytes(6 * RATE), 3_200)) == []
    assert heard(client, []) == []
    assert heard(client, [b"", b"\x01"]) == []


def test_figures(client: TestClient) -> None:
    name = listener().config.name
    before = [metric(client, f'snn_voice_stream_{what}{{model="{name}"}}') for what in FIGURES]
    closed = metric(client, 'snn_voice_streams_closed_total{reason="closed"}')
    heard(client, cut(PCM, 3_200))
    after = [metric(client, f'snn_voice_stream_{what}{{model="{name}"}}') for what in FIGURES]
    seconds, events, delays = (b - a for a, b in zip(before, after, strict=True))
    assert seconds == pytest.approx(len(PCM) / 2 / RATE)
    assert events == len(expected(PCM))
    assert delays >= events
    assert metric(client, 'snn_voice_streams_closed_total{reason="closed"}') == closed + 1
    assert metric(client, "snn_voice_streams") == 0


FIGURES = ("seconds_total", "events_total", "delay_seconds_count")


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hello", "code", "told"),
    [
        ("", "bad_json", '{"sample_rate": 16000, "encoding": "pcm16"}'),
        ("[" * 5_000, "bad_json", "valid JSON"),
        ("[1]", "bad_json", "no object"),
        ("{}", "bad_hello", "no sample_rate"),
        ({"sample_rate": RATE}, "bad_hello", "no encoding"),
        ({**HELLO, "type": "close"}, "bad_hello", "'close'"),
        ({**HELLO, "treshold": 1}, "bad_hello", "did you mean threshold?"),
        ({**HELLO, "sample_rate": "16000"}, "bad_sample_rate", "16000"),
        ({**HELLO, "sample_rate": True}, "bad_sample_rate", "True"),
        ({**HELLO, "sample_rate": 0}, "bad_sample_rate", "0"),
        ({**HELLO, "words": "yes"}, "bad_words", '["yes", "stop"]'),
        ({**HELLO, "words": [["yes"]]}, "bad_words", '["yes", "stop"]'),
        ({**HELLO, "words": ["yess"]}, "bad_hello", "'yess' is no word of the model"),
        ({**HELLO, "words": []}, "bad_hello", "no words"),
        ({**HELLO, "words": ["_silence_"]}, "bad_hello", "'_silence_'"),
        ({**HELLO, "threshold": "high"}, "bad_threshold", "'high'"),
        ({**HELLO, "threshold": 2}, "bad_hello", "threshold"),
        ({**HELLO, "threshold": {"yes": "x"}}, "bad_threshold", "a number"),
        ({**HELLO, "words": ["no"], "threshold": {"yes": 0.5}}, "bad_hello", "not listened for"),
        ({**HELLO, "threshold": {"yes": 10**400}}, "bad_threshold", "a number"),
        ({**HELLO, "hop_ms": 1}, "bad_hello", "hop"),
        ({**HELLO, "hop_ms": 10**400}, "bad_hop_ms", "milliseconds"),
        ({**HELLO, "sample_rate": 10**400}, "bad_sample_rate", "hertz"),
        (json.dumps(HELLO)[:-1] + ', "hop_ms": Infinity}', "bad_hop_ms", "milliseconds"),
        ({**HELLO, "scores": 1}, "bad_scores", "true or false"),
        ({**HELLO, "model": 1}, "bad_model", "GET /models"),
    ],
)
def test_hello_that_is_none(client: TestClient, hello: object, code: str, told: str) -> None:
    error = refused(client, hello)
    assert list(error) == ["code", "message", "hint", "closed"]
    assert (error["code"], error["closed"]) == (code, 4400)
    assert told in f"{error['message']} {error['hint']}"


def test_hello_of_other_statuses(client: TestClient) -> None:
    unknown = refused(client, {**HELLO, "model": "nope"})
    assert (unknown["code"], unknown["closed"]) == ("unknown_model", 4404)
    encoding = refused(client, {**HELLO, "encoding": "mp3"})
    assert (encoding["code"], encoding["closed"]) == ("bad_encoding", 4415)
    assert "pcm16, float32" in encoding["hint"]
    long = refused(client, json.dumps(HELLO) + " " * MAX_TEXT)
    assert (long["code"], long["closed"]) == ("too_large", 4413)


def test_sound_before_the_hello(client: TestClient) -> None:
    with client.websocket_connect("/stream") as socket:
        socket.send_bytes(PCM)
        (error,), code = until_closed(socket)
    assert (error["code"], code) == ("bad_hello", 4400)


@pytest.mark.parametrize(
    ("message", "code", "closed"),
    [
        ("no JSON", "bad_json", 4400),
        ('{"type": "stop"}', "bad_message", 4400),
        ('{"type": ["flush"]}', "bad_message", 4400),
        ("{}", "bad_message", 4400),
        (json.dumps(HELLO), "bad_message", 4400),
        ("x" * (MAX_TEXT + 1), "too_large", 4413),
        (bytes(MAX_BYTES + 1), "too_large", 4413),
        (np.array([np.nan] * 1_600, "<f4").tobytes(), "not_finite", 4400),
    ],
)
def test_messages_that_are_none(client: TestClient, message: str | bytes, code: str, closed: int) -> None:
    with client.websocket_connect("/stream") as socket:
        socket.send_json({**HELLO, "encoding": "float32"})
        assert socket.receive_json()["type"] == "ready"
        if isinstance(message, str):
            socket.send_text(message)
        else:
            socket.send_bytes(message)
        (error,), found = until_closed(socket)
    assert (error["type"], error["code"], found) == ("error", code, closed)
    assert metric(client, "snn_voice_streams") == 0


def test_http_is_told_that_it_is_a_websocket(client: TestClient) -> None:
    assert "ws://" in check(client.get("/stream"), 426, "upgrade_required")
    assert "`ready`" in client.get("/openapi.json").json()["paths"]["/stream"]["get"]["description"]
