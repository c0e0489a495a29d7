"""The service, asked by the client of the package `wyoming` over a socket."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("wyoming", reason="the extra wyoming is not installed")

from snn_voice_wyoming.connection import WakeLimits
from snn_voice_wyoming.offered import Vocabulary
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection, NotDetected

import snn_voice_hub as sv
from snn_voice_hub.streaming.session import VoiceStream
from tests.wyoming.helpers import RATE, WORDS, Client, chunks, run, talk


@pytest.fixture(scope="module")
def vocabulary(default_model: sv.SnnVoice) -> Vocabulary:
    return Vocabulary([default_model], [*WORDS, "stop"])


def expected(voice: sv.SnnVoice, *words: str, names: Any = (*WORDS, "stop")) -> list[tuple[str, int]]:
    events = voice.listen([talk(*words)], sample_rate=RATE, words=names)
    return [(event.label, round(1000 * event.time)) for event in events]


def pairs(found: list[Detection]) -> list[tuple[str | None, int | None]]:
    return [(detection.name, detection.timestamp) for detection in found]


# --- what there is ------------------------------------------------------------------------------------


def test_it_says_which_words_there_are(vocabulary: Vocabulary) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            await client.say(Describe(), Ping("well?"))
            info = Info.from_event(await client.answer())
            assert Pong.from_event(await client.answer()).text == "well?"
        (program,) = info.wake
        assert (program.installed, program.version, info.asr) == (True, sv.__version__, [])
        assert [(m.name, m.phrase, m.description) for m in program.models] == [
            (word, word, word) for word in (*WORDS, "stop")
        ]
        assert {m.attribution.name for m in program.models} == {"resmel-snn"}
        assert all(m.languages == ["en"] and m.installed for m in program.models)

    run(vocabulary, use)


# --- words --------------------------------------------------------------------------------------------


def test_several_words_in_a_stream(vocabulary: Vocabulary, default_model: sv.SnnVoice) -> None:
    wanted = expected(default_model, *WORDS)
    assert [word for word, _ in wanted] == list(WORDS)

    async def use(port: int) -> None:
        async with Client(port) as client:
            assert pairs(await client.heard(talk(*WORDS))) == wanted
            assert pairs(await client.heard(talk(*WORDS), size=99)) == wanted
            assert pairs(await client.heard(talk(*WORDS), size=1_000_000)) == wanted

    run(vocabulary, use)


def test_only_words_that_are_asked_for_are_told(vocabulary: Vocabulary, default_model: sv.SnnVoice) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            for names in (["go"], ["marvin", "yes"]):
                wanted = expected(default_model, *WORDS, names=names)
                assert {word for word, _ in wanted} == set(names)
                assert pairs(await client.heard(talk(*WORDS), names=names)) == wanted
            assert await client.heard(talk(*WORDS), names=["stop"]) == []
            await client.say(Detect([]))
            assert len(await client.continued(talk("yes"))) == 1, "an empty list asks for all"

    run(vocabulary, use)


@pytest.mark.parametrize("name", ["lumos", "down", "_silence_"])
def test_a_word_that_is_not_offered_is_an_error(vocabulary: Vocabulary, name: str) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            await client.say(Detect(["yes", name]))
            (event,) = await client.rest()
        error = Error.from_event(event)
        assert error.code == "unknown_word"
        assert repr(name) in error.text
        assert "yes, go, marvin, stop" in error.text

    run(vocabulary, use)


def test_nothing_was_found(vocabulary: Vocabulary) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            assert await client.heard(talk("seven")) == []
            await client.say(AudioStart(RATE, 2, 1), AudioStop())
            assert NotDetected.is_type((await client.answer()).type)

    run(vocabulary, use)


def test_a_word_counts_before_the_stream_is_over(vocabulary: Vocabulary) -> None:
    """As a satellite has it: it listens on, without an end, and asks again on the same connection."""

    async def use(port: int) -> None:
        async with Client(port) as client:
            for _ in range(2):
                await client.say(Detect(["yes"]), AudioStart(RATE, 2, 1), *chunks(talk("yes")))
                assert Detection.from_event(await client.answer()).name == "yes"
            await client.say(AudioStop(), Ping())
            assert Pong.is_type((await client.answer()).type), "a word was found, so no more is said"

    run(vocabulary, use)


# --- time ---------------------------------------------------------------------------------------------


def test_times_are_on_the_clients_clock(vocabulary: Vocabulary, default_model: sv.SnnVoice) -> None:
    ((_, time),) = expected(default_model, "go")

    async def use(port: int) -> None:
        async with Client(port) as client:
            assert pairs(await client.heard(talk("go"), begin=500_000)) == [("go", 500_000 + time)]
            await client.say(AudioStart(RATE, 2, 1, timestamp=7_000))
            assert pairs(await client.continued(talk("go"))) == [("go", 7_000 + time)]
            # Sound that was lost on the way: the clock has gone on.
            await client.say(AudioStart(RATE, 2, 1), *chunks(talk()[:8_000], begin=0))
            assert pairs(await client.continued(talk("go")[8_000:], begin=2_500)) == [("go", time + 2_000)]

    run(vocabulary, use)


def test_the_end_of_a_stream_is_the_last_time(vocabulary: Vocabulary) -> None:
    wave = talk("yes")[: -RATE + 400]

    async def use(port: int) -> None:
        async with Client(port) as client:
            assert pairs(await client.heard(wave)) == [("yes", len(wave) * 1000 // RATE)]

    run(vocabulary, use)


# --- state --------------------------------------------------------------------------------------------


def test_nothing_is_left_over(vocabulary: Vocabulary) -> None:
    wave = talk("yes")[: -RATE + 400]
    half = len(wave) - 6_000
    first, second = wave[:half], wave[half:]

    async def use(port: int) -> None:
        async with Client(port) as client:
            await client.say(AudioStart(RATE, 2, 1), *chunks(first))
            assert len(await client.continued(second)) == 1, "the halves make a word"
            await client.say(AudioStart(RATE, 2, 1), *chunks(first), AudioStart(RATE, 2, 1))
            assert await client.continued(second) == []
            await client.say(AudioStart(RATE, 2, 1), *chunks(first), Detect())
            assert await client.continued(second) == []
            await client.say(AudioStart(RATE, 2, 1), *chunks(first))
        async with Client(port) as client:
            assert await client.continued(second) == [], "another connection"

    run(vocabulary, use)


def test_clients_do_not_hear_each_other(vocabulary: Vocabulary) -> None:
    async def use(port: int) -> None:
        async with Client(port) as one, Client(port) as other:
            await one.say(Detect(["yes"]), AudioStart(RATE, 2, 1))
            await other.say(Detect(["marvin"]), AudioStart(RATE, 2, 1))
            for mine, theirs in zip(chunks(talk("yes", "go")), chunks(talk("go", "marvin")), strict=False):
                await asyncio.gather(one.say(mine), other.say(theirs))
            assert Detection.from_event(await one.answer()).name == "yes"
            await other.say(*list(chunks(talk("go", "marvin")))[-8:])
            assert Detection.from_event(await other.answer()).name == "marvin"

    run(vocabulary, use)


# --- sound --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (RATE, 2), (8_000, 1), (44_100, 1)])
def test_any_rate_and_two_channels(vocabulary: Vocabulary, rate: int, channels: int) -> None:
    wave = talk("yes", rate=rate)
    if channels == 2:
        wave = np.stack([wave, np.zeros_like(wave)], 1)  # half as loud

    async def use(port: int) -> None:
        async with Client(port) as client:
            (found,) = await client.heard(wave, rate=rate, size=777)
            assert found.name == "yes"
            assert found.timestamp is not None
            assert 1_000 < found.timestamp < 2_300

    run(vocabulary, use)


def test_the_format_of_the_chunks_counts(vocabulary: Vocabulary) -> None:
    """A satellite that takes one channel of six names six at the start."""

    async def use(port: int) -> None:
        async with Client(port) as client:
            await client.say(AudioStart(48_000, 4, 6), *chunks(talk()))
            assert len(await client.continued(talk("yes", rate=32_000), rate=32_000)) == 1

    run(vocabulary, use)


@pytest.mark.parametrize(
    ("chunk", "code", "said"),
    [
        (AudioChunk(RATE, 4, 1, bytes(8)), "bad_width", "width=2: 16 bit"),
        (AudioChunk(RATE, 1, 1, bytes(8)), "bad_width", "samples of 1 bytes"),
        (AudioChunk(RATE, 2, 6, bytes(12)), "bad_channels", "1 or 2"),
        (AudioChunk(RATE, 2, 2, bytes(6)), "cut_off", "6 bytes"),
        (AudioChunk(1, 2, 1, bytes(2)), "bad_sample_rate", "sample_rate must be"),
    ],
)
def test_other_sound_is_refused(vocabulary: Vocabulary, chunk: AudioChunk, code: str, said: str) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            await client.say(AudioStart(RATE, 2, 1), chunk)
            (event,) = await client.rest()
            assert (event.data["code"], said in event.data["text"]) == (code, True)

    run(vocabulary, use)


# --- clients as they are ------------------------------------------------------------------------------


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
        logger = logging.getLogger("snn_voice_wyoming")

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
        raise sv.CheckpointError("weights are NaN")

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
