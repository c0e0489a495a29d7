"""Clips of a word -> windows with the word in the middle, and what is made of words and is none."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch

from snn_voice_hub.config import UNKNOWN, FeatureConfig, VoiceConfig
from snn_voice_hub.enrolment.shown import ShownClip, Wave, checked_words, no_words, read_shown
from snn_voice_hub.errors import AudioError, ConfigError
from snn_voice_hub.inference.ends import Ends

RATE = 16_000


def ends(**options: Any) -> Ends:
    features = FeatureConfig(kind="logmel", normalization="clip")
    return Ends(VoiceConfig(architecture="TcySNN", network={}, features=features, labels=["a"]), **options)


def beep(begin: float, seconds: float = 0.3, whole: float = 1.0, rate: int = RATE) -> Wave:
    """Silence with a tone somewhere."""
    wave = np.zeros(round(whole * rate), np.float32)
    first, count = round(begin * rate), round(seconds * rate)
    wave[first : first + count] = 0.3 * np.sin(2 * np.pi * 500 * np.arange(count) / rate)
    return wave


def loud(wave: Wave) -> tuple[float, float]:
    """Where in seconds the tone begins and ends."""
    where = np.flatnonzero(np.abs(wave) > 0.01)
    return float(where[0]) / RATE, float(where[-1] + 1) / RATE


@pytest.mark.parametrize(
    ("begin", "whole"), [(0.0, 1.0), (0.7, 1.0), (0.1, 0.4), (0.0, 0.3), (0.05, 2.5), (2.1, 2.5), (1.0, 9.0)]
)
def test_the_word_comes_into_the_middle_wherever_it_was(begin: float, whole: float) -> None:
    clip = ShownClip.of(beep(begin, whole=whole), RATE)
    middle, first, last = clip.windows()
    assert [wave.shape for wave in (middle, first, last)] == [(RATE,)] * 3
    assert loud(middle) == (pytest.approx(0.35, abs=0.02), pytest.approx(0.65, abs=0.02))
    assert loud(first)[0] < 0.02
    assert loud(last)[1] > 0.98
    for wave in (middle, first, last):
        assert np.square(wave).sum() == pytest.approx(np.square(beep(begin, whole=whole)).sum(), rel=1e-3)


def test_of_what_is_longer_than_a_window_the_loudest_is_taken() -> None:
    wave = beep(0.2, seconds=2.6, whole=3.0)
    wave[RATE : 2 * RATE] *= 2
    clip = ShownClip.of(wave, RATE)
    np.testing.assert_array_equal(clip.middle, wave[RATE : 2 * RATE])
    assert clip.room == (0, 0)
    assert all(np.array_equal(window, clip.middle) for window in clip.windows())


def test_clips_are_what_classify_takes(tmp_path: Path) -> None:
    wave = beep(0.3)
    sf.write(tmp_path / "a.wav", wave, RATE)
    packed = io.BytesIO()
    sf.write(packed, beep(0.3, rate=8_000), 8_000, format="WAV")
    clips = [
        tmp_path / "a.wav",
        str(tmp_path / "a.wav"),
        packed.getvalue(),
        wave,
        torch.from_numpy(np.stack([wave, wave])),
        (wave, RATE),
        {"array": wave, "sampling_rate": RATE},
    ]
    for clip in clips:
        (alone,) = read_shown(ends(sample_rate=RATE), "lumos", clip)
        assert loud(alone.middle) == (pytest.approx(0.35, abs=0.02), pytest.approx(0.65, abs=0.02))
    assert len(read_shown(ends(sample_rate=RATE), "lumos", clips)) == len(clips)
    assert len(read_shown(ends(), "lumos", tmp_path.glob("*.wav"))) == 1
    assert len(read_shown(ends(), "lumos", {str(tmp_path / "a.wav"): 1}.keys())) == 1


def test_a_clip_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    sf.write(tmp_path / "good.wav", beep(0.3), RATE)
    sf.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    good = tmp_path / "good.wav"

    def refused(clips: Any) -> str:
        with pytest.raises(AudioError) as caught:
            read_shown(ends(), "lumos", clips)
        return str(caught.value)

    assert refused([good, tmp_path / "silent.wav"]).startswith(
        f"clip 2 of 'lumos', {tmp_path}/silent.wav: there is no sound in it"
    )
    assert refused([good, good, tmp_path / "broken.wav"]).startswith(f"clip 3 of 'lumos': '{tmp_path}/broken")
    assert "does not exist" in refused(str(tmp_path / "absent.wav"))
    assert "pass sample_rate=" in refused([beep(0.3)])
    assert refused([np.full(RATE, 0.5, np.float32), good]).startswith("clip 1 of 'lumos'")
    assert "clip 1 of 'lumos': sound can't be read from int" in refused([3])


@pytest.mark.parametrize("clips", [[], (), iter([]), None, 5, True])
def test_without_a_clip_it_says_of_which_word(clips: Any) -> None:
    with pytest.raises(ConfigError, match="'nox'"):
        read_shown(ends(), "nox", clips)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lumos"], "can't be list"),
        ("lumos", "can't be str"),
        (None, "can't be NoneType"),
        ({}, "there is no word to learn"),
        ({UNKNOWN: [1]}, "there is no word to learn"),
        ({"_lumos_": [1]}, "'_lumos_' is no word"),
        ({"_silence_": [1], "lumos": [1]}, "'_silence_' is no word"),
        ({"": [1]}, "'' is no word"),
        ({7: [1]}, "7 is no word"),
        ({"nox": [1], " nox": [2]}, "'nox' is listed twice"),
        ({"é": [1], "e\u0301": [2]}, "'é' is listed twice"),
    ],
)
def test_words_that_are_none(words: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_words(words)
    assert said in str(caught.value)


def test_the_words_keep_their_order_and_may_have_other_speech_beside() -> None:
    assert list(checked_words({"nox": [1], UNKNOWN: [2], " lumos ": [3]})) == ["nox", UNKNOWN, "lumos"]


def shown(*begins: float) -> list[ShownClip]:
    hiss = 1e-4 * np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    return [ShownClip.of(beep(begin) + hiss, RATE) for begin in begins]


def test_what_is_made_of_words_holds_none() -> None:
    given = {"lumos": shown(0.0, 0.2), "nox": shown(0.5)}
    made = no_words(given)
    assert len(made) == 20 + 20 + 3
    assert all(wave.shape == (RATE,) for wave in made)
    power = float(np.square(given["nox"][0].middle).sum())
    for piece in made[:20]:
        assert 0.05 * power < float(np.square(piece).sum()) < 0.5 * power
    for both in made[20:40]:
        assert 0.1 * power < float(np.square(both).sum()) < 0.9 * power
    for wave, again in zip(made, no_words(given), strict=True):
        np.testing.assert_array_equal(wave, again)


def test_a_word_that_stays_the_same_is_not_turned_round() -> None:
    assert len(no_words({"no": shown(0.0, 0.2)})) == 40
    assert len(no_words({"no": shown(0.0), "go": shown(0.3, 0.4)})) == 42


def generated() -> Iterator[Wave]:
    yield beep(0.1)
    yield beep(0.6)


def test_a_generator_is_read_once() -> None:
    assert len(read_shown(ends(sample_rate=RATE), "lumos", generated())) == 2
