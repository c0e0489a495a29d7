"""Two convolutions over time on a log-mel spectrogram, and their spiking twin."""

from torch import Tensor, nn

from snn_voice_hub import ConvNetwork, FeatureConfig, Network, SpikingNetwork
from snn_voice_hub.models import Pass, over_time

BANDS = 40
FRONT_END = FeatureConfig(
    kind="logmel",
    feature_rate=16_000,
    n_fft=512,
    win_length=400,
    hop_length=160,
    n_mels=BANDS,
    log_offset=1e-5,
)


class Layers(Network):
    """The layers that both have, under the same names: so one can start from the weights of the other."""

    min_shape = (BANDS, 1)
    default_features = FRONT_END

    def build(self) -> None:
        """Make the layers."""
        self.first = nn.Sequential(nn.Conv1d(BANDS, 32, 5, stride=2, padding=2), nn.BatchNorm1d(32))
        self.second = nn.Sequential(nn.Conv1d(32, 48, 5, stride=2, padding=2), nn.BatchNorm1d(48))
        self.fc = nn.Linear(48, self.num_classes)


class MyCNN(Layers, ConvNetwork):
    """With ReLUs."""

    def forward(self, features: Tensor) -> Tensor:
        """Logits `[B, C]` of log-mel spectrograms `[B, 1, 40, frames]`."""
        self.check_features(features)
        x = self.first(features.squeeze(1)).relu()
        return self.fc(self.second(x).relu().mean(-1))


class MySNN(Layers, SpikingNetwork):
    """With LIF neurons in their place."""

    def build(self) -> None:
        """Make the layers and the neurons."""
        super().build()
        self.lif1 = self.make_lif(32)
        self.lif2 = self.make_lif(48)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """Logits of the steps; `x` is `[T, B, 1, 40, frames]`."""
        spk = run.fire("lif1", self.lif1, over_time(self.first, x.squeeze(2)))
        spk = run.fire("lif2", self.lif2, over_time(self.second, spk))
        return run.readout(self.fc, spk.mean(-1))
