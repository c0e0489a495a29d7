"""The sound of an event: the window in which it was heard."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.config import DetectionConfig
from tests.slowness import mostly_slow
from tests.voice.stream_helpers import RATE, SIZES, WORDS, Wave, cut, follower, heard, model, talk


def window(wave: Wave, time: float) -> Wave:
    """The second of a sound that ends at a time; outside of it is silence."""
    padded = np.pad(wave, RATE)
    return padded[round(time * RATE) : round(time * RATE) + RATE]


def often(voice: sv.SnnVoice) -> sv.SnnVoice:
    """A model that hears words all the time, one after the other."""
    found = sv.SnnVoice(voice.network, voice.config.features, voice.labels, engine="torch").eval()
    point = DetectionConfig(threshold=0.01, smoothing=0.2, refractory=0.15)
    found.config = dataclasses.replace(found.config, detection=point)
    return found


@pytest.mark.parametrize("size", mostly_slow(SIZES[1:], first=1))
@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("name", ["windows", "frames", "many words"])
def test_it_is_the_window_that_ended_when_the_word_was_known(
    name: str, scores: bool, size: int | None
) -> None:
    voice = {"windows": model, "frames": follower, "many words": lambda: often(model())}[name]()
    plain = heard(voice.stream(sample_rate=RATE, scores=scores), cut(talk(), size))
    events = heard(voice.stream(sample_rate=RATE, scores=scores, sound=True), cut(talk(), size))
    assert events == plain
    assert len(events) >= (12 if name == "many words" else len(WORDS) if name == "windows" else 1)
    assert all(event.sound is None for event in plain)
    for event in events:
        assert event.sound is not None
        np.testing.assert_array_equal(event.sound, window(talk(), event.time))


def test_where_words_are_heard_late_there_is_silence_behind_them() -> None:
    wave = talk()[: -RATE // 10]
    stream = model().stream(sample_rate=RATE, sound=True)
    before = stream.feed(wave)
    (last,) = stream.flush()
    assert last.time > len(wave) / RATE
    assert last.sound is not None
    np.testing.assert_array_equal(last.sound, window(wave, last.time))
    assert not last.sound[-100:].any()
    assert len(before) == 2


def test_it_has_the_rate_of_the_model() -> None:
    resampled = audio.load(talk(48_000), sample_rate=48_000, target_rate=RATE).numpy()
    events = list(model().listen(cut(talk(48_000), 4_800), sample_rate=48_000, sound=True))
    assert [event.label for event in events] == list(WORDS)
    for event in events:
        assert event.sound is not None
        np.testing.assert_array_equal(event.sound, window(resampled, event.time))


def test_what_is_heard_in_it_is_the_word() -> None:
    for event in model().listen([talk()], sample_rate=RATE, sound=True):
        assert event.sound is not None
        assert model().classify(event.sound, sample_rate=RATE)[0].label == event.label


def test_it_is_asked_for_with_true() -> None:
    with pytest.raises(sv.ConfigError, match="sound='yes'"):
        model().stream(sample_rate=RATE, sound="yes")  # type: ignore[arg-type]
