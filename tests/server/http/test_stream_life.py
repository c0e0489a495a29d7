"""Many streams: who may have one, what they share, and how they end."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app
from snn_voice_server.failures import RequestError
from snn_voice_server.models import compute, work
from snn_voice_server.models.served import Entry
from snn_voice_server.settings import Settings

from snn_voice_hub import SnnVoice
from snn_voice_hub.hub.bundled import bundled_root
from tests.places import EXAMPLES
from tests.server.conftest import Slowly, until
from tests.server.helpers import wait_until
from tests.server.http.stream_helpers import (
    BEARER,
    HELLO,
    KEY,
    RATE,
    Client,
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


@pytest.fixture
def guarded() -> Iterator[TestClient]:
    """Two callers, of whom each may have half of the four streams."""
    with TestClient(create_app(listener(), Settings(api_keys=[KEY, "other"], max_streams=4))) as client:
        yield client


# --- who may ----------------------------------------------------------------------------------------


def test_a_key_is_needed(guarded: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = {"Authorization": "Bearer a-wrong-key"}
    for hello, headers in ((HELLO, {}), (HELLO, wrong), ({**HELLO, "key": "a-wrong-key"}, {})):
        error = refused(guarded, hello, headers=headers)
        assert (error["code"], error["closed"]) == ("unauthorized", 4401)
    assert metric(guarded, 'snn_voice_refused_total{reason="unauthorized"}') == 3
    # Browsers can't send the header.
    assert heard(guarded, [], {**HELLO, "key": KEY}) == heard(guarded, [], headers=BEARER) == []
    assert KEY not in caplog.text
    assert "a-wrong-key" not in caplog.text
    hidden = refused(guarded, {**HELLO, "key": [KEY]})
    assert KEY not in json.dumps(hidden)


def test_no_more_streams_than_agreed(guarded: TestClient) -> None:
    def opened(stack: ExitStack, key: str) -> Any:
        socket = stack.enter_context(guarded.websocket_connect("/stream"))
        socket.send_json({**HELLO, "key": key})
        return socket.receive_json()

    with ExitStack() as stack:
        for _ in range(2):
            assert opened(stack, KEY)["type"] == "ready"
        share = opened(stack, KEY)
        assert (share["code"], share["retry_after"]) == ("over_share", 5)
        assert [opened(stack, "other")["type"] for _ in range(2)] == ["ready", "ready"]
        assert metric(guarded, "snn_voice_streams") == 4
        full = opened(stack, "other")
        assert (full["code"], full["retry_after"]) == ("busy", 5)
    wait_until(lambda: metric(guarded, "snn_voice_streams") == 0)
    assert heard(guarded, [], {**HELLO, "key": KEY}) == []


def test_pages_of_other_origins() -> None:
    """Browsers let every page open a WebSocket to every host, and only name the page."""
    with TestClient(create_app(listener(), Settings(cors_origins=["https://words.example"]))) as client:
        for origin in ("https://other.example", "null", "http://testserver.example", "http://["):
            error = refused(client, HELLO, headers={"Origin": origin})
            assert (error["code"], error["closed"]) == ("forbidden", 4403)
        for origin in ("https://words.example", "http://testserver"):
            assert heard(client, [], headers={"Origin": origin}) == []


def test_models_on_ray_do_not_listen() -> None:
    with pytest.raises(RequestError, match="Ray") as refusal:
        Entry.stream(object(), sample_rate=RATE)  # type: ignore[arg-type]
    assert refusal.value.code == "not_supported"


# --- what they share ---------------------------------------------------------------------------------


def test_streams_at_once_hear_what_each_hears_alone() -> None:
    words = [("yes", "go"), ("marvin", "left"), ("no", "seven")]
    sounds = [talk(*pair).tobytes() for pair in words]
    with TestClient(create_app(listener())) as client, ExitStack() as stack:
        sockets = [stack.enter_context(client.websocket_connect("/stream")) for _ in sounds]
        for socket in sockets:
            socket.send_json(HELLO)
            assert socket.receive_json()["type"] == "ready"
        for chunks in zip(*(cut(sound, 3_201) for sound in sounds), strict=False):
            for socket, chunk in zip(sockets, chunks, strict=True):
                socket.send_bytes(chunk)
        shortest = min(len(list(cut(sound, 3_201))) for sound in sounds)
        for socket, sound in zip(sockets, sounds, strict=True):
            socket.send_bytes(sound[shortest * 3_201 :])
            socket.send_json({"type": "close"})
            messages, _ = until_closed(socket)
            same(messages, expected(sound))
    assert all(map(expected, sounds))


class Held(Slowly):
    """As `Slowly`, for what streams run."""

    def __call__(self, voice: SnnVoice, rows: Any) -> Any:
        self.sizes.append(len(rows))
        assert self.go_on.wait(30)
        return compute.outputs_of(voice, rows)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found = Held()
    monkeypatch.setattr(work, "outputs_of", found)
    yield found
    found.go_on.set()


NOISE = talk()[: RATE // 10].tobytes()  # completes a window


def test_windows_of_several_streams_run_in_one_batch(held: Held) -> None:
    app = create_app(listener())

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            clients = [Client(app) for _ in range(5)]
            for client in clients:
                await client.ready()
            clients[0].say(NOISE)
            await held.begun()
            for client in clients[1:]:
                client.say(NOISE)
            await until(lambda: all(client.taken == 3 for client in clients))
            held.go_on.set()
            for client in clients:
                client.say({"type": "close"})
                await client.task
                assert client.messages[-1]["code"] == 1000

    asyncio.run(scenario())
    assert held.sizes[0] == 1
    assert held.sizes[1] >= 4, "with the end of the first, if that was faster"


def test_no_stream_fails_for_the_sake_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows run together; the model fails on one of them."""
    app = create_app(listener())
    begun, go_on, bad = threading.Event(), threading.Event(), []

    def run(voice: SnnVoice, rows: Any) -> Any:
        if not begun.is_set():
            begun.set()
            assert go_on.wait(30)
        elif len(rows) > 1 and not bad:
            bad.append(rows[0])
        if any(row is one for row in rows for one in bad):
            raise RuntimeError("it fails")
        return compute.outputs_of(voice, rows)

    async def scenario() -> list[int]:
        async with app.router.lifespan_context(app):
            clients = [Client(app) for _ in range(4)]
            for client in clients:
                await client.ready()
            monkeypatch.setattr(work, "outputs_of", run)
            clients[0].say(NOISE)
            await until(begun.is_set)
            for client in clients[1:]:
                client.say(NOISE)
            await until(lambda: all(client.taken == 3 for client in clients))
            go_on.set()
            for client in clients:
                client.say({"type": "close"})
                await client.task
            return [client.messages[-1]["code"] for client in clients]

    assert asyncio.run(scenario()) == [1000, 4500, 1000, 1000]


