"""Words missed and false alarms an hour, on streams whose right figures are known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import torch
from snn_voice_lite.streaming.detector import Detector
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.config import DetectionConfig, FeatureConfig, VoiceConfig
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.negatives import Negatives, NegativeSound
from snn_voice_hub.training.measuring import listening
from snn_voice_hub.training.measuring.listening import (
    HOP,
    PointRule,
    choose,
    hear,
    listen,
    with_point,
)
from snn_voice_hub.training.measuring.release import measure_listening
from snn_voice_hub.training.measuring.streams import Stream, word_stream
from tests.training.measuring.helpers import RATE, int16, tone

LABELS = ["low", "high", "_unknown_"]
POINT = DetectionConfig(threshold=0.5)


class Pitches:
    """Hears a tone of 200 or 500 Hz for a word, as sure as it is loud; anything else is `_unknown_`."""

    remembers = False

    labels = LABELS
    sample_rate = RATE
    device = torch.device("cpu")
    config = VoiceConfig(
        architecture="M5SNN",
        network={},
        features=FeatureConfig(kind="waveform", sample_rate=RATE, num_samples=RATE),
        labels=LABELS,
    )

    def __init__(self, deaf_below: float = 0.0) -> None:
        self.deaf_below = deaf_below

    def __call__(self, waveforms: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(waveforms.double()).abs()
        strength = (
            torch.stack([spectrum[:, 200], spectrum[:, 500]], 1)
            / spectrum.square().sum(1, keepdim=True).sqrt()
        )
        strength[spectrum.amax(1) < self.deaf_below] = 0
        return torch.cat([20 * strength, torch.full((len(waveforms), 1), 10.0)], 1).float()


def model(**options: float) -> sv.SnnVoice:
    return cast(sv.SnnVoice, Pitches(**options))


def negatives(*sounds: NegativeSound) -> Negatives:
    return Negatives(sounds, RATE)


def test_windows_come_every_tenth_of_a_second() -> None:
    heard = hear(model(), np.pad(tone("low"), (2 * RATE, RATE)))
    assert np.allclose(np.diff(heard.ends), HOP)
    assert (heard.ends[0], heard.seconds) == (0.1, 3.5)
    assert heard.scores.shape == (45, 3)


def test_a_short_sound_can_hold_as_long_as_in_a_stream(clips: Clips) -> None:
    held = DetectionConfig(threshold=0.5, smoothing=0.6)
    single = [NegativeSound("a", "words", int16(tone("high")))]
    speech = [NegativeSound("b", "speech", int16(tone("high")))]
    sounds = listen(model(), clips, [], negatives(*single, *speech), snrs=())
    assert sounds.at(held)["single"] == 1.0
    assert sounds.at(held)["false_alarms"]["speech"] > 0


def test_all_words_are_heard_where_all_are_answered(clips: Clips) -> None:
    quiet = np.zeros(RATE * 3, dtype=np.int16)
    silent = NegativeSound("a", "noise", quiet)
    speech = [NegativeSound(str(i), "speech", int16(np.tile(tone("other"), 24))) for i in range(3)]
    sounds = listen(model(deaf_below=1.0), clips, [], negatives(silent, *speech), snrs=(10,))
    figures = sounds.at(POINT)
    assert figures == {"missed": {"10_db": 0.0}, "false_alarms": {"speech": 0.0, "noise": 0.0}}
    assert sounds.hours() == pytest.approx({"speech": 0.01, "noise": 0.001}, abs=5e-4)


def test_false_alarms_are_counted_an_hour_and_single_words_apart(clips: Clips) -> None:
    wave = np.zeros(36 * RATE, dtype=np.float32)
    for second in (5, 15, 25):
        wave[second * RATE : second * RATE + RATE // 2] = tone("low")
    single = [
        NegativeSound("a", "words", int16(tone("high"))),
        NegativeSound("b", "words", int16(tone("other"))),
    ]
    sounds = listen(
        model(deaf_below=1.0),
        clips,
        [],
        negatives(NegativeSound("talk", "speech", int16(wave)), *single),
        snrs=(10,),
    )
    figures = sounds.at(POINT)
    assert figures["false_alarms"] == {"speech": pytest.approx(300.0)}
    assert figures["single"] == 0.5
    only = sounds.at(POINT, ["high"])
    assert only["false_alarms"] == {"speech": 0.0}
    assert only["missed"] == {"10_db": 0.0}


def test_misses_are_those_of_all_sayings(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    few = clips.pick([0, 2, 4, 6])
    strange = dataclasses.replace(few, waveforms=np.stack([int16(np.pad(tone("other"), RATE // 4))] * 4))

    def twice(*_: object, **__: object) -> list[Stream]:
        return [word_stream(clips, [], 10, sample_rate=RATE), word_stream(strange, [], 10, sample_rate=RATE)]

    monkeypatch.setattr(listening, "sayings", twice)
    sounds = listen(model(deaf_below=1.0), clips, [], None, snrs=(10,))
    # All of twelve are heard, and none of four.
    assert sounds.at(POINT)["missed"] == {"10_db": 4 / 16}
    # Of one word there were six, and those four.
    assert sounds.at(POINT, ["low"])["missed"] == {"10_db": 4 / 10}
    assert sounds.at(POINT, ["high"])["missed"] == {"10_db": 0.0}


def test_a_few_clips_are_said_several_times_and_other_sound_once(clips: Clips) -> None:
    speech = NegativeSound("talk", "speech", int16(np.tile(tone("other"), 72)))
    noise = NegativeSound("hiss", "noise", np.ones(36 * RATE, np.int16))
    sounds = listen(model(deaf_below=1.0), clips, [], negatives(speech, noise), snrs=(20, 10))
    figures = sounds.figures(POINT)
    assert (figures["clips"], figures["times_said"]) == (12, 8)
    assert {name: len(streams) for name, streams in sounds.streams.items()} == {"20_db": 8, "10_db": 8}
    assert figures["hours"] == {"speech": 0.01, "noise": 0.01}
    many = clips.pick(np.arange(240) % 12)
    assert listen(model(), many, [], None, snrs=(10,)).said() == {"clips": 240, "times_said": 1}
    assert listen(model(), clips.pick([]), [], None).said() == {}


def test_sound_that_is_sure_of_no_word_is_not_looked_through(
    clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thresholds are tried by the hundred, over pieces of speech by the thousand."""
    talk = [NegativeSound(str(n), "speech", int16(np.tile(tone("other"), 8))) for n in range(5)]
    said = NegativeSound("said", "speech", int16(np.pad(tone("low"), 3 * RATE)))
    sounds = listen(model(deaf_below=1.0), clips, [], negatives(*talk, said), snrs=())
    surest = sounds.speech[-1].surest
    assert max(heard.surest for heard in sounds.speech[:-1]) < 0.5 < surest
    made: list[object] = []

    def counted(*given: Any, **named: Any) -> Detector:
        made.append(given)
        return Detector(*given, **named)

    monkeypatch.setattr(listening, "Detector", counted)
    alarms = sounds.at(POINT)["false_alarms"]["speech"]
    assert (len(made), alarms > 0) == (1, True)
    # A threshold of its own may let a word pass.
    lenient = dataclasses.replace(POINT, threshold=0.99999, thresholds={"low": 0.5})
    assert sounds.at(lenient)["false_alarms"]["speech"] == alarms
    # At the very threshold that it reaches, it is an event.
    assert sounds.at(DetectionConfig(threshold=surest))["false_alarms"]["speech"] > 0


