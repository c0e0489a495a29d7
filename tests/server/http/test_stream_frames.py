"""`WS /stream` before a network whose steps are those of the sound: its state goes along with each row."""

from __future__ import annotations

import asyncio
import threading
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app
from snn_voice_server.models import compute, work
from snn_voice_server.settings import Settings

from snn_voice_hub import SnnVoice
from tests.server.conftest import until
from tests.server.helpers import encoded, wait_until
from tests.server.http.stream_helpers import (
    BEARER,
    HELLO,
    KEY,
    RATE,
    Client,
    Message,
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
from tests.voice.stream_helpers import follower

PCM = talk().tobytes()
LONG = np.tile(talk(), 2).tobytes()
SPIKES = {**HELLO, "spikes": True}
Bits = npt.NDArray[np.bool_]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(follower())) as found:
        yield found


def words(data: bytes, **options: Any) -> Any:
    return expected(data, model=follower(), **options)


def scores_in(messages: Iterable[Message]) -> list[list[float]]:
    return [list(message["scores"].values()) for message in messages if message["type"] == "scores"]


def spikes_in(messages: Iterable[Message], neurons: int) -> Bits:
    """Those of all messages, `[T, N]`; the messages go on from each other."""
    parts, at = [np.zeros((0, neurons), bool)], 0.0
    for message in messages:
        if message["type"] == "spikes":
            assert message["start"] == pytest.approx(at)
            assert message["time"] == pytest.approx(at + message["steps"] * 0.02)
            bits = np.frombuffer(b64decode(message["bits"]), np.uint8).reshape(message["steps"], -1)
            parts.append(np.unpackbits(bits, 1, neurons, bitorder="little").astype(bool))
            at = message["time"]
    return np.concatenate(parts)


def raster(wave: npt.NDArray[Any], sample_rate: int = RATE, **options: Any) -> Bits:
    """What the model itself tells of each step, `[T, N]`."""
    stream, parts = follower().stream(sample_rate=sample_rate, spikes=True, **options), []
    due = stream.take(wave)
    while due:
        stream.give(due, follower().run_inputs(due.inputs) if len(due) else None)
        parts.append(np.concatenate(list(stream.raster.values()), 1))
        due = stream.more()
    return np.concatenate(parts)


# --- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [700, 32_000, None])
def test_words_are_those_of_the_model_however_sound_is_cut(client: TestClient, size: int | None) -> None:
    events = words(PCM)
    assert len(events) >= 3
    same(heard(client, cut(PCM, size)), events)


def test_a_clip(client: TestClient) -> None:
    wave = talk()[:RATE]
    answer = client.post("/classify", content=encoded(wave))
    (best,) = follower().classify(wave / np.float32(32_768), sample_rate=RATE, top_k=1)
    assert answer.json()[0] == {"label": best.label, "score": pytest.approx(best.score, abs=1e-4)}


def test_figures(client: TestClient) -> None:
    names = [f'snn_voice_stream_{what}{{model="follower"}}' for what in ("seconds_total", "events_total")]
    before = [metric(client, name) for name in names]
    heard(client, cut(PCM, 3_200))
    seconds, events = (metric(client, name) - b for name, b in zip(names, before, strict=True))
    assert seconds == pytest.approx(len(PCM) / 2 / RATE)
    assert events == len(words(PCM))


# --- many at once -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_streams_at_once_hear_what_each_hears_alone(client: TestClient) -> None:
    sounds = [np.roll(talk(), -4_321 * i).tobytes() for i in range(4)]
    with ExitStack() as stack:
        sockets = [stack.enter_context(client.websocket_connect("/stream")) for _ in sounds]
        for i, socket in enumerate(sockets):
            socket.send_json({**HELLO, "spikes": i == 1, "hop_ms": 40 if i == 2 else None})
            ready = socket.receive_json()
            assert ready["type"] == "ready", ready
        for chunks in zip(*(cut(sound, 6_401) for sound in sounds), strict=True):
            for socket, chunk in zip(sockets, chunks, strict=True):
                socket.send_bytes(chunk)
        for i, (socket, sound) in enumerate(zip(sockets, sounds, strict=True)):
            socket.send_json({"type": "close"})
            messages, _ = until_closed(socket)
            same(messages, words(sound, hop=0.04 if i == 2 else None))


