"""Membranes of chosen neurons over the time steps, as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.plotting import COLOURS, INK
from snn_voice_hub.spikes.record import Row

Neurons = Mapping[str, Sequence[int]]
Traced = Mapping[str, Sequence[tuple[str, int]]]


def traced_neurons(row: Row, neurons: Neurons | None = None) -> Traced:
    """The neurons whose membranes are drawn, with a label each.

    Args:
        row: What was recorded, with membranes.
        neurons: Layer name -> numbers. By default three of the first, a middle and the last layer: one that
            fires most, one that fires late, and one that comes near its threshold and never fires.

    Raises:
        ConfigError: There is no such neuron, or no membranes were recorded.
    """
    row = row.in_time()
    mem = row.mem
    if not mem:
        raise ConfigError("no membranes were recorded", hint="record_spikes(mem=True)")
    if neurons is None:
        names = list(mem)
        picked = dict.fromkeys((names[0], names[len(names) // 2], names[-1]))
        return {name: _telling(row.spk[name], mem[name]) for name in picked}
    for name, numbers in neurons.items():
        if name not in mem:
            raise ConfigError(f"there is no layer {name!r}", hint=f"the layers are {', '.join(mem)}")
        count = mem[name][0].numel()
        if bad := [number for number in numbers if not 0 <= number < count]:
            raise ConfigError(f"{name} has no neuron {bad[0]}", hint=f"0 to {count - 1}")
        if len(numbers) > len(COLOURS):
            raise ConfigError(f"{len(numbers)} neurons of {name} are too many", hint=f"up to {len(COLOURS)}")
    return {name: [(f"neuron {n:,}", n) for n in numbers] for name, numbers in neurons.items()}


def _telling(spk: Tensor, mem: Tensor) -> list[tuple[str, int]]:
    """A neuron that fires much, one that fires late, and one that nearly fires."""
    fires, level = spk.flatten(1), mem.flatten(1)
    count = fires.sum(0)
    first = torch.where(count > 0, fires.byte().argmax(0), -1)
    silent = level.amax(0).masked_fill(count > 0, -math.inf)
    found = []
    if int(count.max()):
        found.append(("fires most", int(count.argmax())))
    if int(first.max()) > 0:
        found.append(("fires late", int(first.argmax())))
    if float(silent.max()) > -math.inf:
        found.append(("comes near", int(silent.argmax())))
    return [(f"{what}\n({n:,})", n) for what, n in found]


def draw_membranes(
    figure: Any,
    row: Row,
    thresholds: Mapping[str, float],
    traced: Traced,
    span: tuple[float, float] | None = None,
) -> None:
    """Membranes over the time steps, a panel for each layer.

    Args:
        figure: Matplotlib's figure, or a part of one.
        row: What was recorded.
        thresholds: Layer name -> firing threshold.
        traced: From `traced_neurons`.
        span: When the sound begins and ends, in seconds, where the time steps are those of the sound.
    """
    row = row.in_time()
    axes = figure.subplots(1, len(traced), squeeze=False)[0]
    for axis, (name, neurons) in zip(axes, traced.items(), strict=True):
        level, fires = row.mem[name].flatten(1), row.spk[name].flatten(1)
        # Of what is before the first step, and after each.
        first, last = span or (0.0, float(len(level)))
        times = np.linspace(first, last, len(level) + 1)
        threshold = thresholds[name]
        axis.axhline(threshold, color=INK, linestyle="--", linewidth=1)
        for (label, number), colour in zip(neurons, COLOURS, strict=False):
            trace, spikes = level[:, number].numpy(), fires[:, number].numpy()
            axis.plot(times, [0, *trace], color=colour, linewidth=1.6, label=label)
            size = 6 if span is None else 3
            axis.plot(times[1:][spikes], trace[spikes], "o", color=colour, markersize=size)
        axis.set_title(f"{name}, threshold {threshold:.2g}", fontsize=10)
        if span is None:
            axis.set_xticks(range(0, len(level) + 1, max(1, len(level) // 6)))
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.suptitle(
        f"Membranes of some neurons over the {'time steps' if span is None else 'sound'}; a dot is a spike",
        x=0.012,
        ha="left",
        fontsize=11,
        fontweight="bold",
    )
