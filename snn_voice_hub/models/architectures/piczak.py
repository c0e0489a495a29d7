"""Piczak: two convolutions and three wide linear layers on the log-mel spectrogram, and its spiking twin.

Source: K. J. Piczak, "Environmental sound classification with convolutional neural networks", MLSP 2015,
in the form of J. Chang's study (`Eve-ning/snn_voice`). In the twin only the two convolutional blocks
spike; the linear layers keep their ReLUs and run at every step.
"""

from __future__ import annotations

from torch import Tensor, nn

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.models.base import ConvNetwork, blocks
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass, SpikingNetwork, over_time
from snn_voice_hub.models.registered import register_architecture

_CHANNELS = 80
_HIDDEN = 5000
_DROPOUT = 0.5
_FRONT_END = FeatureConfig(kind="logmel", normalization="clip")


class _Block(nn.Module):
    """Convolution, pooling, dropout: what comes before the nonlinearity."""

    def __init__(self, channels: int, kernel: tuple[int, int], pool: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, _CHANNELS, kernel)
        self.pool = nn.MaxPool2d(pool, stride=(1, 3))
        self.dropout = nn.Dropout(dropout)

    def current(self, x: Tensor) -> Tensor:
        """Input of the nonlinearity, `[B, C, bands, frames]`."""
        out: Tensor = self.dropout(self.pool(self.conv(x)))
        return out


class _SpikingBlock(_Block):
    def __init__(
        self, channels: int, kernel: tuple[int, int], pool: tuple[int, int], dropout: float, lif: Lif
    ) -> None:
        super().__init__(channels, kernel, pool, dropout)
        self.lif = lif


# channels in, kernel, pool, dropout
_LAYERS = ((1, (57, 6), (4, 3), _DROPOUT), (_CHANNELS, (1, 3), (1, 3), 0.0))


def _head(num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Linear(_CHANNELS, _HIDDEN), nn.Dropout(_DROPOUT), nn.ReLU()),
        nn.Sequential(nn.Linear(_HIDDEN, _HIDDEN), nn.Dropout(_DROPOUT), nn.ReLU()),
        nn.Sequential(nn.Linear(_HIDDEN, num_classes)),
    )


@register_architecture
class PiczakCNN(ConvNetwork):
    """The audio CNN on `[B, 1, 60, 134]`; 25.6 million parameters, nearly all in one linear layer.

    See `ConvNetwork` for the argument and errors.
    """

    min_shape = (60, 32)
    default_features = _FRONT_END

    def build(self) -> None:
        """See `Network.build`."""
        self.cnn = nn.Sequential(*(_Block(*shape) for shape in _LAYERS))
        self.fc = _head(self.num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `[B, C]` of log-mel spectrograms `[B, 1, 60, frames]`."""
        self.check_features(features)
        x = features
        for block in blocks(self.cnn, _Block):
            x = block.current(x).relu()
        out: Tensor = self.fc(x.mean((-2, -1)))
        return out


@register_architecture
class PiczakSNN(SpikingNetwork):
    """Piczak's CNN with LIF neurons in place of the ReLUs of the two convolutional blocks.

    See `SpikingNetwork` for the arguments and errors.
    """

    min_shape = PiczakCNN.min_shape
    default_features = _FRONT_END

    def build(self) -> None:
        """See `SpikingNetwork.build`."""
        self.snn = nn.Sequential(*(_SpikingBlock(*shape, self.make_lif(_CHANNELS)) for shape in _LAYERS))
        self.fc = _head(self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """See `SpikingNetwork.layers`; `x` is `[T, B, 1, 60, frames]`."""
        for i, block in enumerate(blocks(self.snn, _SpikingBlock)):
            x = run.fire(f"snn.{i}.lif", block.lif, over_time(block.current, x))
        x = x.mean((-2, -1))
        for hidden in self.fc[:-1]:
            x = hidden(x)
        return run.readout(self.fc.get_submodule("2.0"), x)
