"""HJH: two small convolutions on the log-mel spectrogram, its spiking twin, and the hybrid HJH-S.

Source: J. Chang's study (`Eve-ning/snn_voice`). About 4,000 parameters. The spiking twin puts a bare
layer of neurons on the input, one neuron a spectrogram cell; the hybrid keeps that layer and goes on as
a plain CNN.
"""

from __future__ import annotations

from torch import Tensor, nn

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.models.base import ConvNetwork, blocks
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass, SpikingNetwork, over_time
from snn_voice_hub.models.registered import register_architecture

# channels in, channels out, pooling after the nonlinearity (1: none)
_LAYERS = ((1, 8, 2), (8, 16, 1))
_FRONT_END = FeatureConfig(kind="logmel", normalization="clip")


class _Block(nn.Module):
    """Convolution and batch norm, then pooling of what the nonlinearity between them made."""

    def __init__(self, channels: int, out_channels: int, pool: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 5, padding="same")
        self.bn = nn.BatchNorm2d(out_channels)
        self.pool = nn.MaxPool2d(pool) if pool > 1 else nn.Identity()

    def current(self, x: Tensor) -> Tensor:
        """Input of the nonlinearity, `[B, C, bands, frames]`."""
        out: Tensor = self.bn(self.conv(x))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """The block as part of a CNN, with a ReLU."""
        out: Tensor = self.pool(self.current(x).relu())
        return out


class _SpikingBlock(_Block):
    def __init__(self, channels: int, out_channels: int, pool: int, lif: Lif) -> None:
        super().__init__(channels, out_channels, pool)
        self.lif = lif


@register_architecture
class HjhCNN(ConvNetwork):
    """Two blocks of convolution, batch norm and ReLU on `[B, 1, 60, 134]`.

    See `ConvNetwork` for the argument and errors.
    """

    min_shape = (2, 2)
    default_features = _FRONT_END

    def build(self) -> None:
        """See `Network.build`."""
        self.cnn = nn.Sequential(*(_Block(*shape) for shape in _LAYERS))
        self.fc = nn.Linear(_LAYERS[-1][1], self.num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `[B, C]` of log-mel spectrograms `[B, 1, bands, frames]`."""
        self.check_features(features)
        out: Tensor = self.fc(self.cnn(features).mean((-2, -1)))
        return out


@register_architecture
class HjhSNN(SpikingNetwork):
    """HJH with a bare LIF layer on the input and LIF neurons in place of the ReLUs.

    With `encoding="latency"` and a threshold of 1 or more the input layer gets one spike of 1.0 in all and
    never exceeds its threshold: the network stays silent, and says so in a warning.
    See `SpikingNetwork` for the arguments and errors.
    """

    min_shape = HjhCNN.min_shape
    default_features = _FRONT_END
    lif_on_input = True

    def build(self) -> None:
        """See `SpikingNetwork.build`."""
        spiking = (_SpikingBlock(*shape, self.make_lif(shape[1])) for shape in _LAYERS)
        self.snn = nn.Sequential(self.make_lif(1), *spiking)
        self.fc = nn.Linear(_LAYERS[-1][1], self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """See `SpikingNetwork.layers`; `x` is `[T, B, 1, bands, frames]`."""
        (on_input,) = blocks(self.snn, Lif, slice(1))
        x = run.fire("snn.0", on_input, x)
        for i, block in enumerate(blocks(self.snn, _SpikingBlock, slice(1, None)), start=1):
            x = run.fire(f"snn.{i}.lif", block.lif, over_time(block.current, x), then=block.pool)
        return run.readout(self.fc, x.mean((-2, -1)))


@register_architecture
class HjhSCNN(SpikingNetwork):
    """The hybrid HJH-S: a bare LIF layer on the input, then the plain CNN at every step.

    With `encoding="latency"` it stays silent, as `HjhSNN`. See `SpikingNetwork` for the arguments and errors.
    """

    min_shape = HjhCNN.min_shape
    default_features = _FRONT_END
    lif_on_input = True

    def build(self) -> None:
        """See `SpikingNetwork.build`."""
        self.snn = nn.Sequential(self.make_lif(1))
        self.cnn = nn.Sequential(*(_Block(*shape) for shape in _LAYERS))
        self.fc = nn.Linear(_LAYERS[-1][1], self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """See `SpikingNetwork.layers`; `x` is `[T, B, 1, bands, frames]`."""
        (on_input,) = blocks(self.snn, Lif)
        x = over_time(self.cnn, run.fire("snn.0", on_input, x))
        return run.readout(self.fc, x.mean((-2, -1)))
