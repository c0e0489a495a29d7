"""Resampling of sound that goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr

from snn_voice_lite.streaming.chunks import Samples

# A call of soxr takes about 15 µs, however few samples it gets; so many seconds of them are collected for it.
_BLOCK = 0.01


class Resampler:
    """Brings sound to another rate with the filter of `audio.load`; where it is cut changes no bit.

    Sample k of the result belongs to the time k / target. It comes later, as the filter looks ahead: by 40 ms
    at most from 44.1 and 48 kHz, by 120 ms from 8 kHz.

    Args:
        sample_rate: Of what comes, in Hz.
        target_rate: Of the result, in Hz.
    """

    def __init__(self, sample_rate: int, target_rate: int) -> None:
        self._rates = sample_rate, target_rate
        self._block = max(1, round(_BLOCK * sample_rate))
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        same = self._rates[0] == self._rates[1]
        self._stream: Any = (
            None if same else soxr.ResampleStream(*self._rates, 1, dtype="float32", quality="HQ")
        )
        self._waiting: list[Samples] = []
        self._count = 0

    def push(self, samples: Samples) -> Samples:
        """Take samples `[N]` and give those that are known now."""
        if self._stream is None:
            return samples
        self._waiting.append(samples)
        self._count += len(samples)
        return self._resampled(last=False) if self._count >= self._block else np.empty(0, np.float32)

    def end(self) -> Samples:
        """The last samples; as many come in all as belong to the time that was heard."""
        return np.empty(0, np.float32) if self._stream is None else self._resampled(last=True)

    def _resampled(self, *, last: bool) -> Samples:
        block = np.concatenate([np.empty(0, np.float32), *self._waiting])
        self._waiting, self._count = [], 0
        out: Samples = self._stream.resample_chunk(block, last=last)
        return out