def test_a_message_is_taken_when_the_one_before_is_done_with(held: Held) -> None:
    """So TCP slows down a client that sends faster, and nothing piles up."""
    app = create_app(listener())

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            client = Client(app)
            await client.ready()
            for _ in range(20):
                client.say(NOISE)
            await held.begun()
            for _ in range(20):
                await asyncio.sleep(0)
            assert client.taken == 3  # connect, hello, the first of these
            held.go_on.set()
            client.say({"type": "close"})
            await client.task
            assert client.taken == 23

    asyncio.run(scenario())


def test_a_full_queue_slows_streams_down_and_loses_nothing(held: Held) -> None:
    app = create_app(listener(), Settings(max_queue=1, max_batch_size=1))
    sound = talk("yes").tobytes()

    async def scenario() -> list[Client]:
        async with app.router.lifespan_context(app):
            clients = [Client(app) for _ in range(4)]
            for client in clients:
                for chunk in cut(sound, 3_200):
                    client.say(chunk)
                client.say({"type": "close"})
            await held.begun()
            held.go_on.set()
            await asyncio.gather(*(client.task for client in clients))
            return clients

    clients = asyncio.run(scenario())
    assert expected(sound)
    for client in clients:
        same(client.messages, expected(sound))
        assert client.messages[-1]["code"] == 1000


# --- ends -------------------------------------------------------------------------------------------


