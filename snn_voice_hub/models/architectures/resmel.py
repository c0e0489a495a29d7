"""ResMel: residual 1-D convolutions over time on a log-mel spectrogram, and its spiking twin.

The mel bands are the channels of the first convolution, as in S. Choi et al., "Temporal convolution for
real-time keyword spotting on mobile devices", Interspeech 2019. In the spiking twin the shortcuts carry
currents, not spikes (Y. Hu et al., "Advancing spiking neural networks toward deep residual learning",
2021): every convolution but the first sees binary spikes, every nonlinearity is a LIF layer, and there is
no max pooling, so the network maps one to one to neuromorphic hardware.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.models.base import ConvNetwork, blocks
from snn_voice_hub.models.layers import BatchNorm1d, Conv1d
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass, SpikingNetwork, over_time
from snn_voice_hub.models.registered import register_architecture

_BANDS = 40
# channels, stride of each residual block
_BLOCKS = ((96, 1), (128, 2), (128, 1), (192, 2), (192, 1))
_STEM = 96
_FRONT_END = FeatureConfig(
    kind="logmel",
    # It keeps the fricatives that 4 kHz loses: s, f, th.
    feature_rate=16_000,
    n_fft=512,
    win_length=400,
    hop_length=160,
    n_mels=_BANDS,
    f_min=20.0,
    f_max=7600.0,
    # Above the rounding noise of 16-bit sound, so that digital silence and a quiet room look alike.
    log_offset=1e-5,
    ignore_below=None,
    zero_below=None,
    # Measured over 4,000 training clips of Speech Commands by `snn_voice_hub.training.fitting.constants`.
    feature_mean=-6.3294,
    feature_std=4.3441,
)


class _ConvNorm(nn.Module):
    """Convolution without bias, then batch norm."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = Conv1d(channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, frames]` -> `[B, C', frames / stride]`."""
        out: Tensor = self.bn(self.conv(x))
        return out


class _Block(nn.Module):
    """The weights of one residual block; the two nonlinearities stand before its two convolutions."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(channels, out_channels, 3, stride)
        self.conv2 = _ConvNorm(out_channels, out_channels, 3)
        changes = stride > 1 or channels != out_channels
        self.shortcut = _ConvNorm(channels, out_channels, 1, stride) if changes else None


class _SpikingBlock(_Block):
    def __init__(self, channels: int, out_channels: int, stride: int, lif1: Lif, lif2: Lif) -> None:
        super().__init__(channels, out_channels, stride)
        self.lif1 = lif1
        self.lif2 = lif2


def _shapes() -> Iterator[tuple[int, int, int]]:
    """Channels in, channels out and stride of each block."""
    channels = _STEM
    for out_channels, stride in _BLOCKS:
        yield channels, out_channels, stride
        channels = out_channels


@register_architecture
class ResMelCNN(ConvNetwork):
    """The residual network with ReLUs, on `[B, 1, 40, frames]`.

    See `ConvNetwork` for the argument and errors.
    """

    min_shape = (_BANDS, 1)
    default_features = _FRONT_END

    def build(self) -> None:
        """See `Network.build`."""
        self.stem = _ConvNorm(_BANDS, _STEM, 5, 2)
        self.cnn = nn.Sequential(*(_Block(*shape) for shape in _shapes()))
        self.fc = nn.Linear(_BLOCKS[-1][0], self.num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `[B, C]` of log-mel spectrograms `[B, 1, 40, frames]`."""
        self.check_features(features)
        x = self.stem(features.squeeze(1))
        for block in blocks(self.cnn, _Block):
            active = x.relu()
            short = x if block.shortcut is None else block.shortcut(active)
            x = short + block.conv2(block.conv1(active).relu())
        out: Tensor = self.fc(x.relu().mean(-1))
        return out


@register_architecture
class ResMelSNN(SpikingNetwork):
    """The residual network with LIF neurons in place of the ReLUs.

    See `SpikingNetwork` for the arguments and errors.
    """

    min_shape = ResMelCNN.min_shape
    default_features = _FRONT_END

    def build(self) -> None:
        """See `SpikingNetwork.build`."""
        self.stem = _ConvNorm(_BANDS, _STEM, 5, 2)
        self.snn = nn.Sequential(
            *(_SpikingBlock(*shape, self.make_lif(shape[0]), self.make_lif(shape[1])) for shape in _shapes())
        )
        self.lif = self.make_lif(_BLOCKS[-1][0])
        self.fc = nn.Linear(_BLOCKS[-1][0], self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """See `SpikingNetwork.layers`; `x` is `[T, B, 1, 40, frames]`."""
        x = over_time(self.stem, x.squeeze(2))
        for i, block in enumerate(blocks(self.snn, _SpikingBlock)):
            spk = run.fire(f"snn.{i}.lif1", block.lif1, x)
            short = x if block.shortcut is None else over_time(block.shortcut, spk)
            x = over_time(block.conv1, spk)
            spk = run.fire(f"snn.{i}.lif2", block.lif2, x)
            x = short + over_time(block.conv2, spk)
        spk = run.fire("lif", self.lif, x)
        return run.readout(self.fc, spk.mean(-1))