def test_a_point_is_chosen_by_all_sayings(clips: Clips) -> None:
    silent = negatives(NegativeSound("talk", "speech", np.zeros(36 * RATE, np.int16)))
    told = with_point(model(deaf_below=1.0), clips, [], silent).metrics["listening_validation"]
    assert (told["clips"], told["times_said"], told["words"]["missed"]) == (12, 8, {"10_db": 0.0})


@pytest.mark.slow
def test_it_can_be_measured_alone(clips: Clips, tmp_path: Path) -> None:
    torch.manual_seed(0)
    voice = sv.SnnVoice(sv.M5SNN(num_classes=2, num_steps=1), labels=["low", "high"]).eval()
    metrics = {"parameters": 1, "test": {"top1": 0.5, "robustness": {"shift": {"a": 0.1}}}, "other": 2}
    voice.config = dataclasses.replace(voice.config, name="pitches", metrics=metrics)
    voice.save_pretrained(tmp_path / "model")
    for i, (wave, word) in enumerate(zip(clips.waveforms, clips.labels, strict=True)):
        (tmp_path / "data" / word).mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "data" / word / f"{i}.wav", wave, RATE)
    for kind in ("speech", "noise", "words"):
        (tmp_path / "others" / kind).mkdir(parents=True)
        soundfile.write(tmp_path / "others" / kind / "a.wav", tone("other", seconds=3.0), RATE)
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    before = json.loads((tmp_path / "model" / "config.json").read_text())
    written = measure_listening(tmp_path / "model", tmp_path / "data", [tmp_path / "others"])
    after = json.loads((tmp_path / "model" / "config.json").read_text())
    found = after["metrics"]["test"].pop("listening")
    alarms = after["metrics"]["test"].pop("false_alarms")
    assert (alarms["other_speech"]["windows"], alarms["other_speech"]["below_half"] < 1) == (4, True)
    assert after == before
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == weights
    assert found == written.metrics["test"]["listening"]
    assert found["hours"] == {"speech": 0.001, "noise": 0.001}
    assert set(found["words"]["missed"]) == {"20_db", "10_db", "5_db"}
    assert found["words"]["false_alarms"]["speech"] > 0  # knows two words, and takes all for one of them
    assert "of speech without its words, at a threshold of 0.5:" in make_card(written).text