def test_a_client_that_hangs_up_while_it_is_listened_to(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(listener())
    caplog.set_level(logging.WARNING)

    async def scenario() -> None:
        service = app.state.service
        async with app.router.lifespan_context(app):
            client = Client(app)
            await client.ready()
            assert len(service.streams) == 1
            client.say(NOISE)
            client.hang_up()
            await held.begun()
            held.go_on.set()
            await client.task
            assert len(service.streams) == 0
            assert service.models.loaded().queue(work.STREAMED).held == 0
            assert "closed" not in {message["type"] for message in client.messages}

    asyncio.run(scenario())
    assert not caplog.records


def test_the_end_of_the_service(held: Held) -> None:
    """Streams get what they have sent so far answered, and are told why they end."""
    app = create_app(listener())
    held.go_on.set()
    sound = talk("yes").tobytes()

    async def scenario() -> list[Client]:
        async with app.router.lifespan_context(app):
            clients = [Client(app) for _ in range(3)]
            for client in clients:
                await client.ready()
                client.say(sound)
            await until(lambda: all(client.taken == 3 for client in clients))
        await asyncio.gather(*(client.task for client in clients))
        return clients

    for client in asyncio.run(scenario()):
        same(client.messages, expected(sound))
        assert client.messages[-1] == {"type": "closed", "reason": "stopping", "code": 1001}
        assert client.sent[-1] == {"type": "websocket.close", "code": 1001, "reason": "stopping"}


def test_nothing_comes() -> None:
    settings = Settings(stream_idle_timeout=0.05, header_timeout=0.05)
    with TestClient(create_app(listener(), settings)) as client:
        for hello in (False, True):
            with client.websocket_connect("/stream") as socket:
                if hello:
                    socket.send_json(HELLO)
                    assert socket.receive_json()["type"] == "ready"
                (error,), code = until_closed(socket)
            assert (error["code"], code) == ("timeout", 4408)


def test_another_checkpoint(tmp_path: Path) -> None:
    """Open streams say their last words and are told; who connects again has the new one."""
    folder = tmp_path / "words"
    shutil.copytree(bundled_root() / "resmel-snn", folder)
    settings = Settings(model=[str(folder)], api_keys=[KEY])
    seconds = 'snn_voice_stream_seconds_total{model="words"}'
    with TestClient(create_app(settings=settings)) as client:
        with client.websocket_connect("/stream", headers=BEARER) as socket:
            socket.send_json(HELLO)
            assert socket.receive_json()["type"] == "ready"
            socket.send_bytes(PCM)
            socket.send_json({"type": "reset"})
            while socket.receive_json()["type"] != "reset":
                pass
            sound = talk("yes")[: round(1.7 * RATE)].tobytes()
            socket.send_bytes(sound)
            wait_until(lambda: metric(client, seconds) > len(PCM) / 2 / RATE)
            assert client.post("/admin/reload", headers=BEARER).status_code == 200
            messages, code = until_closed(socket)
            assert code == 1012
            same(messages, expected(sound))
            assert expected(sound)
        same(heard(client, cut(PCM, 3_200), headers=BEARER), expected(PCM))


def test_a_network_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    with TestClient(create_app(listener())) as client:
        monkeypatch.setattr(work, "outputs_of", fail)
        with client.websocket_connect("/stream") as socket:
            socket.send_json(HELLO)
            assert socket.receive_json()["type"] == "ready"
            socket.send_bytes(PCM)
            (error,), code = until_closed(socket)
        assert (error["code"], code) == ("internal", 4500)
        assert "secret" not in json.dumps(error)
        monkeypatch.undo()
        same(heard(client, cut(PCM, 3_200)), expected(PCM))


def test_what_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="snn_voice_server.http.middleware")
    with TestClient(create_app(listener())) as client:
        with client.websocket_connect("/stream", headers={"X-Request-ID": "abc"}) as socket:
            assert (b"x-request-id", b"abc") in (socket.extra_headers or [])
            socket.send_json(HELLO)
            socket.send_bytes(PCM)
            socket.send_json({"type": "close"})
            until_closed(socket)
        refused(client, "x")
        counted = {code: metric(client, f'snn_voice_requests_total{{code="{code}",route="/stream"}}')
                   for code in ("1000", "4400")}  # fmt: skip
    assert counted == {"1000": 1, "4400": 1}
    lines = [record for record in caplog.records if "/stream" in record.getMessage()]
    assert [record.getMessage() for record in lines] == ["WS /stream 1000", "WS /stream 4400"]
    fields: Any = vars(lines[0])["fields"]
    assert fields["model"] == listener().config.name
    assert fields["windows"] >= 1


def test_http_goes_on_beside_streams() -> None:
    app = create_app(listener())

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            client = Client(app)
            await client.ready()
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                answer = await http.post("/classify", content=(EXAMPLES / "yes.wav").read_bytes())
            assert answer.json()[0]["label"] == "yes"
            client.hang_up()
            await client.task

    asyncio.run(scenario())
