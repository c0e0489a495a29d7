"""Networks on frames for tests: of any wiring, with weights of which every sum is exact.

Weights, statistics and frames are multiples of 1/8, and batch norms scale by 1/2, 1 or 2: a current is the
same float in whatever order it is summed, and the membranes follow it by the same operations everywhere. So
the kernels have to give PyTorch's outputs and states, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.models.architectures.tempo import Shape
from snn_voice_hub.models.causal import CausalConvNorm
from snn_voice_hub.models.framed import FramedSNN
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass
from snn_voice_hub.models.wiring import NeuronLayer, Projection, Wiring
from tests.models.lively import stir


@dataclass(frozen=True)
class Ear:
    """A projection: what it hears (None: the frames), kernel, stride and dilation."""

    source: int | None
    kernel: int
    stride: int
    dilation: int


@dataclass(frozen=True)
class Drawing:
    """A layer: its channels, what it hears, and whose current it adds."""

    channels: int
    ears: tuple[Ear, ...]
    residual: int | None = None


class Wired(FramedSNN):
    """The network of some drawings."""

    def __init__(self, drawings: list[Drawing], bands: int, frames: int, **settings: Any) -> None:
        self.drawings, self.bands = drawings, bands
        super().__init__(**{"num_classes": 5, "num_steps": 4, **settings})
        self.frames_per_step = frames  # type: ignore[misc]
        self.feature_dims, self.min_shape = 2, (bands, 1)

    def build(self) -> None:
        self.convs, self.lifs = nn.ModuleList(), nn.ModuleList()
        for drawing in self.drawings:
            channels = [
                self.bands if ear.source is None else self.drawings[ear.source].channels
                for ear in drawing.ears
            ]
            self.convs.append(
                nn.ModuleList(
                    CausalConvNorm(into, drawing.channels, ear.kernel, ear.stride, ear.dilation)
                    for into, ear in zip(channels, drawing.ears, strict=True)
                )
            )
            self.lifs.append(self.make_lif(drawing.channels))
        self.fc = nn.Linear(self.drawings[-1].channels, self.num_classes)

    def wiring(self) -> Wiring | None:
        layers = []
        for i, drawing in enumerate(self.drawings):
            convs, lif = self.convs[i], self.lifs[i]
            assert isinstance(convs, nn.ModuleList)
            assert isinstance(lif, Lif)
            heard = []
            for j, (ear, conv) in enumerate(zip(drawing.ears, convs, strict=True)):
                assert isinstance(conv, CausalConvNorm)
                heard.append(Projection(f"convs.{i}.{j}", conv, ear.source))
            layers.append(NeuronLayer(f"lifs.{i}", lif, tuple(heard), drawing.residual))
        return Wiring(tuple(layers), self.fc)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        frames = x.squeeze(2).permute(0, 3, 1, 2).flatten(0, 1)
        found = self.wiring()
        assert found is not None
        currents: list[Tensor] = []
        spikes: list[Tensor] = []
        for layer in found.layers:
            parts = []
            for heard in layer.projections:
                source = frames if heard.source is None else spikes[heard.source]
                parts.append(heard.conv(run.with_past(heard.name, source, heard.conv.past)))
            current = torch.stack(parts).sum(0)
            if layer.residual is not None:
                current = currents[layer.residual] + current
            currents.append(current)
            spikes.append(run.fire(layer.name, layer.lif, current, steps=len(current)))
        out: Tensor = self.fc(spikes[-1]) / self.num_steps
        return out


@torch.no_grad()
def exact(network: sv.Network, seed: int = 0) -> sv.Network:
    """Give a network such weights, under which its neurons fire now and then; then it evaluates."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(like: Tensor, low: int, high: int) -> Tensor:
        return torch.randint(low, high, like.shape, generator=generator) / 8

    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eps = 0.0  # and the variance is 1
            assert module.running_mean is not None
            module.running_mean.copy_(drawn(module.running_mean, -4, 5))
            module.weight.copy_(2.0 ** torch.randint(-1, 2, module.weight.shape, generator=generator))
            module.bias.copy_(drawn(module.bias, -6, 7))
        elif isinstance(module, nn.Conv1d | nn.Linear):
            module.weight.copy_(drawn(module.weight, -4, 5))
            if module.bias is not None:
                module.bias.copy_(drawn(module.bias, -4, 5))
    return network.eval()


def drawn_steps(network: FramedSNN, steps: int, streams: int, seed: int = 0) -> Tensor:
    """Steps `[T, B, 1, n_mels, frames_per_step]` of multiples of 1/8."""
    shape = (steps, streams, 1, network.min_shape[0], network.frames_per_step)
    return torch.randint(-12, 13, shape, generator=torch.Generator().manual_seed(seed)) / 8


def shaped(
    stem: tuple[int, int, int] = (24, 3, 2), *shapes: Shape, classes: int = 7, **arguments: Any
) -> sv.TempoSNN:
    """A TempoSNN of other widths, strides and dilations, with fresh weights."""

    class Shaped(sv.TempoSNN):
        frames_per_step = 4
        stem_shape = stem
        block_shapes = shapes or (Shape(24, 1, 1), Shape(33, 2, 4), Shape(17, 1, 1, 2))

    return Shaped(classes, **{"num_steps": 4, **arguments})


def small(**arguments: Any) -> sv.TempoSNN:
    """A small one whose neurons fire."""
    network = stir(shaped(**arguments)).eval()
    assert isinstance(network, sv.TempoSNN)
    return network


def sound(steps: int, streams: int, seed: int = 0, frames: int = 4) -> Tensor:
    """Steps of noise."""
    return torch.randn(steps, streams, 1, 40, frames, generator=torch.Generator().manual_seed(seed))
