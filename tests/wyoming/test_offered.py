"""Words of one model and of several."""

from __future__ import annotations

import pytest

pytest.importorskip("wyoming", reason="the extra wyoming is not installed")

from snn_voice_wyoming.description import description_of
from snn_voice_wyoming.listening import SoundFormat, WakeStream
from snn_voice_wyoming.offered import Vocabulary

import snn_voice_hub as sv
from tests.wyoming.helpers import RATE, talk


@pytest.fixture(scope="module")
def own(default_model: sv.SnnVoice) -> sv.SnnVoice:
    """A model with a word of its own, which sounds like "yes"."""
    config = default_model.config
    labels = ["lumos" if label == "yes" else label for label in config.labels]
    return sv.SnnVoice(default_model.network, config.features, labels, name="mine")


def heard(vocabulary: Vocabulary, *words: str) -> list[str]:
    stream, data = WakeStream(vocabulary), talk(*words).tobytes()
    stream.expect(SoundFormat(RATE, 2, 1), None, len(data))
    said = [word for i in range(0, len(data), 3_001) for word in stream.feed(data[i : i + 3_001])]
    said += stream.end()
    times = [word.milliseconds for word in said]
    assert times == sorted(times)
    return [word.name for word in said]


def test_words_of_two_models(default_model: sv.SnnVoice, own: sv.SnnVoice) -> None:
    vocabulary = Vocabulary([default_model, own], ["yes", "lumos", "go"])
    assert vocabulary.voice_of == {"yes": default_model, "lumos": own, "go": default_model}
    assert [list(stream.thresholds) for stream in vocabulary.streams(RATE)] == [["yes", "go"], ["lumos"]]
    assert [list(stream.thresholds) for stream in vocabulary.streams(RATE, ["lumos"])] == [["lumos"]]
    assert sorted(heard(vocabulary, "go", "yes")) == ["go", "lumos", "yes"]
    (program,) = description_of(vocabulary).wake
    assert [(m.name, m.attribution.name, m.languages) for m in program.models] == [
        ("yes", "resmel-snn", ["en"]),
        ("lumos", "mine", []),
        ("go", "resmel-snn", ["en"]),
    ]


def test_all_words_by_default(default_model: sv.SnnVoice, own: sv.SnnVoice) -> None:
    words = list(Vocabulary([default_model, own]).voice_of)
    assert len(words) == 36
    assert words[-1] == "lumos"
    assert not {"_silence_", "_unknown_"} & set(words)


def test_thresholds(default_model: sv.SnnVoice, own: sv.SnnVoice) -> None:
    vocabulary = Vocabulary([default_model, own], ["yes", "go", "lumos"], {"lumos": 1.0, "go": 0.5})
    first, second = vocabulary.streams(RATE)
    assert (first.thresholds["go"], second.thresholds) == (0.5, {"lumos": 1.0})
    assert first.thresholds["yes"] == default_model.stream(sample_rate=RATE).thresholds["yes"]
    assert heard(vocabulary, "yes") == ["yes"]
    overall = Vocabulary([default_model, own], ["yes", "lumos"], 0.25).streams(RATE)
    assert [set(stream.thresholds.values()) for stream in overall] == [{0.25}, {0.25}]
    with pytest.raises(sv.ConfigError, match="'no', which is not listened for"):
        Vocabulary([default_model], ["yes"], {"no": 0.5})
    with pytest.raises(sv.ConfigError, match="is not legal"):
        Vocabulary([default_model], ["yes"], 7.0)