def test_the_point_has_no_more_false_alarms_than_allowed(clips: Clips) -> None:
    wave = np.zeros(36 * RATE, dtype=np.float32)
    wave[5 * RATE : 5 * RATE + RATE // 2] = tone("low", level=0.01) + tone("other", level=0.009)
    sounds = listen(model(), clips, [], negatives(NegativeSound("talk", "speech", int16(wave))), snrs=(10,))
    loose = sounds.at(DetectionConfig(threshold=0.2))
    assert loose["false_alarms"]["speech"] > 10
    point = choose(sounds)
    figures = sounds.at(point)
    assert figures["false_alarms"]["speech"] <= 10
    assert figures["missed"]["10_db"] < 0.2
    assert point.hop == HOP


def test_one_false_alarm_in_a_few_minutes_is_not_taken_for_few(clips: Clips) -> None:
    wave = np.zeros(9 * 60 * RATE, dtype=np.float32)
    wave[5 * RATE : 5 * RATE + RATE // 2] = tone("low", level=0.01) + tone("other", level=0.009)
    sounds = listen(model(), clips, [], negatives(NegativeSound("talk", "speech", int16(wave))), snrs=(10,))
    # Seven an hour, as far as one event can say; ten are allowed.
    assert 6 < sounds.at(DetectionConfig(threshold=0.2))["false_alarms"]["speech"] < 7
    point = choose(sounds)
    assert sounds.at(point)["false_alarms"]["speech"] == 0
    # Every word is heard at any point: the longest time, and the lowest threshold that has no false alarm.
    assert point.smoothing == 0.6
    assert 0.5 < point.threshold < 0.7


def test_misses_are_counted_where_the_rule_says(clips: Clips) -> None:
    def curve(point: DetectionConfig, words: object) -> list[tuple[float, dict[str, dict[str, float]]]]:
        # In little noise, every word is heard at any point, and false alarms alone would choose.
        at = {0.3: (0.0, 0.1, 5.0), 0.6: (0.0, 0.2, 4.0), 0.9: (0.0, 0.7, 1.0)}
        return [
            (threshold, {"missed": {"10_db": clear, "0_db": loud}, "false_alarms": {"speech": alarms}})
            for threshold, (clear, loud, alarms) in at.items()
        ]

    sounds: Any = SimpleNamespace(hours=lambda: {"speech": 1.0}, curve=curve)
    assert choose(sounds).threshold == 0.9
    assert choose(sounds, rule=PointRule(snr=0)).threshold == 0.3
    assert choose(sounds, rule=PointRule(snr=0, slack=0.1)).threshold == 0.6
    silent = negatives(NegativeSound("talk", "speech", np.zeros(36 * RATE, np.int16)))
    told = with_point(model(deaf_below=1.0), clips, [], silent, PointRule(snr=-5)).metrics
    assert set(told["listening_validation"]["words"]["missed"]) == {"-5_db"}


def test_points_that_miss_about_as_few_are_told_apart_by_false_alarms() -> None:
    def curve(point: DetectionConfig, words: object) -> list[tuple[float, dict[str, dict[str, float]]]]:
        at = {0.3: (0.01, 8.0), 0.6: (0.03, 1.0), 0.9: (0.2, 0.0)}
        return [
            (threshold, {"missed": {"10_db": share}, "false_alarms": {"speech": alarms}})
            for threshold, (share, alarms) in at.items()
        ]

    sounds: Any = SimpleNamespace(hours=lambda: {"speech": 1.0}, curve=curve)
    assert choose(sounds).threshold == 0.3
    assert choose(sounds, rule=PointRule(slack=0.02)).threshold == 0.6
    assert choose(sounds, rule=PointRule(most_alarms=1.5)).threshold == 0.9
    assert choose(sounds, rule=PointRule(slack=0.02)).smoothing == 0.6
