"""Clips of any length -> windows of the model's length."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# A clip at most this much longer than the window is still one window: recorders rarely stop on the sample.
CUT_SECONDS = 0.25


def fit(waveform: Tensor, num_samples: int) -> Tensor:
    """Make a clip exactly one window long.

    Args:
        waveform: `[N]`.
        num_samples: Window length in samples.

    Returns:
        `[num_samples]`: zeros added at the end of a shorter clip; a longer one loses its surplus at the
        quieter of its two ends.
    """
    surplus = waveform.shape[-1] - num_samples
    if surplus <= 0:
        return functional.pad(waveform, (0, -surplus))
    if waveform[:surplus].square().sum() < waveform[-surplus:].square().sum():
        return waveform[surplus:]
    return waveform[:num_samples]


def starts(length: int, num_samples: int, hop: int, cut: int) -> list[int]:
    """Where the windows of a clip begin, in samples.

    Args:
        length: Length of the clip.
        num_samples: Window length.
        hop: Distance between windows; the last one ends with the clip, so it may come sooner.
        cut: A clip at most this much longer than a window is one window.

    Returns:
        At least one position, rising.
    """
    last = length - num_samples
    if last <= cut:
        return [0]
    return [*range(0, last, hop), last]


def split(waveform: Tensor, num_samples: int, hop: int, cut: int) -> tuple[Tensor, list[int]]:
    """Windows of a clip `[N]`, `[W, num_samples]`, and where each begins."""
    begins = starts(waveform.shape[-1], num_samples, hop, cut)
    if len(begins) == 1:
        return fit(waveform, num_samples).unsqueeze(0), begins
    return torch.stack([waveform[begin : begin + num_samples] for begin in begins]), begins
