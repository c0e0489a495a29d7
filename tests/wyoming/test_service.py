"""The service, asked by the client of the package `wyoming` over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("wyoming", reason="the extra wyoming is not installed")

from snn_voice_lite import Voice
from snn_voice_lite.listening import Listener
from snn_voice_lite.wyoming.offered import Vocabulary
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection, NotDetected

import snn_voice_hub as sv
from tests.voice.stream_helpers import follower
from tests.wyoming.helpers import RATE, WORDS, Client, chunks, run, talk


def expected(voice: Listener, *words: str, names: Any = (*WORDS, "stop")) -> list[tuple[str, int]]:
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


def test_several_words_in_a_stream(vocabulary: Vocabulary, voice: Listener) -> None:
    wanted = expected(voice, *WORDS)
    assert [word for word, _ in wanted] == list(WORDS)

    async def use(port: int) -> None:
        async with Client(port) as client:
            assert pairs(await client.heard(talk(*WORDS))) == wanted
            assert pairs(await client.heard(talk(*WORDS), size=99)) == wanted
            assert pairs(await client.heard(talk(*WORDS), size=1_000_000)) == wanted

    run(vocabulary, use)


@pytest.mark.parametrize(
    ("make", "names"),
    [(follower, ["four", "dog"]), (lambda: Voice("tempo-snn"), ["yes", "stop"])],
    ids=["hub", "lite"],
)
def test_a_network_whose_steps_are_those_of_the_sound(make: Callable[[], Listener], names: list[str]) -> None:
    voice = make()
    wanted = expected(voice, *WORDS, names=names)
    assert {word for word, _ in wanted} == {names[0]}

    async def use(port: int) -> None:
        async with Client(port) as client:
            for size in (99, 1_024, 1_000_000):
                assert pairs(await client.heard(talk(*WORDS), size=size)) == wanted

    run(Vocabulary([voice], names), use)


def test_only_words_that_are_asked_for_are_told(vocabulary: Vocabulary, voice: Listener) -> None:
    async def use(port: int) -> None:
        async with Client(port) as client:
            for names in (["go"], ["marvin", "yes"]):
                wanted = expected(voice, *WORDS, names=names)
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


def test_times_are_on_the_clients_clock(vocabulary: Vocabulary, voice: Listener) -> None:
    ((_, time),) = expected(voice, "go")

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
