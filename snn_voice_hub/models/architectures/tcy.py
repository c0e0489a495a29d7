"""TCY: average pooling and one linear layer on the log-mel spectrogram, and its spiking twin.

Source: J. Chang's study (`Eve-ning/snn_voice`), where it is the smallest of the four: 3,535 parameters.
"""

from __future__ import annotations

from torch import Tensor, nn

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.models.base import ConvNetwork, blocks
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass, SpikingNetwork
from snn_voice_hub.models.registered import register_architecture

_GRID = 10
_FRONT_END = FeatureConfig(kind="logmel", normalization="clip")


@register_architecture
class TcyCNN(ConvNetwork):
    """Average pooling of `[B, 1, 60, 134]` to a grid of 10 × 10, then one linear layer.

    See `ConvNetwork` for the argument and errors.
    """

    min_shape = (1, 1)
    default_features = _FRONT_END

    def build(self) -> None:
        """See `Network.build`."""
        self.pool = nn.AdaptiveAvgPool2d(_GRID)
        self.fc = nn.Linear(_GRID**2, self.num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `[B, C]` of log-mel spectrograms `[B, 1, bands, frames]`."""
        self.check_features(features)
        out: Tensor = self.fc(self.pool(features).flatten(1))
        return out


@register_architecture
class TcySNN(SpikingNetwork):
    """TCY with a bare LIF layer on the input.

    With `encoding="latency"` and a threshold of 1 or more that layer gets one spike of 1.0 in all and never
    exceeds its threshold: the network stays silent, and says so in a warning.
    See `SpikingNetwork` for the arguments and errors.
    """

    min_shape = TcyCNN.min_shape
    default_features = _FRONT_END
    lif_on_input = True

    def build(self) -> None:
        """See `SpikingNetwork.build`."""
        self.snn = nn.Sequential(self.make_lif(1))
        self.pool = nn.AdaptiveAvgPool2d(_GRID)
        self.fc = nn.Linear(_GRID**2, self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """See `SpikingNetwork.layers`; `x` is `[T, B, 1, bands, frames]`."""
        (on_input,) = blocks(self.snn, Lif)
        x = run.fire("snn.0", on_input, x, then=self.pool)
        return run.readout(self.fc, x.flatten(2))
