"""What a synthesiser wrote -> a clip to train with, or why it can't be one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from snn_voice_hub import audio
from snn_voice_hub.errors import AudioError

SAMPLE_RATE = 16_000

Wave = npt.NDArray[np.float32]

# What is within 40 dB of the loudest sample is said; so many seconds around it are kept.
_QUIET = 0.01
_AROUND = 0.06
# Nothing is said in less than that, in seconds, nor where the loudest sample is below that.
_SHORTEST = 0.1
_FAINT = 1e-3
# So many samples in a row at full scale were cut off.
_CUT_OFF = 3
_FULL = 0.999
# Training changes the loudness; there is to be room for louder, and for what noise is added.
_PEAK = 0.5

SILENT, CLIPPED, TOO_LONG, NOT_RECOGNISED = "silent", "clipped", "too long", "not recognised"
REASONS = (SILENT, CLIPPED, TOO_LONG, NOT_RECOGNISED)


class Taken(NamedTuple):
    """What became of a file.

    Attributes:
        wave: `[N]` at 16 kHz, without the quiet around what is said.
        reason: One of `REASONS` why it is no clip; "" where it is one.
    """

    wave: Wave
    reason: str = ""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.wave) / SAMPLE_RATE


def take(path: Path, most: float) -> Taken:
    """Read, trim and judge a file.

    Args:
        path: What a synthesiser wrote.
        most: Seconds that a clip may last, with the little quiet that is kept around the word.
    """
    try:
        raw, rate = soundfile.read(path, dtype="float32", always_2d=True)
        wave = audio.load(raw.T, sample_rate=rate, target_rate=SAMPLE_RATE).numpy()
    except (soundfile.LibsndfileError, AudioError):  # nothing in it: a voice need not know every word
        return Taken(np.zeros(0, np.float32), SILENT)
    peak = float(np.abs(wave).max(initial=0))
    # Some programs begin with the word, and leave no quiet to keep.
    trimmed = without_quiet(np.pad(wave, round(_AROUND * SAMPLE_RATE)), SAMPLE_RATE)
    if peak < _FAINT or len(trimmed) < (_SHORTEST + 2 * _AROUND) * SAMPLE_RATE:
        return Taken(trimmed, SILENT)
    if _cut_off(raw):
        return Taken(trimmed, CLIPPED)
    return Taken(trimmed * np.float32(_PEAK / peak), TOO_LONG if len(trimmed) > most * SAMPLE_RATE else "")


def _cut_off(raw: Wave) -> bool:
    """Whether samples `[N, channels]` stay at full scale."""
    full = np.asarray((np.abs(raw) >= _FULL).all(1), np.int64)
    return bool((np.convolve(full, np.ones(_CUT_OFF, np.int64)) >= _CUT_OFF).any())


def as_wav(wave: Wave, rate: int = SAMPLE_RATE) -> bytes:
    """A WAV file of 16 bits."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave.clip(-1, 1), rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def without_quiet(wave: Wave, rate: int) -> Wave:
    """What is within 40 dB of the loudest sample, and 60 ms around it."""
    loud = np.flatnonzero(np.abs(wave) > _QUIET * np.abs(wave).max(initial=0))
    if not len(loud):
        return wave
    around = round(_AROUND * rate)
    return wave[max(0, loud[0] - around) : loud[-1] + around]
