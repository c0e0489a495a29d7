"""The sound and the weights behind `tests/golden/`: formulas, not recordings."""

from __future__ import annotations

import math
import zlib
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Factors without which a spiking layer would stay silent or fire always.
GAINS = {
    "M5SNN": {f"snn.{i}.conv.weight": gain for i, gain in enumerate((1.5, 2.5, 3.0, 3.5))},
    "PiczakSNN": {"snn.0.conv.weight": 1.25, "snn.1.conv.weight": 1.5},
    "HjhSNN": {"snn.1.conv.weight": 3.0, "snn.2.conv.weight": 4.0, "fc.weight": 3.0},
    "HjhSCNN": {"fc.weight": 3.0},
}


def waveform(clip: int) -> Tensor:
    """Three chirps under Gaussian envelopes and a little noise: one second at 16 kHz, rounded to int16."""
    rng = np.random.default_rng(1000 + clip)
    time = np.arange(16_000) / 16_000
    sound = np.zeros(16_000)
    for _ in range(3):
        begin, end = rng.uniform(150, 1800, 2)
        centre, width, gain = rng.uniform(0.2, 0.8), rng.uniform(0.05, 0.2), rng.uniform(0.1, 0.3)
        phase = 2 * np.pi * (begin * time + (end - begin) * time**2 / 2)
        sound += gain * np.exp(-(((time - centre) / width) ** 2)) * np.sin(phase)
    sound += 0.003 * rng.standard_normal(16_000)
    samples = np.round(np.clip(sound, -1, 1) * 32767)
    return torch.from_numpy((samples / 32768).astype(np.float32))


@cache  # Piczak's 25 million are wanted for each of its cases
def drawn(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Normal values that follow from a name."""
    draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    return np.asarray(draw, dtype=np.float32)


def weights(
    model: str, state: dict[str, Tensor], *, learn_beta: bool, learn_threshold: bool
) -> dict[str, Tensor]:
    """Values for every entry of a state dict, by its name alone."""
    filled = dict(state)
    for name, old in state.items():
        leaf = name.rpartition(".")[2]
        fixed = {"num_batches_tracked": True, "beta": not learn_beta, "threshold": not learn_threshold}
        if fixed.get(leaf, False):
            continue
        shape = tuple(old.shape)
        n = drawn(name, shape)
        if leaf == "running_var":
            value = 1 + 0.1 * np.abs(n)
        elif leaf == "beta":
            value = 0.5 + 0.2 * n
        elif leaf == "threshold" or (".bn." in name and leaf == "weight"):
            value = 1 + 0.1 * n
        elif len(shape) > 1:
            value = n / math.sqrt(math.prod(shape[1:]))
        else:
            value = 0.1 * n
        gain = np.float32(GAINS.get(model, {}).get(name, 1.0))
        filled[name] = torch.from_numpy(np.asarray(value * gain, dtype=np.float32).copy())
    return filled
