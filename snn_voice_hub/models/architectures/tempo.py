"""Tempo: residual causal convolutions over the frames of a log-mel spectrogram, and its spiking twin.

The time steps of the spiking network are those of the sound, 50 a second. Each frame is heard once, when it
comes; what was before it is in the membranes, and in the last few spikes of each layer, which the
convolutions take up as spikes with a delay. As in ResMel, the shortcuts carry
currents (Y. Hu et al., "Advancing spiking neural networks toward deep residual learning", 2021), every
convolution but the first sees binary spikes, and there is no pooling. Dilated causal convolutions over time
are those of S. Bai et al., "An empirical evaluation of generic convolutional and recurrent networks for
sequence modeling" (2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from snn_voice_hub.models.architectures.resmel import ResMelCNN
from snn_voice_hub.models.base import blocks
from snn_voice_hub.models.causal import CausalConvNorm
from snn_voice_hub.models.framed import Framed, FramedCNN, FramedSNN
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass
from snn_voice_hub.models.registered import register_architecture
from snn_voice_hub.models.wiring import NeuronLayer, Projection, Wiring

_BANDS = 40


class Shape(NamedTuple):
    """Of a residual block.

    Attributes:
        channels: Out.
        dilation1: Of the first convolution, in steps of its input.
        dilation2: Of the second one, in its own steps.
        stride: Steps of the input in one of the output.
    """

    channels: int
    dilation1: int
    dilation2: int
    stride: int = 1


class _Block(nn.Module):
    """The weights of one residual block; the two nonlinearities stand before its two convolutions."""

    def __init__(self, channels: int, shape: Shape) -> None:
        super().__init__()
        out_channels, dilation1, dilation2, stride = shape
        self.conv1 = CausalConvNorm(channels, out_channels, 3, stride, dilation1)
        self.conv2 = CausalConvNorm(out_channels, out_channels, 3, 1, dilation2)
        changes = stride > 1 or channels != out_channels
        self.shortcut = CausalConvNorm(channels, out_channels, 1, stride) if changes else None


class SpikingBlock(_Block):
    """A block with the neurons in the place of the nonlinearities."""

    def __init__(self, channels: int, shape: Shape, lif1: Lif, lif2: Lif) -> None:
        super().__init__(channels, shape)
        self.lif1 = lif1
        self.lif2 = lif2


class _Tempo(Framed):
    """The shape that both twins have.

    Attributes:
        stem_shape: Channels, taps and frames a step of the first convolution.
        block_shapes: Of the residual blocks.
    """

    min_shape = (_BANDS, 1)
    default_features = ResMelCNN.default_features
    frames_per_step = 2
    stem_shape: ClassVar[tuple[int, int, int]] = (128, 7, 2)
    block_shapes: ClassVar[tuple[Shape, ...]] = (
        Shape(128, 1, 1),
        Shape(128, 2, 2),
        Shape(144, 4, 4),
        Shape(160, 1, 2),
        Shape(160, 4, 4),
    )

    def make_stem(self) -> CausalConvNorm:
        channels, kernel, stride = self.stem_shape
        return CausalConvNorm(_BANDS, channels, kernel, stride)

    def shapes(self) -> Iterator[tuple[int, Shape]]:
        """Channels in, and shape, of each block."""
        channels = self.stem_shape[0]
        for shape in self.block_shapes:
            yield channels, shape
            channels = shape.channels

    def first(self, x: Tensor, stem: CausalConvNorm, run: Pass) -> Tensor:
        """What the stem makes of steps `[T, B, 1, 40, frames]`: `[T * k, B, C]`."""
        frames = x.squeeze(2).permute(0, 3, 1, 2).flatten(0, 1)
        out: Tensor = stem(run.with_past("stem", frames, stem.past))
        return out


@register_architecture
class TempoCNN(_Tempo, FramedCNN):
    """The residual network with ReLUs, on `[B, 1, 40, frames]`.

    See `FramedCNN` for the arguments and errors.
    """

    def build(self) -> None:
        """See `Network.build`."""
        self.stem = self.make_stem()
        self.cnn = nn.Sequential(*(_Block(*shape) for shape in self.shapes()))
        self.fc = nn.Linear(self.block_shapes[-1].channels, self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """See `Framed.layers`."""
        x = self.first(x, self.stem, run)
        for i, block in enumerate(blocks(self.cnn, _Block)):
            active = x.relu()
            short = x if block.shortcut is None else block.shortcut(active)
            current = block.conv1(run.with_past(f"cnn.{i}.conv1", active, block.conv1.past))
            active = current.relu()
            x = short + block.conv2(run.with_past(f"cnn.{i}.conv2", active, block.conv2.past))
        out: Tensor = self.fc(x.relu()) / self.num_steps
        return out


@register_architecture
class TempoSNN(_Tempo, FramedSNN):
    """The residual network with LIF neurons in place of the ReLUs.

    See `FramedSNN` for the arguments and errors.
    """

    def build(self) -> None:
        """See `SpikingNetwork.build`."""
        self.stem = self.make_stem()
        self.snn = nn.Sequential(
            *(
                SpikingBlock(channels, shape, self.make_lif(channels), self.make_lif(shape.channels))
                for channels, shape in self.shapes()
            )
        )
        self.lif = self.make_lif(self.block_shapes[-1].channels)
        self.fc = nn.Linear(self.block_shapes[-1].channels, self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """See `Framed.layers`."""
        x = self.first(x, self.stem, run)
        for i, block in enumerate(blocks(self.snn, SpikingBlock)):
            spk = run.fire(f"snn.{i}.lif1", block.lif1, x, steps=x.shape[0])
            short = x if block.shortcut is None else block.shortcut(spk)
            current = block.conv1(run.with_past(f"snn.{i}.conv1", spk, block.conv1.past))
            spk = run.fire(f"snn.{i}.lif2", block.lif2, current, steps=current.shape[0])
            x = short + block.conv2(run.with_past(f"snn.{i}.conv2", spk, block.conv2.past))
        spk = run.fire("lif", self.lif, x, steps=x.shape[0])
        out: Tensor = self.fc(spk) / self.num_steps
        return out

    def wiring(self) -> Wiring:
        """See `FramedSNN.wiring`: each of its layers is what stands before one of the neurons in `layers`."""
        found = blocks(self.snn, SpikingBlock)
        firsts = [*((f"snn.{i}.lif1", block.lif1) for i, block in enumerate(found)), ("lif", self.lif)]
        layers = [NeuronLayer(*firsts[0], (Projection("stem", self.stem),))]
        for i, block in enumerate(found):
            start = len(layers) - 1
            conv1 = Projection(f"snn.{i}.conv1", block.conv1, start)
            conv2 = Projection(f"snn.{i}.conv2", block.conv2, start + 1)
            layers.append(NeuronLayer(f"snn.{i}.lif2", block.lif2, (conv1,)))
            if block.shortcut is None:
                layers.append(NeuronLayer(*firsts[i + 1], (conv2,), start))
            else:
                short = Projection(f"snn.{i}.shortcut", block.shortcut, start)
                layers.append(NeuronLayer(*firsts[i + 1], (conv2, short)))
        return Wiring(tuple(layers), self.fc)
