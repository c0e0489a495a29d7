"""Whether a recording of somebody who was asked to say a word can be learned from, and where the word is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from snn_voice_lite.streaming.ring import level_of

from snn_voice_hub.spoken import extent

Samples = npt.NDArray[np.float32]

RATE: Final = 16_000

# Seconds that are kept before and behind the word.
_AROUND = 0.1
# The word of a take that is no louder, in dB of full scale, is lost in the noise of a microphone.
_QUIETEST = -50.0
# So much louder than what is around it, in dB, has a word to be.
_STANDS_OUT = 10.0
# A microphone that is turned up too far cuts off the tops of waves: so many samples of full scale.
_FULL = 0.999
_MOST_FULL = 8
# Shorter than this, in seconds, is a knock or a click.
_SHORTEST = 0.12


@dataclass(frozen=True, eq=False)
class Take:
    """A recording of a word, or why it is none.

    Attributes:
        waveform: The word with a little around it, `[N]` at `RATE`; of a refused one, all of it.
        seconds: How long the word is.
        level: Of the word, in dB of full scale.
        problem: Why it can't be learned from; "" where it can.
        hint: What would help.
    """

    waveform: Samples
    seconds: float
    level: float
    problem: str = ""
    hint: str = ""


def judged(recorded: Samples, longest: float) -> Take:
    """Find the word in what was recorded, and say whether it can be learned from.

    Args:
        recorded: `[N]` at `RATE`.
        longest: Seconds that a word may have: those of a window.
    """
    if len(recorded) < RATE * _SHORTEST or not np.any(recorded):
        return Take(recorded, 0.0, -120.0, "nothing was recorded", "is the microphone muted?")
    begin, end = extent(recorded)
    word = recorded[begin:end]
    level, seconds = level_of(word), (end - begin) / RATE
    problem, hint = _trouble(recorded, begin, end, level, longest)
    if problem:
        return Take(recorded, seconds, level, problem, hint)
    around = round(_AROUND * RATE)
    return Take(recorded[max(0, begin - around) : end + around], seconds, level)


def _trouble(recorded: Samples, begin: int, end: int, level: float, longest: float) -> tuple[str, str]:
    full = int((np.abs(recorded) >= _FULL).sum())
    seconds = (end - begin) / RATE
    if full > _MOST_FULL:
        return f"{full} samples are cut off at full scale", "farther from the microphone, or less gain"
    if level < _QUIETEST:
        return f"too quiet ({level:.0f} dB)", "nearer to the microphone, or more gain"
    around = np.concatenate([recorded[:begin], recorded[end:]])
    if len(around) < RATE * _AROUND or level - level_of(around) < _STANDS_OUT:
        return "no word stands out", "say it after the sign, with quiet before and after"
    if seconds < _SHORTEST:
        return f"{seconds:.2f} s is no word", "say it after the sign"
    if begin == 0 or end > len(recorded) - RATE // 100:
        return "cut off", "say it after the sign, and not later"
    if seconds > longest:
        return f"{seconds:.2f} s are longer than the {longest:g} s that the model hears", "say it faster"
    return "", ""
