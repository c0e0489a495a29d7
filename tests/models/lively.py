"""Networks with fresh weights whose layers all spike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.features import Features
from snn_voice_hub.models import architectures
from snn_voice_hub.models.framed import Framed

# The bundled networks, those of packages aside.
BUNDLED: tuple[str, ...] = tuple(architectures.__all__)
SNNS = tuple(name for name in BUNDLED if issubclass(getattr(sv, name), sv.SpikingNetwork))
CNNS = tuple(name for name in BUNDLED if name not in SNNS)
# Those whose time steps are the sound's own; the other spiking ones repeat a window.
FRAMED = tuple(name for name in BUNDLED if issubclass(getattr(sv, name), Framed))
REPEATING = tuple(name for name in SNNS if name not in FRAMED)


def lively(name: str, **arguments: Any) -> sv.Network:
    """A network in evaluation mode, with batch norms that have seen something."""
    network: sv.Network = getattr(sv, name)(**arguments)
    return stir(network).eval()


@torch.no_grad()
def stir(network: sv.Network) -> sv.Network:
    """Give a network's layers weights and statistics under which neurons fire now and then."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.2, 0.6, generator=generator)
            module.weight.uniform_(0.5, 1.5, generator=generator)
            module.bias.normal_(0, 0.3, generator=generator)
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            spread = 1 / module.weight[0].numel() ** 0.5
            module.weight.normal_(0, spread, generator=generator)
    return network


def small_shape(cls: type[sv.Network]) -> tuple[int, ...]:
    """Dimensions of one clip's features that are quick to compute with, and enough for every layer."""
    return tuple(map(max, cls.min_shape, (13, 21)[-cls.feature_dims :]))


def features_of(network: sv.Network, count: int, seed: int = 1) -> Tensor:
    """Features of noise, `[count, 1, ...]`."""
    waves = torch.randn(count, 16_000, generator=torch.Generator().manual_seed(seed)) * 0.1
    return Features(network.default_features)(waves)
