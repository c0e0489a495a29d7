"""`SnnVoice.listen` and `alisten`, and what may be asked of a stream."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any

import numpy as np
import pytest
import torch
from snn_voice_lite.streaming.detector import Event
from torch import Tensor

import snn_voice_hub as sv
from tests.voice.stream_helpers import RATE, WORDS, Loudness, cut, heard, model, talk, whole

# --- any iterable -------------------------------------------------------------------------------------


def test_listen_takes_any_chunks() -> None:
    assert list(model().listen(cut(talk(), 1_280), sample_rate=RATE)) == whole(RATE)[0]
    (event,) = model().listen([talk()], sample_rate=RATE, words=["go"])
    assert event.label == "go"


def test_listen_does_not_wait_for_the_end() -> None:
    chunks = itertools.chain(cut(talk(), 1_280), itertools.repeat(np.zeros(1_280, np.float32)))
    found = list(itertools.islice(model().listen(chunks, sample_rate=RATE), 3))
    assert [event.label for event in found] == list(WORDS)


def test_alisten_leaves_the_loop_free() -> None:
    ran = set()

    async def chunks() -> Any:
        for chunk in cut(talk(), 16_000):
            await asyncio.sleep(0)
            yield chunk

    async def listen() -> list[Event]:
        return [event async for event in voice.alisten(chunks(), sample_rate=RATE)]

    voice = model()
    run = voice.run_inputs
    voice.run_inputs = lambda inputs: ran.add(threading.get_ident()) or run(inputs)  # type: ignore[method-assign, func-returns-value]
    try:
        assert asyncio.run(listen()) == whole(RATE)[0]
    finally:
        del voice.run_inputs  # type: ignore[method-assign]
    assert ran
    assert threading.get_ident() not in ran


@pytest.mark.parametrize("chunks", [np.zeros(100), torch.zeros(100), b"123", "yes.wav", 7])
def test_one_chunk_is_no_iterable_of_chunks(chunks: Any) -> None:
    for listen in (model().listen, model().alisten):
        with pytest.raises(sv.AudioError, match="of chunks, not"):
            listen(chunks, sample_rate=RATE)


# --- what is asked for --------------------------------------------------------------------------------


def test_only_the_words_that_are_asked_for() -> None:
    stream = model().stream(sample_rate=RATE, words=["go", "no"])
    assert [event.label for event in heard(stream, cut(talk(), 1_600))] == ["go"]


def test_thresholds_of_words() -> None:
    stream = model().stream(sample_rate=RATE, threshold={"go": 1.0, "yes": 0.5})
    assert [event.label for event in heard(stream, cut(talk(), 1_600))] == ["yes", "marvin"]
    stream = model().stream(sample_rate=RATE, threshold=1.0)
    assert heard(stream, cut(talk(), 1_600)) == []


def test_smoothing_and_refractory_time() -> None:
    often = heard(model().stream(sample_rate=RATE, smoothing=0.0, refractory=0.0), cut(talk(), 1_600))
    assert len(often) > 6
    soon = heard(model().stream(sample_rate=RATE, smoothing=0.0), cut(talk(), 1_600))
    assert soon[0].time < whole(RATE)[0][0].time


def test_a_checkpoint_without_an_operating_point_has_one() -> None:
    voice = sv.SnnVoice.from_pretrained("m5-snn")
    assert voice.config.detection is None
    labels = [event.label for event in voice.listen(cut(talk(), 1_280), sample_rate=RATE)]
    assert "marvin" in labels


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample_rate": 100}, "sample_rate must be a whole number of hertz from 4000 to 192000"),
        ({"sample_rate": None}, "sample_rate must be"),
        ({"words": ["yes", "lumos"]}, "'lumos' is no word of the model"),
        ({"words": []}, "no words to listen for"),
        ({"words": "yes"}, "words='yes' is not legal"),
        ({"threshold": 0}, "threshold=0 is not legal"),
        ({"threshold": 1.5}, "threshold=1.5 is not legal"),
        ({"threshold": float("nan")}, "threshold=nan is not legal"),
        ({"threshold": "high"}, "threshold='high' is not legal"),
        ({"threshold": {"lumos": 0.5}}, "threshold has 'lumos', which is not listened for"),
        ({"threshold": {"no": 0.5}, "words": ["yes"]}, "threshold has 'no', which is not listened for"),
        ({"threshold": {"no": 5}}, r"threshold\['no'\]=5 is not legal"),
        ({"hop": 0.001}, "hop=0.001 is not legal"),
        ({"hop": 1.5}, "hop=1.5 is not legal"),
        ({"smoothing": -1}, "smoothing=-1 is not legal"),
        ({"refractory": 100}, "refractory=100 is not legal"),
        ({"gate": 3.0}, "gate=3.0 is not legal"),
        ({"encoding": "mp3"}, "encoding='mp3' is not legal"),
        ({"scores": "all"}, "scores='all' is not legal"),
    ],
)
def test_what_is_not_legal_is_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(sv.SnnVoiceError, match=said):
        model().stream(**{"sample_rate": RATE, **options})


def test_a_network_without_finite_scores_is_told() -> None:
    class Broken(Loudness):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float("nan")

    voice = sv.SnnVoice(Broken(), sv.ResMelSNN(2).default_features, ["loud", "_silence_"]).eval()
    with pytest.raises(sv.CheckpointError, match="no score is finite"):
        voice.stream(sample_rate=RATE).feed(talk())


def test_a_stream_says_how_much_sound_the_next_window_needs() -> None:
    stream, wave, at = model().stream(sample_rate=RATE, gate=None), talk(), 0
    for _ in range(5):
        needed = round(stream.due_in * RATE)
        assert needed == round(stream.hop * RATE)
        assert not stream.take(wave[at : at + needed - 1])
        assert round(stream.due_in * RATE) == 1
        due = stream.take(wave[at + needed - 1 : at + needed])
        assert len(due) == 1
        stream.give(due, torch.zeros(1, len(model().config.labels)))
        at += needed
