"""Sound in, waveform out: `snn_voice_lite.audio`, with its result as a tensor."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from snn_voice_lite import audio
from snn_voice_lite.audio import (
    MAX_ENCODED_BYTES,
    MAX_SAMPLE_RATE,
    MIN_SAMPLE_RATE,
    SUFFIXES,
    SUPPORTED_FORMATS,
    blocks_of,
    check_rate,
)

__all__ = [
    "MAX_ENCODED_BYTES",
    "MAX_SAMPLE_RATE",
    "MIN_SAMPLE_RATE",
    "SUFFIXES",
    "SUPPORTED_FORMATS",
    "AudioSource",
    "blocks_of",
    "check_rate",
    "load",
]

AudioSource: TypeAlias = (
    audio.AudioSource | torch.Tensor | tuple[torch.Tensor, int] | tuple[int, torch.Tensor]
)


def load(
    source: AudioSource,
    *,
    sample_rate: int | None = None,
    target_rate: int = 16_000,
    max_seconds: float = 600.0,
) -> torch.Tensor:
    """Read sound from anywhere as one mono waveform; see `snn_voice_lite.audio.load`.

    Args:
        source: As there.
        sample_rate: Rate in Hz of an array that comes without one.
        target_rate: Rate of the result in Hz.
        max_seconds: Longest sound that is accepted, in seconds; `math.inf` for no limit.

    Returns:
        Waveform `[N]` at `target_rate`, N >= 1: finite, float32, contiguous, on the CPU, with memory of
        its own. Full scale is [-1, 1].

    Raises:
        AudioError: As there.
    """
    given: Any = source  # a tensor is known there by what it can do
    wave = audio.load(given, sample_rate=sample_rate, target_rate=target_rate, max_seconds=max_seconds)
    return torch.from_numpy(wave)
