"""`SnnVoice.enroll`: a model of other words, at once."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.config import UNKNOWN, DetectionConfig
from snn_voice_hub.models.base import ConvNetwork
from tests.models.lively import BUNDLED, lively
from tests.places import EXAMPLES
from tests.slowness import mostly_slow
from tests.training.helpers import tones
from tests.voice.stream_helpers import follower

PITCHES = {"lumos": 300.0, "nox": 900.0}
RATE = 16_000
Clips = dict[str, list[Any]]


def clips(count: int, seed: int = 0, pitches: dict[str, float] | None = None) -> Clips:
    made = tones(count, seed, pitches or PITCHES)
    found: Clips = {}
    for word, row in zip(made.labels, made.waveforms, strict=True):
        found.setdefault(word, []).append(row)
    return found


def right(voice: sv.SnnVoice, seed: int = 9, **options: Any) -> float:
    told = [
        voice.classify(row, sample_rate=RATE, top_k=1, **options)[0].label == word
        for word, rows in clips(10, seed).items()
        for row in rows
    ]
    return float(np.mean(told))


def speech() -> Clips:
    """Three words of the examples, under other names."""
    given = {"lumos": "marvin", "nox": "seven", "accio": "stop"}
    return {name: [EXAMPLES / f"{word}.wav"] for name, word in given.items()}


@pytest.fixture(scope="module")
def mine(default_model: sv.SnnVoice) -> sv.SnnVoice:
    return default_model.enroll(clips(5), sample_rate=RATE)


def test_it_knows_the_words_and_what_is_none(mine: sv.SnnVoice, default_model: sv.SnnVoice) -> None:
    assert mine.labels == ["lumos", "nox", "_silence_", "_unknown_"]
    assert right(mine) >= 0.85
    assert mine.classify(np.zeros(RATE, np.float32), sample_rate=RATE)[0].label == "_silence_"
    heard = [mine.classify(EXAMPLES / f"{word}.wav")[0].label for word in ("yes", "no", "left", "house")
             if (EXAMPLES / f"{word}.wav").exists()]  # fmt: skip
    assert set(heard) <= {"_unknown_", "_silence_"}
    assert not mine.network.training
    assert default_model.labels[:2] == ["backward", "bed"]


@pytest.mark.parametrize("name", mostly_slow(BUNDLED, *(name for name in BUNDLED if "Piczak" not in name)))
def test_every_architecture_can(name: str, tmp_path: Path) -> None:
    voice = sv.SnnVoice(lively(name, num_classes=3), labels=["a", "b", UNKNOWN], engine="torch").eval()
    before = copy.deepcopy(voice.network.state_dict())
    found = voice.enroll(clips(4), sample_rate=RATE, name="found")
    assert found.labels == ["lumos", "nox", UNKNOWN]
    assert right(found, words_only=True) > 0.7
    assert all(torch.equal(value, before[key]) for key, value in voice.network.state_dict().items())
    found.save_pretrained(tmp_path / "found")
    again = sv.SnnVoice.from_pretrained(tmp_path / "found", engine="torch")
    wave = torch.from_numpy(clips(1, 5)["nox"][0].astype(np.float32) / 32768)[None]
    torch.testing.assert_close(again(wave), found(wave), rtol=1e-6, atol=1e-6)
    assert again.config == dataclasses.replace(
        found.config, architecture_package=again.config.architecture_package
    )
    assert type(again.network) is type(voice.network)


def test_all_layers_but_the_last_stay_as_they_are(mine: sv.SnnVoice, default_model: sv.SnnVoice) -> None:
    own, other = default_model.network.state_dict(), mine.network.state_dict()
    assert own.keys() == other.keys()
    for key in own.keys() - {"fc.weight", "fc.bias"}:
        assert torch.equal(own[key], other[key]), key


def test_with_keep_the_old_words_have_the_scores_that_they_had(default_model: sv.SnnVoice) -> None:
    more = default_model.enroll(clips(5), sample_rate=RATE, keep=True)
    words = default_model.labels[:35]
    assert more.labels == [*words, "lumos", "nox", "_silence_", "_unknown_"]
    wave = torch.from_numpy(sf.read(EXAMPLES / "yes.wav", dtype="float32")[0])[None]
    before = default_model(wave) / default_model.config.temperature
    after = more(wave)
    old = [more.labels.index(label) for label in default_model.labels]
    torch.testing.assert_close(after[:, old], before, rtol=1e-4, atol=1e-4)
    assert more.config.temperature == 1
    for word in ("yes", "stop", "marvin"):
        assert more.classify(EXAMPLES / f"{word}.wav", top_k=1)[0].label == word
    assert right(more) >= 0.85


def test_a_model_that_knows_words_only(tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("m5-snn")
    found = voice.enroll(clips(5), sample_rate=RATE)
    assert found.labels == ["lumos", "nox"]
    assert right(found) > 0.9


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_half_stays_a_half(dtype: str, tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("resmel-snn", dtype=dtype)
    found = voice.enroll(clips(3), sample_rate=RATE)
    assert found.dtype == voice.dtype == getattr(torch, dtype)
    assert right(found) > 0.8
    found.save_pretrained(tmp_path / "half")
    assert sv.SnnVoice.from_pretrained(tmp_path / "half").config.dtype == dtype


@pytest.mark.parametrize("engine", ["loop", "torch", "auto"])
def test_any_engine_gives_the_same_words(engine: str, mine: sv.SnnVoice) -> None:
    voice = sv.SnnVoice.from_pretrained("resmel-snn", engine=engine)
    found = voice.enroll(clips(5), sample_rate=RATE)
    assert found.engine == engine
    ours, theirs = (model.network.state_dict()["fc.weight"] for model in (found, mine))
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.02)


def test_a_model_in_training_or_in_wrappers_is_taken_as_it_is(mine: sv.SnnVoice) -> None:
    voice = sv.SnnVoice.from_pretrained("resmel-snn").train()
    statistics = voice.network.state_dict()["stem.bn.running_mean"].clone()
    found = voice.enroll(clips(5), sample_rate=RATE)
    assert voice.network.training
    assert torch.equal(voice.network.state_dict()["stem.bn.running_mean"], statistics)
    torch.testing.assert_close(found.network.state_dict(), mine.network.state_dict(), rtol=0.05, atol=0.02)
    voice = sv.SnnVoice.from_pretrained("resmel-snn")
    voice.network = nn.DataParallel(voice.network)
    assert voice.enroll(clips(2), sample_rate=RATE).labels == mine.labels


def test_what_was_enrolled_can_be_enrolled_again(mine: sv.SnnVoice) -> None:
    pitches = {"accio": 1700.0}
    found = mine.enroll(clips(5, pitches=pitches), sample_rate=RATE, keep=True)
    assert found.labels == ["lumos", "nox", "accio", "_silence_", "_unknown_"]
    assert right(found) >= 0.8
    heard = [found.classify(row, sample_rate=RATE)[0].label for row in clips(10, 7, pitches)["accio"]]
    assert heard.count("accio") >= 7


def test_other_speech_may_be_given(default_model: sv.SnnVoice) -> None:
    other = [row for rows in clips(8, pitches={"a": 600.0, "b": 500.0}).values() for row in rows]
    given = clips(5)
    plain, told = (
        default_model.enroll(words, sample_rate=RATE) for words in (given, given | {UNKNOWN: other})
    )
    assert told.labels == plain.labels
    assert told.config.training["enrolled"] == {"lumos": 5, "nox": 5, UNKNOWN: 16}
    heard = clips(8, 3, {"a": 600.0, "b": 500.0})

    def as_words(voice: sv.SnnVoice) -> float:
        index = [voice.labels.index(word) for word in PITCHES]
        rows = np.stack([row for rows in heard.values() for row in rows]).astype(np.float32) / 32768
        scores = voice(torch.from_numpy(rows)).detach().softmax(1)
        return float(scores[:, index].sum(1).mean())

    assert as_words(told) < as_words(plain)


def test_a_clip_of_a_word_is_enough_and_streams_hear_it(default_model: sv.SnnVoice) -> None:
    found = default_model.enroll(speech(), name="spells")
    assert found.config.name == "spells"
    assert found.config.detection is None
    assert found.config.training["left_out"] == {}
    for name, paths in speech().items():
        assert found.classify(paths[0], top_k=1)[0].label == name
    wave, _ = sf.read(speech()["lumos"][0], dtype="float32")
    chunks = [np.zeros(RATE, np.float32), wave, np.zeros(RATE, np.float32)]
    (event,) = found.listen(chunks, sample_rate=RATE)
    assert event.label == "lumos"


def test_a_network_whose_steps_are_those_of_the_sound() -> None:
    found = follower().enroll(clips(5), sample_rate=RATE)
    assert found.remembers
    row = clips(1, 4)["nox"][0]
    chunks = [np.zeros(RATE, np.int16), row, np.zeros(RATE, np.int16)]
    events = list(found.listen(chunks, sample_rate=RATE, threshold=0.3, smoothing=0.1))
    assert {event.label for event in events} == {"nox"}


def test_the_operating_point(default_model: sv.SnnVoice, mine: sv.SnnVoice) -> None:
    point = mine.config.detection
    assert point is not None
    assert 0.9 <= point.threshold <= 0.99
    assert (point.thresholds, point.smoothing) == ({}, 0.3)
    before = default_model.config.detection
    assert before is not None
    kept = default_model.enroll(clips(5), sample_rate=RATE, keep=True).config.detection
    assert kept is not None
    assert dataclasses.replace(kept, thresholds={}) == before
    assert kept.thresholds.keys() == {"lumos", "nox"}
    assert all(0.9 <= threshold <= 0.99 for threshold in kept.thresholds.values())
    few = default_model.enroll(clips(1), sample_rate=RATE, keep=True)
    assert few.config.detection == before
    tuned = sv.SnnVoice(default_model.network, default_model.config.features, default_model.labels).eval()
    tuned.config = dataclasses.replace(tuned.config, detection=DetectionConfig(thresholds={"yes": 0.7}))
    again = tuned.enroll(clips(5), sample_rate=RATE)
    assert again.config.detection is not None
    assert again.config.detection.thresholds == {}


def test_it_says_where_it_comes_from(mine: sv.SnnVoice, default_model: sv.SnnVoice) -> None:
    c = mine.config
    assert c.name == "resmel-snn-enrolled"
    assert c.license == default_model.config.license
    assert c.data == [*default_model.config.data, {"name": "enrolled clips (lumos 5, nox 5)"}]
    assert c.training["start"] == "resmel-snn"
    assert c.training["enrolled"] == {"lumos": 5, "nox": 5}
    assert c.training["left_out"]["clips"] == 10
    assert c.training["left_out"]["right"] > 0.8
    assert c.metrics == {}
    assert "which of 2 words is spoken" in str(mine.generate_model_card())


def test_the_same_clips_make_the_same_model(mine: sv.SnnVoice, default_model: sv.SnnVoice) -> None:
    again = default_model.enroll(clips(5), sample_rate=RATE)
    for key, value in again.network.state_dict().items():
        assert torch.equal(value, mine.network.state_dict()[key])


class LogScores(ConvNetwork):
    """Its last layer's outputs are not added up alone."""

    min_shape = (1, 1)
    default_features = sv.TcyCNN.default_features

    def build(self) -> None:
        self.fc = nn.Linear(100, self.num_classes)

    def forward(self, features: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(features, 10).flatten(1)
        return self.fc(pooled).log_softmax(1)


class NoBias(LogScores):
    def build(self) -> None:
        self.fc = nn.Linear(100, self.num_classes, bias=False)


@pytest.mark.parametrize(
    ("cls", "said"),
    [(LogScores, "does more than add up"), (NoBias, "is none that gives the classes alone")],
)
def test_a_last_layer_that_can_not_be_exchanged(cls: type[ConvNetwork], said: str) -> None:
    sv.register_architecture(cls)
    voice = sv.SnnVoice(cls(3), labels=["a", "b", UNKNOWN], engine="torch").eval()
    with pytest.raises(sv.SnnVoiceError, match=said):
        voice.enroll(clips(2), sample_rate=RATE)


def test_a_foreign_module_is_refused() -> None:
    voice = sv.SnnVoice(nn.Identity(), sv.FeatureConfig(kind="waveform", normalization="clip"), ["a"])
    with pytest.raises(sv.SnnVoiceError, match="a Identity can't learn words"):
        voice.enroll(clips(2), sample_rate=RATE)


@pytest.mark.parametrize(
    ("model", "words", "options", "said"),
    [
        ("tcy-snn", {"lumos": [1]}, {}, "'lumos' would be the only label"),
        ("tcy-snn", clips(1) | {UNKNOWN: [1]}, {}, f"tcy-snn has no label {UNKNOWN}"),
        ("tcy-snn", {"yes": [1], "lumos": [1]}, {"keep": True}, "keep=True: tcy-snn has no label _unknown_"),
        ("resmel-snn", {"yes": [1], "lumos": [1]}, {"keep": True}, "'yes' is a word of the model already"),
        ("tcy-snn", clips(1), {"keep": 1}, "keep=1 is not legal"),
        ("tcy-snn", clips(1), {"name": 1}, "name=1 is not legal"),
        ("tcy-snn", clips(1) | {"nox": []}, {}, "there is no clip of 'nox'"),
        ("tcy-snn", {"_a_": [1]}, {}, "'_a_' is no word"),
        ("tcy-snn", [("lumos", [1])], {}, "can't be list"),
    ],
)
def test_mistakes_are_told(model: str, words: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(sv.ConfigError) as caught:
        sv.SnnVoice.from_pretrained(model).enroll(words, sample_rate=RATE, **options)
    assert said in str(caught.value)


def test_one_word_is_enough_where_there_is_other_speech(default_model: sv.SnnVoice) -> None:
    found = default_model.enroll({"lumos": clips(4)["lumos"]}, sample_rate=RATE)
    assert found.labels == ["lumos", "_silence_", "_unknown_"]
    hits = [found.classify(row, sample_rate=RATE)[0].label == "lumos" for row in clips(8, 6)["lumos"]]
    assert np.mean(hits) > 0.7
