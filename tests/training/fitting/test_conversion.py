"""A trained CNN as a spiking network: thresholds by percentiles, with no training."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.audio import load
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.hub.cards.text import card_body
from snn_voice_hub.inference.windows import fit as fit_length
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.training.fitting.conversion import convert
from snn_voice_hub.training.fitting.fit import Job, fit
from snn_voice_hub.training.fitting.teaching import adopt
from tests.places import ROOT
from tests.training.helpers import dataset, recipe

EXAMPLES = sorted((ROOT / "examples").glob("*.wav"))


def spoken(voice: sv.SnnVoice) -> tuple[Tensor, Tensor]:
    """Features of the example clips, each also quieter and later, and their words."""
    waves = torch.stack([fit_length(load(path), 16_000) for path in EXAMPLES])
    waves = torch.cat([waves, waves * 0.5, waves.roll(800, 1)])
    words = torch.tensor([voice.labels.index(path.stem) for path in EXAMPLES] * 3)
    return voice.features(waves), words


def twin(name: str, cnn: sv.SnnVoice, **arguments: object) -> SpikingNetwork:
    network: SpikingNetwork = getattr(sv, name)(num_classes=len(cnn.labels), **arguments).eval()
    adopt(network, cnn.network.state_dict(), cnn.labels, cnn.labels)
    return network.eval()


@pytest.mark.parametrize(("name", "percentile"), [("ResMelSNN", 95), ("M5SNN", 98)])
@torch.no_grad()
def test_the_twin_answers_as_the_cnn(name: str, percentile: float) -> None:
    cnn = sv.SnnVoice.from_pretrained({"ResMelSNN": "resmel-cnn", "M5SNN": "m5-cnn"}[name])
    x, words = spoken(cnn)
    network = twin(name, cnn, num_steps=8)
    before = (network(x).argmax(1) == words).float().mean()
    thresholds = convert(network, x.split(8), percentile)
    after = (network(x).argmax(1) == words).float().mean()
    assert before < 0.3
    assert after > 0.8
    assert thresholds == {
        layer: float(lif.threshold) for layer, lif in network.named_modules() if isinstance(lif, Lif)
    }
    # As large as the logits of the CNN, so that training goes on from there and not from a plateau.
    assert 0.5 < float(network(x).std() / cnn.network(x).std()) < 1.5


@torch.no_grad()
def test_thresholds_are_the_percentiles_of_the_relus() -> None:
    cnn = sv.HjhCNN(num_classes=4).eval()
    network = sv.HjhSNN(num_classes=4, beta=0.25).eval()
    labels = ["a", "b", "c", "d"]
    adopt(network, cnn.state_dict(), labels, labels)
    x = torch.randn(6, 1, 60, 134, generator=torch.Generator().manual_seed(2)) * 2
    x[:, :, 0, 0] = 50.0  # an outlier
    block = cnn.cnn[0]
    first = block.current(x).relu()  # type: ignore[operator, union-attr]
    second = cnn.cnn[1].current(block.pool(first)).relu()  # type: ignore[operator, union-attr]
    found = convert(network, x.split(3), 90.0)
    wanted = {"snn.0": x.relu(), "snn.1.lif": first, "snn.2.lif": second}
    for name, active in wanted.items():
        assert found[name] == pytest.approx(float(active.flatten().quantile(0.9)) / 1.75, rel=0.03), name


@torch.no_grad()
def test_a_silent_layer_keeps_its_threshold_and_the_mode_stays() -> None:
    network = sv.M5SNN(num_classes=4)
    for name, value in network.state_dict().items():
        if name in ("snn.1.bn.weight", "snn.1.bn.bias"):
            value.fill_(-1.0 if name.endswith("bias") else 0.0)
    x = torch.randn(4, 1, 4000)
    again = copy.deepcopy(network)
    assert convert(network, [x], 95.0)["snn.1.lif"] == 1.0
    assert network.training
    convert(again, [x], 95.0)
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.state_dict().values(), network.state_dict().values(), strict=True)
    )


def test_training_starts_with_them(tmp_path: Path) -> None:
    clips = dataset(8, 2)
    base = fit(
        Job(name="cnn", recipe=recipe(architecture="HjhCNN", network={}, epochs=1)), clips, tmp_path / "cnn"
    )
    job = Job(
        name="snn",
        recipe=recipe(architecture="HjhSNN", epochs=1, lr=1e-9, threshold_percentile=95.0),
        start=base.folder,
    )
    made = fit(job, clips, tmp_path / "snn")
    config = VoiceConfig.load(made.folder / "config.json")
    weights = load_file(made.folder / "model.safetensors")
    assert list(config.training["thresholds"]) == ["snn.0", "snn.1.lif", "snn.2.lif"]
    for name, value in config.training["thresholds"].items():
        assert float(weights[f"{name}.threshold"]) == pytest.approx(value, rel=1e-3)
        assert value != 1.0
    assert "from the activations of the CNN twin; layer by layer" in card_body(config, ".")


def test_a_percentile_is_checked() -> None:
    assert recipe(threshold_percentile=100.0).threshold_percentile == 100.0
    with pytest.raises(sv.ConfigError, match="threshold_percentile"):
        recipe(threshold_percentile=101.0)
