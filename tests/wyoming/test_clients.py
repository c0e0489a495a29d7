"""Clients that send rubbish, say nothing, do not read, are too many or too fast."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from typing import Any

import pytest

pytest.importorskip("wyoming", reason="the extra wyoming is not installed")

from snn_voice_lite.errors import CheckpointError
from snn_voice_lite.streaming.session import VoiceStream
from snn_voice_lite.wyoming.connection import WakeLimits
from snn_voice_lite.wyoming.offered import Vocabulary
from wyoming.error import Error
from wyoming.ping import Ping, Pong

from tests.wyoming.helpers import RATE, Client, chunks, run, talk

RUBBISH = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff\xfe\x00\n",
    b"[" * 60_000 + b"\n",
    b"x" * 200_000,
    b"[1]\n",
    b'{"data": {}}\n',
    b'{"type": 1}\n',
    b'{"type": "detect", "data": [1]}\n',
    b'{"type": "detect", "data_length": 9, "data": {}}\n[1, 2, 3]',
    b'{"type": "detect", "data_length": -1}\n',
    b'{"type": "detect", "data_length": 1000000}\n',
    b'{"type": "ping", "payload_length": "many"}\n',
    b'{"type": "detect", "data": {"names": "yes"}}\n',
    b'{"type": "detect", "data": {"names": [1]}}\n',
    b'{"type": "audio-start", "data": {"timestamp": "now"}}\n',
    b'{"type": "audio-start", "data": {"timestamp": 1' + bytes(400).replace(b"\0", b"0") + b"}}\n",
    b'{"type": "ping", "data": {"text": "\\ud800"}}\n',
    b'{"type": "ping", "data": {"text": ["x"]}}\n',
    b'{"type": "audio-chunk", "data": {"rate": 16000, "width": 2}, "payload_length": 2}\n\0\0',
    b'{"type": "audio-chunk", "data": {"rate": true, "width": 2, "channels": 1}, "payload_length": 2}\n\0\0',
]


@pytest.mark.parametrize("data", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_is_a_line_of_the_log(
    vocabulary: Vocabulary, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            await client.raw(data)
            (event,) = await client.rest()
            assert Error.from_event(event).code == "bad_message"

    caplog.set_level(logging.INFO)
    run(vocabulary, use)
    (record,) = [record for record in caplog.records if record.name != "asyncio"]
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert "\n" not in record.getMessage()
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


@pytest.mark.parametrize(
    "data", [b'{"type"', b'{"type": "x", "data_length": 9}\n{', b'{"type": "x", "payload_length": 9}\n1']
)
def test_who_leaves_within_a_message_is_no_matter(
    vocabulary: Vocabulary, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            await client.raw(data)
            assert client._writer is not None
            client._writer.write_eof()
            assert await client.rest() == []

    caplog.set_level(logging.INFO)
    run(vocabulary, use)
    assert caplog.records == []


def test_what_is_not_known_is_passed_over(vocabulary: Vocabulary) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            await client.raw(b'{"type": "polish", "payload_length": 70000, "data": null}\n' + bytes(70_000))
            await client.say(Ping())
            assert Pong.is_type((await client.answer()).type)

    run(vocabulary, use)


def test_who_says_nothing_is_cut_off(vocabulary: Vocabulary, caplog: pytest.LogCaptureFixture) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            assert await client.rest() == []

    caplog.set_level(logging.INFO)
    run(vocabulary, use, WakeLimits(idle=0.05))
    (record,) = caplog.records
    assert "idle for 0.05 s" in record.getMessage()


def test_who_does_not_read_is_cut_off(vocabulary: Vocabulary) -> None:
    """After answers that fill what the system keeps for both."""

    async def use(port: int) -> None:
        loop, cut = asyncio.get_running_loop(), asyncio.Event()
        logger = logging.getLogger("snn_voice_lite.wyoming")

        async def read(client: socket.socket) -> None:
            while await loop.sock_recv(client, 1 << 20):
                pass

        class Watch(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                cut.set()

        watch = Watch(logging.INFO)
        logger.addHandler(watch)
        logger.setLevel(logging.INFO)
        try:
            with socket.socket() as client:
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", port))
                await loop.sock_sendall(client, b'{"type": "describe"}\n' * 20_000)
                await cut.wait()
                with pytest.raises(ConnectionError):
                    await read(client)
        finally:
            logger.removeHandler(watch)

    run(vocabulary, use, WakeLimits(idle=0.5))


def test_there_is_room_for_so_many(vocabulary: Vocabulary) -> None:
    async def use(port: int) -> None:
        async with Client(port) as first:
            await first.say(Ping())
            assert Pong.is_type((await first.answer()).type)
            async with Client(port) as second:
                (event,) = await second.rest()
                assert Error.from_event(event).code == "too_many_connections"
            assert len(await first.heard(talk("yes"))) == 1
        while True:  # at once, the leaving of the first one may not be noticed yet
            async with Client(port) as third:
                await third.say(Ping())
                if Pong.is_type((await third.answer()).type):
                    break

    run(vocabulary, use, WakeLimits(connections=1))


def test_a_broken_network_is_told(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: VoiceStream, chunk: Any) -> Any:
        raise CheckpointError("weights are NaN")

    monkeypatch.setattr(VoiceStream, "feed", broken)

    async def use(port: int) -> None:
        async with Client(port) as client:
            await client.say(*chunks(talk()[:1_024]))
            (event,) = await client.rest()
            assert "weights are NaN" in Error.from_event(event).text

    run(vocabulary, use)


def test_who_sends_faster_than_is_heard_has_to_wait(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And meanwhile others are answered."""
    go = threading.Event()
    feed = VoiceStream.feed

    def slow(self: VoiceStream, chunk: Any) -> Any:
        go.wait()
        return feed(self, chunk)

    monkeypatch.setattr(VoiceStream, "feed", slow)
    wave = talk("yes")
    much = 64 << 20
    head = {
        "type": "audio-chunk",
        "data": {"rate": RATE, "width": 2, "channels": 1},
        "payload_length": wave.nbytes,
    }
    message = json.dumps(head).encode() + b"\n" + wave.tobytes()

    async def use(port: int) -> None:
        loop, taken = asyncio.get_running_loop(), 0
        with socket.create_connection(("127.0.0.1", port)) as sender:
            sender.setblocking(False)
            data = message * (much // len(message))
            async with Client(port) as other:
                refused = 0
                while refused < 3 and taken < len(data):
                    try:
                        taken += sender.send(data[taken : taken + (1 << 20)])
                        refused = 0
                    except BlockingIOError:
                        refused += 1
                    await other.say(Ping())  # gives the service a turn to read what it will
                    assert Pong.is_type((await other.answer()).type)
            assert taken < len(data) // 2
            go.set()
            # It is heard to the end of a message, and the first word is told.
            assert b"detection" in await loop.sock_recv(sender, 4_096)

    run(vocabulary, use)
