"""M5: 1-D convolutions on the waveform, and its spiking twin.

Source: W. Dai et al., "Very deep convolutional neural networks for raw waveforms", ICASSP 2017, in the
form of J. Chang's study (`Eve-ning/snn_voice`): twice the channels of the original in the last layers.
"""

from __future__ import annotations

from torch import Tensor, nn

from snn_voice_hub.models.base import ConvNetwork, blocks
from snn_voice_hub.models.layers import BatchNorm1d, Conv1d
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass, SpikingNetwork, over_time
from snn_voice_hub.models.registered import register_architecture

# in, out, kernel, stride
_LAYERS = ((1, 128, 80, 4), (128, 128, 3, 1), (128, 256, 3, 1), (256, 512, 3, 1))


class _Block(nn.Module):
    """Convolution and batch norm, then pooling of what the nonlinearity between them made."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = Conv1d(channels, out_channels, kernel, stride, padding=kernel // 2 - 1)
        self.bn = BatchNorm1d(out_channels)
        self.pool = nn.MaxPool1d(4)

    def current(self, x: Tensor) -> Tensor:
        """Input of the nonlinearity, `[B, C, N]`."""
        out: Tensor = self.bn(self.conv(x))
        return out


class _SpikingBlock(_Block):
    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int, lif: Lif) -> None:
        super().__init__(channels, out_channels, kernel, stride)
        self.lif = lif


@register_architecture
class M5CNN(ConvNetwork):
    """Four blocks of convolution, batch norm, ReLU and max pooling on `[B, 1, 4000]`.

    See `ConvNetwork` for the argument and errors.
    """

    # Below this the last pooling has nothing left to pool.
    min_shape = (1694,)

    def build(self) -> None:
        """See `Network.build`."""
        self.cnn = nn.Sequential(*(_Block(*shape) for shape in _LAYERS))
        self.fc = nn.Linear(_LAYERS[-1][1], self.num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `[B, C]` of waveforms `[B, 1, N]` at 4 kHz."""
        self.check_features(features)
        x = features
        for block in blocks(self.cnn, _Block):
            x = block.pool(block.current(x).relu())
        out: Tensor = self.fc(x.mean(-1))
        return out


@register_architecture
class M5SNN(SpikingNetwork):
    """M5 with LIF neurons in place of the ReLUs, before each max pooling.

    See `SpikingNetwork` for the arguments and errors.
    """

    min_shape = M5CNN.min_shape

    def build(self) -> None:
        """See `SpikingNetwork.build`."""
        self.snn = nn.Sequential(*(_SpikingBlock(*shape, self.make_lif(shape[1])) for shape in _LAYERS))
        self.fc = nn.Linear(_LAYERS[-1][1], self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """See `SpikingNetwork.layers`; `x` is `[T, B, 1, N]` at 4 kHz."""
        for i, block in enumerate(blocks(self.snn, _SpikingBlock)):
            x = run.fire(f"snn.{i}.lif", block.lif, over_time(block.current, x), then=block.pool)
        return run.readout(self.fc, x.mean(-1))
