"""Clips of any length -> windows of the model's length."""

from __future__ import annotations

import torch
from snn_voice_lite.windows import CUT_SECONDS, starts
from torch import Tensor
from torch.nn import functional

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.errors import AudioError


def fit(waveforms: Tensor, num_samples: int) -> Tensor:
    """Make clips exactly one window long.

    Args:
        waveforms: `[..., N]`.
        num_samples: Window length in samples.

    Returns:
        `[..., num_samples]`: zeros added at the end of shorter clips; longer ones lose their surplus, each at
        the quieter of its two ends.
    """
    surplus = waveforms.shape[-1] - num_samples
    if surplus <= 0:
        return functional.pad(waveforms, (0, -surplus))
    first = waveforms[..., :surplus].square().sum(-1, keepdim=True)
    last = waveforms[..., -surplus:].square().sum(-1, keepdim=True)
    return torch.where(first < last, waveforms[..., surplus:], waveforms[..., :num_samples])


def fitted(waveforms: Tensor, config: FeatureConfig) -> Tensor:
    """Waveforms as a model's front end takes them: one window long, except under `normalization="batch"`.

    Args:
        waveforms: `[B, N]`.
        config: The front end.

    Raises:
        AudioError: They are no tensor, or longer than one window.
    """
    if not isinstance(waveforms, Tensor):
        raise AudioError(
            f"a model is called with a tensor [B, N], not with {type(waveforms).__name__}",
            hint="classify() takes files, bytes and arrays: model.classify(...)",
            code="bad_type",
        )
    if config.normalization == "batch" or waveforms.ndim != 2 or waveforms.shape[1] == config.num_samples:
        return waveforms  # of another shape, the front end says what is wrong
    if waveforms.shape[1] > config.num_samples + round(CUT_SECONDS * config.sample_rate):
        raise AudioError(
            f"waveforms of {waveforms.shape[1]} samples exceed the model's window of {config.num_samples}",
            hint="classify() and classify_windows() take clips of any length",
            code="too_long",
        )
    return fit(waveforms, config.num_samples)


def views(waveform: Tensor, num_samples: int, hop: int, cut: int) -> tuple[list[Tensor], list[int]]:
    """Windows of a clip `[N]`, each `[num_samples]`, and where they begin; several share its memory."""
    begins = starts(waveform.shape[-1], num_samples, hop, cut)
    if len(begins) == 1:
        return [fit(waveform, num_samples)], begins
    return [waveform[begin : begin + num_samples] for begin in begins], begins


def split(waveform: Tensor, num_samples: int, hop: int, cut: int) -> tuple[Tensor, list[int]]:
    """Windows of a clip `[N]`, `[W, num_samples]`, and where each begins."""
    windows, begins = views(waveform, num_samples, hop, cut)
    return torch.stack(windows), begins
