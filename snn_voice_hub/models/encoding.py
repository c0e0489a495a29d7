"""How an input becomes a sequence over T steps: repeat · rate · latency (the paper's three replicas)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from snntorch import spikegen
from torch import Tensor

from snn_voice_hub.tensors import FLOAT32

# Those that make spikes of each clip.
DRAWN = ("rate", "latency")
ENCODINGS = ("repeat", *DRAWN)


def encode(
    features: Tensor, encoding: str, num_steps: int, clip_seeds: Sequence[int] | None = None
) -> Tensor:
    """Replicate features over the time steps.

    "rate" and "latency" scale the magnitude of the features to [0, 1] and make spikes of it, by
    `snntorch.spikegen` with the paper's arguments. The scale comes from the whole batch and draws from
    torch's global generator, as in the paper, unless `clip_seeds` are given: then each clip is scaled by
    itself and draws from a generator of its own, so that its answer does not depend on its batch-mates.

    Args:
        features: Model input `[B, 1, ...]`.
        encoding: One of `ENCODINGS`.
        num_steps: T.
        clip_seeds: One seed a clip, or None.

    Returns:
        `[1, B, 1, ...]` for "repeat" (the same at all steps), else spikes `[T, B, 1, ...]`.
    """
    if encoding == "repeat":
        return features.unsqueeze(0)
    if not len(features):
        return features.new_zeros((num_steps, *features.shape))
    magnitude = features.abs()
    if clip_seeds is None:
        return _spikes(_unit(magnitude), encoding, num_steps)
    if encoding == "latency":
        return torch.cat(
            [_spikes(_unit(clip), encoding, num_steps) for clip in torch.split(magnitude, 1)], dim=1
        )
    # Bernoulli draws are made on the CPU, where a seed gives the same spikes on every machine.
    drawn = []
    for clip, seed in zip(torch.split(magnitude, 1), clip_seeds, strict=True):
        generator = torch.Generator("cpu").manual_seed(seed)
        chance = _unit(clip).expand(num_steps, *clip.shape)
        uniform = torch.rand(chance.shape, generator=generator, **FLOAT32).to(chance.device)
        drawn.append((uniform < chance).to(features.dtype))
    return torch.cat(drawn, dim=1)


def seeds_of(waveforms: Tensor) -> list[int]:
    """A seed for each clip that follows from its sound alone.

    Args:
        waveforms: `[B, N]`.
    """
    return [zlib.crc32(wave.numpy().tobytes()) for wave in waveforms.detach().float().cpu()]


def _unit(x: Tensor) -> Tensor:
    """Scale to [0, 1]; a constant input (silence) becomes 0."""
    low, high = x.min(), x.max()
    return (x - low) / (high - low) if bool(high > low) else torch.zeros_like(x)


def _spikes(unit: Tensor, encoding: str, num_steps: int) -> Tensor:
    if encoding == "rate":
        # The draws of `spikegen.rate`, which makes a tensor on torch's default device and reads it.
        spikes = torch.bernoulli(unit.repeat(num_steps, *[1] * unit.ndim))
    else:
        spikes = spikegen.latency(unit, num_steps=num_steps, clip=True, threshold=0.01, normalize=True)
    return spikes.to(unit.dtype)
