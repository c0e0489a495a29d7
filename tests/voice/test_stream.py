"""`SnnVoice.stream`: chunks in, events out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from snn_voice_lite.streaming.detector import Event

import snn_voice_hub as sv
from snn_voice_hub import audio
from tests.places import EXAMPLES
from tests.slowness import mostly_slow
from tests.voice.stream_helpers import RATE, SIZES, WORDS, Loudness, cut, heard, model, talk, whole

# --- events -------------------------------------------------------------------------------------------


def test_words_are_heard_where_they_are() -> None:
    events, _ = whole(RATE)
    assert [event.label for event in events] == list(WORDS)
    at, begins = 0, []
    for word in WORDS:
        length = sf.info(EXAMPLES / f"{word}.wav").frames
        begins.append((at + RATE) / RATE)
        at += RATE + length
    for event, begin in zip(events, begins, strict=True):
        assert begin - 0.3 < event.start < event.end < begin + 1.2
        assert event.end < event.time < begin + 1.8
        assert 0.6 < event.score <= 1


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_other_rates_are_resampled_as_files_are(rate: int) -> None:
    resampled = audio.load(talk(rate), sample_rate=rate, target_rate=RATE)
    assert heard(model().stream(sample_rate=RATE), cut(resampled, 1_280)) == whole(rate)[0]
    assert whole(rate)[0]


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_times_are_those_of_the_input(rate: int) -> None:
    resampled, plain = whole(rate)[0], whole(RATE)[0]
    assert [event.label for event in resampled] == [event.label for event in plain]
    for one, other in zip(resampled, plain, strict=True):
        assert one.time == pytest.approx(other.time, abs=0.11), "a hop"


# A million chunks of a sample would take minutes.
CUTS = [(rate, size) for rate in (RATE, 8_000, 44_100, 48_000) for size in SIZES if rate == RATE or size != 1]


@pytest.mark.parametrize(("rate", "size"), CUTS)
def test_how_long_chunks_are_changes_nothing(rate: int, size: int | None) -> None:
    stream = model().stream(sample_rate=rate)
    assert heard(stream, cut(talk(rate), size)) == whole(rate)[0]
    assert stream.scores == whole(rate)[1]
    assert stream.seconds == len(talk(rate)) / rate


@cache
def scores_by_window() -> list[dict[str, float]]:
    """The scores after each window of the first seconds, fed hop by hop."""
    stream, found = model().stream(sample_rate=RATE, gate=None), []
    for chunk in cut(talk()[: 3 * RATE], 1_600):
        stream.feed(chunk)
        found.append(stream.scores)
    return found


@pytest.mark.parametrize("size", SIZES)
def test_scores_are_the_same_for_all_chunks(size: int | None) -> None:
    stream, at, compared = model().stream(sample_rate=RATE, gate=None), 0, set()
    for chunk in cut(talk()[: 3 * RATE], size):
        stream.feed(chunk)
        at += len(chunk)
        if at >= 1_600:
            assert stream.scores == scores_by_window()[at // 1_600 - 1]
            compared.add(at // 1_600)
    assert len(compared) >= 3


def test_all_kinds_of_chunks_are_one_sound() -> None:
    pcm = np.round(talk() * 32767).astype("<i2")
    streams = [model().stream(sample_rate=RATE) for _ in range(4)]
    floats = (pcm / 32768).astype(np.float32)
    expected = heard(streams[0], cut(floats, 1_280))
    assert heard(streams[1], cut(pcm, 777)) == expected
    assert heard(streams[2], cut(pcm.tobytes(), 1_281)) == expected
    assert heard(streams[3], cut(torch.from_numpy(floats), 5_000)) == expected
    four = model().stream(sample_rate=RATE, encoding="float32")
    assert heard(four, cut(floats.tobytes(), 1_283)) == expected


# --- windows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resmel-snn", "resmel-cnn", "m5-snn", "tcy-snn", "hjh-cnn"])
@pytest.mark.parametrize("hop", [0.1, 0.15, 1.0])
def test_scores_are_those_of_classify_windows(name: str, hop: float) -> None:
    voice = sv.SnnVoice.from_pretrained(name)
    wave = talk()[RATE : 3 * RATE + 800]
    stream, at = voice.stream(sample_rate=RATE, hop=hop, gate=None), 0
    windows = voice.classify_windows(wave, sample_rate=RATE, hop_seconds=hop, top_k=100)
    compared = 0
    for window in windows:
        end = round(window.end * RATE)
        if (end - RATE) % round(hop * RATE):
            continue  # the last one ends with the clip
        stream.feed(wave[at:end])
        at = end
        assert stream.scores == pytest.approx({p.label: p.score for p in window.predictions}, abs=1e-5)
        compared += 1
    assert compared >= 2


def test_encodings_that_draw_are_those_of_classify_windows() -> None:
    torch.manual_seed(0)
    voice = sv.SnnVoice(sv.ResMelSNN(3, num_steps=4, encoding="rate"), labels=["a", "b", "c"]).eval()
    wave = talk()[RATE : 2 * RATE + 1_600]
    stream = voice.stream(sample_rate=RATE, gate=None)
    stream.feed(wave)
    last = voice.classify_windows(wave, sample_rate=RATE, hop_seconds=0.1)[-1]
    assert stream.scores == pytest.approx({p.label: p.score for p in last.predictions}, abs=1e-5)


# --- events alone -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"smoothing": 0.3, "threshold": 0.3}, {"smoothing": 0.0}], ids=str)
@pytest.mark.parametrize("size", [160, 16_000, None])
def test_windows_that_can_be_in_no_event_are_not_run(
    options: dict[str, Any], size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, runs = model(), []
    run = voice.run_inputs
    monkeypatch.setattr(voice, "run_inputs", lambda inputs: runs.append(len(inputs)) or run(inputs))
    expected = heard(voice.stream(sample_rate=RATE, **options), cut(talk(), size))
    every = len(runs)
    runs.clear()
    stream = voice.stream(sample_rate=RATE, scores=False, **options)
    assert heard(stream, cut(talk(), size)) == expected
    assert expected
    assert len(runs) == every if options.get("smoothing") == 0.0 else len(runs) < every
    runs.clear()
    stream.reset()
    assert heard(stream, cut(talk(), 999)) == expected


# --- silence ------------------------------------------------------------------------------------------


def test_silence_runs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    voice, runs = model(), []
    run = voice.run_inputs
    monkeypatch.setattr(voice, "run_inputs", lambda inputs: runs.append(len(inputs)) or run(inputs))
    stream = voice.stream(sample_rate=RATE)
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    assert stream.feed(quiet) == []
    assert runs == []
    assert {label: score for label, score in stream.scores.items() if score} == {"_silence_": 1.0}
    assert stream.level == pytest.approx(-80, abs=1)
    always = voice.stream(sample_rate=RATE, gate=None)
    always.feed(quiet[: 2 * RATE])
    assert len(runs) == 20
    assert always.scores["_silence_"] > 0.5


def test_a_word_after_silence_is_heard_as_without_the_gate() -> None:
    wave = np.concatenate(
        [np.zeros(5 * RATE, np.float32), talk()[RATE : 3 * RATE], np.zeros(RATE, np.float32)]
    )
    gated, always = (heard(model().stream(sample_rate=RATE, gate=g), cut(wave, 700)) for g in (-70.0, None))
    assert [event.label for event in gated] == ["yes"]
    assert gated == always


# --- the end, and a new beginning ---------------------------------------------------------------------


def test_the_last_word_is_known_at_the_end() -> None:
    stream = model().stream(sample_rate=RATE)
    wave, _ = sf.read(EXAMPLES / "yes.wav", dtype="float32")
    assert stream.feed(wave[: round(0.7 * RATE)]) == []
    (event,) = stream.flush()
    assert event.label == "yes"
    assert 0.7 < event.time < 0.7 + 1.0
    for late in (lambda: stream.feed(wave), stream.flush, lambda: stream.take(b"")):
        with pytest.raises(sv.SnnVoiceError, match="the stream is over"):
            late()


def test_of_nothing_nothing_is_heard() -> None:
    stream = model().stream(sample_rate=48_000)
    assert stream.feed(b"") == stream.feed(np.empty(0)) == stream.flush() == []
    assert set(stream.scores) == set(model().labels)
    assert (set(stream.scores.values()), stream.level, stream.seconds) == ({0.0}, -120.0, 0.0)


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_nothing_is_left_after_a_reset(rate: int) -> None:
    stream = model().stream(sample_rate=rate)
    stream.feed(talk(rate)[: 2 * rate + 11])
    stream.reset()
    assert (stream.seconds, stream.level, set(stream.scores.values())) == (0.0, -120.0, {0.0})
    assert heard(stream, cut(talk(rate), 1_280)) == whole(rate)[0]
    stream.reset()
    assert heard(stream, cut(talk(rate), 999)) == whole(rate)[0]


def test_a_refused_chunk_is_as_if_it_had_not_come() -> None:
    stream = model().stream(sample_rate=RATE)
    events = []
    for chunk in cut(talk(), 8_000):
        with pytest.raises(sv.AudioError):
            stream.feed(np.append(chunk, np.nan))
        events += stream.feed(chunk)
    assert events + stream.flush() == whole(RATE)[0]


# --- many ---------------------------------------------------------------------------------------------


def test_streams_in_threads_hear_what_they_hear_alone() -> None:
    waves = [np.roll(talk(), 3_000 * i) for i in range(6)]
    alone = [heard(model().stream(sample_rate=RATE), cut(wave, 1_280)) for wave in waves]
    assert all(alone)
    with ThreadPoolExecutor(6) as threads:
        streams = [model().stream(sample_rate=RATE) for _ in waves]
        together = threads.map(
            lambda pair: heard(pair[0], cut(pair[1], 1_280)), zip(streams, waves, strict=True)
        )
        assert list(together) == alone


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("name", ["resmel-snn", "m5-snn"])
def test_windows_of_several_streams_run_in_one_batch(name: str, scores: bool) -> None:
    """As a service does it."""
    voice = sv.SnnVoice.from_pretrained(name)
    waves = [np.roll(talk(), 5_000 * i)[: 4 * RATE] for i in range(3)]
    options: dict[str, Any] = {"sample_rate": RATE, "threshold": 0.5, "smoothing": 0.2}
    alone = [heard(voice.stream(**options), cut(wave, 1_600)) for wave in waves]
    streams = [voice.stream(**options, scores=scores) for _ in waves]
    events: list[list[Event]] = [[] for _ in waves]

    def run(due: Sequence[Any]) -> None:
        while any(due):
            once(due)
            due = [stream.more() for stream in streams]

    def once(due: Sequence[Any]) -> None:
        rows = [row for one in due for row in one.inputs]
        outputs = list(voice.run_inputs(rows)) if rows else []
        for found, stream, one in zip(events, streams, due, strict=True):
            given, outputs = outputs[: len(one)], outputs[len(one) :]
            found += stream.give(one, torch.stack(given).numpy() if given else None)

    for chunks in zip(*(cut(wave, 1_600) for wave in waves), strict=True):
        run([stream.take(chunk) for stream, chunk in zip(streams, chunks, strict=True)])
    run([stream.take_end() for stream in streams])
    for found, expected in zip(events, alone, strict=True):
        assert [(e.label, e.time) for e in found] == [(e.label, e.time) for e in expected]
        assert [e.score for e in found] == pytest.approx([e.score for e in expected], abs=1e-4)
    assert any(alone)


def _size(thing: object, seen: set[int]) -> int:
    """Bytes of the arrays, and entries of the containers, that an object holds."""
    if id(thing) in seen or isinstance(thing, torch.nn.Module | type):
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    if isinstance(thing, dict):
        return len(thing) + sum(_size(value, seen) for value in thing.values())
    if isinstance(thing, list | tuple | set) or hasattr(thing, "popleft"):
        return len(thing) + sum(_size(value, seen) for value in thing)  # type: ignore[arg-type, var-annotated]
    if isinstance(thing, bytes):
        return len(thing)
    return _size(vars(thing), seen) if hasattr(thing, "__dict__") else 0


@pytest.mark.parametrize("scores", mostly_slow([True, False], False))
def test_an_hour_of_sound_leaves_nothing_behind(scores: bool) -> None:
    voice = sv.SnnVoice(Loudness(), sv.ResMelSNN(2).default_features, ["loud", "_silence_"]).eval()
    stream = voice.stream(sample_rate=8_000, hop=0.5, smoothing=1.0, scores=scores)
    minute = np.random.default_rng(0).integers(-3_000, 3_000, 60 * 8_000).astype("<i2")
    sizes = []
    for i in range(60):
        if i == 30:
            minute[:] = 0
        for chunk in cut(minute.tobytes(), 16_001):
            stream.feed(chunk)
        sizes.append(_size(stream, set()))
    assert stream.seconds == 3_600
    assert max(sizes[1:]) <= sizes[0] + 4_000, "a block of the resampler, more or less"
    assert max(sizes) < 400_000
