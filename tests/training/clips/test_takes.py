"""Takes of words: which can be learned from, and what is cut away."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile as sf

from snn_voice_hub.training.clips.takes import RATE, judged
from tests.places import EXAMPLES

Wave = npt.NDArray[np.float32]


def room(seconds: float, level: float = 1e-3, seed: int = 0) -> Wave:
    noise = np.random.default_rng(seed).normal(0, level, round(seconds * RATE))
    return noise.astype(np.float32)


def said(at: float = 0.6, seconds: float = 2.0, gain: float = 1.0, background: float = 1e-3) -> Wave:
    """A word in a room."""
    word = sf.read(EXAMPLES / "yes.wav", dtype="float32")[0] * np.float32(gain)
    wave = room(seconds, background)
    begin = round(at * RATE)
    wave[begin : begin + len(word)] += word[: len(wave) - begin]
    return wave


def test_the_word_is_cut_out() -> None:
    one, other = judged(said(0.3), 1.0), judged(said(0.8), 1.0)
    assert not one.problem
    assert 0.3 < one.seconds < 0.9
    assert len(one.waveform) == pytest.approx((one.seconds + 0.2) * RATE, abs=1)
    assert one.seconds == pytest.approx(other.seconds, abs=0.03)
    loud = np.abs(one.waveform)
    assert loud[: RATE // 20].max() < 0.1 * loud.max()  # a little of the room before it


@pytest.mark.parametrize(
    ("wave", "longest", "problem"),
    [
        (np.zeros(2 * RATE, np.float32), 1.0, "nothing was recorded"),
        (room(0.05), 1.0, "nothing was recorded"),
        (room(2.0), 1.0, "too quiet"),
        (room(2.0, 0.05), 1.0, "no word stands out"),
        (said(gain=0.004, background=1e-5), 1.0, "too quiet"),
        (said(background=0.2), 1.0, "no word stands out"),
        ((said() * 30).clip(-1, 1), 1.0, "cut off at full scale"),
        (said(1.6), 1.0, "cut off"),
        (said(), 0.2, "longer than the 0.2 s"),
    ],
)
def test_what_can_not_be_learned_from_is_refused(wave: Any, longest: float, problem: str) -> None:
    take = judged(wave, longest)
    assert problem in take.problem
    assert take.hint


def test_a_click_is_no_word() -> None:
    wave = room(2.0)
    wave[RATE : RATE + 200] += 0.5
    assert "no word" in judged(wave, 1.0).problem
