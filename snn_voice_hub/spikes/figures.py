"""Figures of recorded spikes: how often neurons fire, which never do, which always, and when first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def in_time(spk: Tensor) -> Tensor:
    """A layer of a network whose time steps are those of the sound, in the order of time.

    Args:
        spk: Its spikes or membranes, `[T, B, C]`, or `[T, B, C, k]` where it steps k times in a step.

    Returns:
        `[T * k, B, C]`.
    """
    return spk if spk.ndim < 4 else spk.movedim(-1, 1).flatten(0, 1)


def rates(spk: Tensor) -> Tensor:
    """Share of the steps in which each neuron fires, over all clips.

    Args:
        spk: Spikes of a layer, `[T, B, ...]`, of any type.

    Returns:
        `[...]`, float32, 0 to 1. Their mean is the layer's firing rate.
    """
    return spk.bool().sum((0, 1)) / (spk.shape[0] * spk.shape[1])


def dead(spk: Tensor) -> Tensor:
    """Which neurons never fire: at no step of any clip.

    Args:
        spk: Spikes of a layer, `[T, B, ...]`.

    Returns:
        `[...]`, bool.
    """
    return ~spk.bool().flatten(0, 1).any(0)


def saturated(spk: Tensor) -> Tensor:
    """Which neurons always fire: at every step of every clip. They tell nothing, and cost most.

    Args:
        spk: Spikes of a layer, `[T, B, ...]`.

    Returns:
        `[...]`, bool.
    """
    return spk.bool().flatten(0, 1).all(0)


def first_spikes(spk: Tensor) -> Tensor:
    """The step in which each neuron fires first, for each clip.

    Args:
        spk: Spikes of a layer, `[T, B, ...]`.

    Returns:
        `[B, ...]`, int64: 0 for the first step, T for a neuron that never fires.
    """
    fires = spk.bool()
    return torch.where(fires.any(0), fires.byte().argmax(0), len(spk))


@dataclass(frozen=True)
class LayerFigures:
    """The spikes of one layer in a few numbers.

    Attributes:
        neurons: How many neurons it has.
        rate: Spikes a neuron and step of the layer, 0 to 1.
        dead: Neurons that never fire.
        saturated: Neurons that fire at every step.
        first_spike: Mean step of the first spike, from 1 to T, over the neurons that fire; None if none does.
    """

    neurons: int
    rate: float
    dead: int
    saturated: int
    first_spike: float | None


def layer_figures(spk: Tensor, *, framed: bool = False) -> LayerFigures:
    """The figures of one layer.

    Args:
        spk: Its spikes, `[T, B, ...]`.
        framed: Whether the time steps are those of the sound, so that spikes may be `[T, B, C, k]`.
    """
    first = first_spikes(spk.bool().any(-1) if framed and spk.ndim == 4 else spk)
    fired = first[first < len(spk)]
    spk = in_time(spk) if framed else spk
    return LayerFigures(
        neurons=spk[0, 0].numel(),
        rate=float(rates(spk).mean()),
        dead=int(dead(spk).sum()),
        saturated=int(saturated(spk).sum()),
        first_spike=float(fired.double().mean()) + 1 if len(fired) else None,
    )