def test_no_stream_fails_for_the_sake_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows run together; the model fails on one of them, and the others go on from the same state."""
    app = create_app(follower())
    begun, go_on, bad, sizes = threading.Event(), threading.Event(), [], []

    def run(voice: SnnVoice, rows: Any) -> Any:
        if not begun.is_set():
            begun.set()
            assert go_on.wait(30)
        elif len(rows) > 1 and not bad:
            bad.append(rows[0])
        sizes.append(len(rows))
        if any(row is one for row in rows for one in bad):
            raise RuntimeError("it fails")
        return compute.outputs_of(voice, rows)

    sounds = [np.roll(talk(), -4_321 * i)[:RATE].tobytes() for i in range(4)]

    async def scenario() -> list[Client]:
        async with app.router.lifespan_context(app):
            clients = [Client(app) for _ in sounds]
            for client in clients:
                await client.ready()
            monkeypatch.setattr(work, "outputs_of", run)
            clients[0].say(sounds[0])
            await until(begun.is_set)
            for client, sound in zip(clients[1:], sounds[1:], strict=True):
                client.say(sound)
            await until(lambda: all(client.taken == 3 for client in clients))
            go_on.set()
            for client in clients:
                client.say({"type": "reset"})
                client.say({"type": "close"})
                await client.task
            return clients

    clients = asyncio.run(scenario())
    assert max(sizes) >= 3
    failed = [client.messages[-1]["code"] == 4500 for client in clients]
    assert failed.count(True) == 1
    for client, sound, fails in zip(clients, sounds, failed, strict=True):
        stream = follower().stream(sample_rate=RATE)
        alone = []
        for chunk in cut(sound, 3_200):
            stream.feed(chunk)
            alone.append(list(stream.scores.values()))
        found = scores_in(client.messages)
        assert fails or len(found) == len(alone)
        np.testing.assert_allclose(found, alone[: len(found)], atol=1e-3)


def test_sound_that_is_too_loud_ends_its_own_stream(client: TestClient) -> None:
    loud = (1e30 * np.random.default_rng(0).standard_normal(RATE)).astype("<f4").tobytes()
    with client.websocket_connect("/stream") as other:
        other.send_json({**HELLO, "encoding": "float32"})
        assert other.receive_json()["type"] == "ready"
        with client.websocket_connect("/stream") as socket:
            socket.send_json(HELLO)
            assert socket.receive_json()["type"] == "ready"
            for i, chunk in enumerate(cut(PCM, 6_400)):
                socket.send_bytes(chunk)
                if i == 3:
                    other.send_bytes(loud)
            socket.send_json({"type": "close"})
            messages, code = until_closed(socket)
        assert code == 1000
        same(messages, words(PCM))
        (error,), code = until_closed(other)
    assert (error["code"], code) == ("not_finite", 4400)


def test_another_checkpoint(tmp_path: Path) -> None:
    """Open streams say their last words and are told; who connects again has the new one."""
    folder = tmp_path / "follower"
    follower().save_pretrained(folder)
    settings = Settings(model=[str(folder)], api_keys=[KEY], engine="torch")
    seconds = 'snn_voice_stream_seconds_total{model="follower"}'
    with TestClient(create_app(settings=settings)) as client:
        with client.websocket_connect("/stream", headers=BEARER) as socket:
            socket.send_json(HELLO)
            assert socket.receive_json()["type"] == "ready"
            socket.send_bytes(PCM)
            wait_until(lambda: metric(client, seconds) >= len(PCM) / 2 / RATE - 0.5)
            assert client.post("/admin/reload", headers=BEARER).status_code == 200
            messages, code = until_closed(socket)
            assert code == 1012
            same(messages, words(PCM))
        same(heard(client, cut(PCM, 32_000), headers=BEARER), words(PCM))


# --- spikes -----------------------------------------------------------------------------------------


def test_ready_names_the_layers(client: TestClient) -> None:
    layers = [
        {"name": name, "neurons": len(s)} for name, s in follower().stream(sample_rate=RATE).spikes.items()
    ]
    for hello in (HELLO, SPIKES):
        with client.websocket_connect("/stream") as socket:
            socket.send_json(hello)
            ready = socket.receive_json()
        assert (ready["spikes"], ready.get("layers")) == (
            (True, layers) if hello is SPIKES else (False, None)
        )
    assert [layer["neurons"] for layer in layers if layer["name"] == "lif"] == [160]


@pytest.mark.parametrize("size", [700, 32_000])
def test_spikes_of_every_step(client: TestClient, size: int) -> None:
    wave = talk()[: 3 * RATE]
    messages = heard(client, cut(wave.tobytes(), size), {**SPIKES, "scores": True})
    same(messages, words(wave.tobytes()))
    wanted = raster(wave)
    found = spikes_in(messages, wanted.shape[1])
    assert len(wanted) == 3 * 50
    assert (found[: len(wanted)] != wanted).mean() < 1e-3
    assert found[: len(wanted)].any(1).all()
    kinds = [message["type"] for message in messages if message["type"] != "keyword"]
    assert kinds == ["scores", "spikes"] * (len(kinds) // 2)


def test_no_step_is_missing_where_sound_is_resampled(client: TestClient) -> None:
    """It leaves the resampler in bursts."""
    wave = soxr.resample(talk()[: 2 * RATE].astype(np.float32), RATE, 48_000).astype("<i2")
    hello = {**SPIKES, "sample_rate": 48_000, "hop_ms": 20}
    wanted = raster(wave, 48_000, hop=0.02)
    found = spikes_in(heard(client, cut(wave.tobytes(), 3_000), hello), wanted.shape[1])
    assert len(found) > len(wanted) > 95
    assert (found[: len(wanted)] != wanted).mean() < 1e-3


def test_silence_has_spikes_of_none(client: TestClient) -> None:
    messages = heard(client, cut(bytes(6 * RATE), 3_200), SPIKES)
    assert messages
    assert not spikes_in(messages, 1568)[50:].any()


def test_models_that_hear_windows_have_no_such_spikes() -> None:
    with TestClient(create_app(listener())) as client:
        error = refused(client, SPIKES)
        assert (error["code"], error["closed"]) == ("bad_hello", 4400)
        assert "resmel-snn hears windows" in error["message"]
        assert heard(client, [], {**HELLO, "spikes": False}) == []
        error = refused(client, {**HELLO, "spikes": 1})
        assert (error["code"], error["hint"]) == ("bad_spikes", "true or false")
