"""Words of one model and of several."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("wyoming", reason="the extra wyoming is not installed")

from snn_voice_lite import Voice
from snn_voice_lite.listening import Listener
from snn_voice_lite.streaming.detector import UNTUNED
from snn_voice_lite.wyoming.description import description_of
from snn_voice_lite.wyoming.listening import SoundFormat, WakeStream
from snn_voice_lite.wyoming.offered import Vocabulary

import snn_voice_hub as sv
from tests.wyoming.helpers import RATE, talk


@pytest.fixture(scope="module")
def own(voice: Listener) -> Listener:
    """A model of the same kind with a word of its own, which sounds like "yes"."""
    labels = ["lumos" if label == "yes" else label for label in voice.config.labels]
    if isinstance(voice, sv.SnnVoice):
        return sv.SnnVoice(voice.network, voice.config.features, labels, name="mine")
    lite = Voice()
    lite.config = dataclasses.replace(lite.config, labels=labels, detection=UNTUNED, name="mine")
    return lite


def heard(vocabulary: Vocabulary, *words: str) -> list[str]:
    stream, data = WakeStream(vocabulary), talk(*words).tobytes()
    stream.expect(SoundFormat(RATE, 2, 1), None, len(data))
    said = [word for i in range(0, len(data), 3_001) for word in stream.feed(data[i : i + 3_001])]
    said += stream.end()
    times = [word.milliseconds for word in said]
    assert times == sorted(times)
    return [word.name for word in said]


def test_words_of_two_models(voice: Listener, own: Listener) -> None:
    vocabulary = Vocabulary([voice, own], ["yes", "lumos", "go"])
    assert vocabulary.voice_of == {"yes": voice, "lumos": own, "go": voice}
    assert [list(stream.thresholds) for stream in vocabulary.streams(RATE)] == [["yes", "go"], ["lumos"]]
    assert [list(stream.thresholds) for stream in vocabulary.streams(RATE, ["lumos"])] == [["lumos"]]
    assert sorted(heard(vocabulary, "go", "yes")) == ["go", "lumos", "yes"]
    (program,) = description_of(vocabulary).wake
    assert [(m.name, m.attribution.name, m.languages) for m in program.models] == [
        ("yes", "resmel-snn", ["en"]),
        ("lumos", "mine", []),
        ("go", "resmel-snn", ["en"]),
    ]


def test_all_words_by_default(voice: Listener, own: Listener) -> None:
    words = list(Vocabulary([voice, own]).voice_of)
    assert len(words) == 36
    assert words[-1] == "lumos"
    assert not {"_silence_", "_unknown_"} & set(words)


def test_thresholds(voice: Listener, own: Listener) -> None:
    vocabulary = Vocabulary([voice, own], ["yes", "go", "lumos"], {"lumos": 1.0, "go": 0.5})
    first, second = vocabulary.streams(RATE)
    assert (first.thresholds["go"], second.thresholds) == (0.5, {"lumos": 1.0})
    assert first.thresholds["yes"] == voice.stream(sample_rate=RATE).thresholds["yes"]
    assert heard(vocabulary, "yes") == ["yes"]
    overall = Vocabulary([voice, own], ["yes", "lumos"], 0.25).streams(RATE)
    assert [set(stream.thresholds.values()) for stream in overall] == [{0.25}, {0.25}]
    with pytest.raises(sv.ConfigError, match="'no', which is not listened for"):
        Vocabulary([voice], ["yes"], {"no": 0.5})
    with pytest.raises(sv.ConfigError, match="is not legal"):
        Vocabulary([voice], ["yes"], 7.0)
