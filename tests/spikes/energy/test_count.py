"""Operations counted by hand; what is refused; whose twin is which."""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.inference.windows import fit
from snn_voice_hub.models.base import ConvNetwork
from snn_voice_hub.models.network import Pass, SpikingNetwork
from snn_voice_hub.spikes.energy.count import Counter
from snn_voice_hub.spikes.energy.estimate import Energy
from snn_voice_hub.spikes.energy.layers import AC_PJ, MAC_PJ
from snn_voice_hub.spikes.energy.measure import bundled_twin, twin_architecture, untrained_twin
from tests.models.lively import BUNDLED, CNNS, SNNS
from tests.places import EXAMPLES

YES = EXAMPLES / "yes.wav"


def count(network: nn.Module, x: Tensor, **about: Any) -> Energy:
    counter = Counter(network.eval())
    counter.count(x)
    return counter.energy(**about)


def filled(layer: Any, weight: list[Any], bias: float | None = None) -> Any:
    layer.weight.data = torch.tensor(weight, dtype=torch.float32)
    if bias is not None:
        layer.bias.data.fill_(bias)
    return layer


# --- by hand ------------------------------------------------------------------------------------------


def test_a_convolution_by_hand() -> None:
    """Input 2 0 3 0 0; kernel 1 0 4 beside a kernel of ones; padded by 1.

    Dense: each of the 5 outputs has 3 products, but for the two at the ends, where one is padding: 13 a
    kernel. Effective: the inputs that are not zero are at 0 and 2. The first meets a kernel at 2 places, the
    second at 3: of the ones 5 products, of 1 0 4 the middle falls away in each: 3.
    """
    conv = filled(nn.Conv1d(1, 2, 3, padding=1), [[[1, 0, 4]], [[1, 1, 1]]], bias=7.0)
    found = count(nn.Sequential(conv), torch.tensor([[[2.0, 0, 3, 0, 0]]]))
    (layer,) = found.layers
    assert (layer.name, layer.dense, layer.macs, layer.acs) == ("0", 26, 8, 0)
    assert found.energy_uj == pytest.approx(8 * 4.6e-6)
    assert found.dense_uj == pytest.approx(26 * 4.6e-6)
    assert found.footprint == 4 * (6 + 2)
    assert (found.num_steps, found.neuron_updates, found.state, found.activation_sparsity) == (1, 0, 0, None)


def test_inputs_of_ones_cost_accumulates() -> None:
    conv = filled(nn.Conv1d(1, 1, 2, bias=False), [[[1, 5]]])
    found = count(nn.Sequential(conv), torch.tensor([[[1.0, 0, -1]], [[0, 0, 0]]]))
    (layer,) = found.layers
    # The mean over two windows: 1 and 1 products in the first, none in the second.
    assert (layer.binary, layer.dense, layer.macs, layer.acs) == (True, 4, 0, 1)
    assert found.energy_uj == pytest.approx(0.9e-6)


def test_silence_is_no_spike_to_a_cnn() -> None:
    """All inputs are zero: of neurons they would cost accumulates, of sound they cost none, or products."""
    found = count(nn.Sequential(nn.Linear(3, 2)), torch.zeros(1, 3))
    assert not found.layers[0].binary
    assert (found.macs, found.dense_uj) == (0, pytest.approx(6 * 4.6e-6))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
        (nn.Conv2d(3, 5, (3, 5), dilation=(2, 1), padding="same"), (2, 3, 7, 6)),
        (nn.Conv3d(2, 2, 2), (1, 2, 3, 4, 3)),
        (nn.Linear(6, 4), (2, 3, 6)),
    ],
)
def test_every_kind_of_layer(layer: Any, shape: tuple[int, ...]) -> None:
    """Against the layer itself with ones for what is not zero."""
    x = torch.randn(shape) * (torch.rand(shape) < 0.4)
    layer.weight.data *= torch.rand(layer.weight.shape) < 0.7
    found = count(nn.Sequential(layer), x)
    layer.bias.data.zero_()
    layer.weight.data = (layer.weight != 0).float()
    assert found.macs == pytest.approx(float(layer((x != 0).float()).sum().detach()) / len(x))
    layer.weight.data.fill_(1)
    assert found.dense == pytest.approx(float(layer(torch.ones_like(x)).sum().detach()) / len(x))


class Tiny(SpikingNetwork):
    """Two linear layers with neurons between them, on `[B, 1, 2]`."""

    min_shape = (2,)

    def build(self) -> None:
        self.first = filled(nn.Linear(2, 3, bias=False), [[1, 0], [1, 1], [0, 1]])
        self.lif = self.make_lif()
        self.fc = filled(nn.Linear(3, self.num_classes, bias=False), [[1, 1, 1], [1, 0, 1]])

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        return run.readout(self.fc, run.fire("lif", self.lif, self.first(x).squeeze(2)))


def test_a_spiking_network_by_hand() -> None:
    """Beta 0.5, threshold 1, input 0.75 and 0 at each of three steps.

    Currents are 0.75, 0.75, 0. Membranes of the first two neurons: 0.75, then 1.125, which is a spike, then
    0.5625 + 0.75 - 1 = 0.3125. So both fire once, at the second step. The input that is not zero meets two
    weights that are not, at three steps: 6 products. In the last layer neuron 0 has two such weights, neuron
    1 has one: 3 accumulates.
    """
    found = count(Tiny(2, num_steps=3), torch.tensor([[[0.75, 0.0]]]), clips=1)
    first, last = found.layers
    assert (first.name, first.dense, first.macs, first.binary, first.constant) == (
        "first",
        18,
        6,
        False,
        True,
    )
    assert (last.name, last.dense, last.acs, last.binary, last.constant) == ("fc", 18, 3, True, False)
    assert found.synops == 9
    assert found.energy_uj == pytest.approx((6 * MAC_PJ + 3 * AC_PJ) * 1e-6)
    assert found.energy_once_uj == pytest.approx((2 * MAC_PJ + 3 * AC_PJ) * 1e-6)
    assert found.dense_uj == pytest.approx((18 * MAC_PJ + 18 * AC_PJ) * 1e-6)
    assert found.activation_sparsity == pytest.approx(7 / 9)
    assert (found.neuron_updates, found.state) == (9, 12)


def test_with_one_step_nothing_is_repeated() -> None:
    found = count(Tiny(2, num_steps=1), torch.tensor([[[0.75, 0.0]]]))
    assert found.energy_once_uj == found.energy_uj
    # No neuron fires: the last layer sees spikes all the same, none.
    assert found.layers[1].binary


def test_drawn_spikes_cost_accumulates_from_the_first_layer_on() -> None:
    counter = Counter(Tiny(2, num_steps=20, encoding="rate").eval())
    counter.count(torch.tensor([[[1.0, 0.0]], [[1.0, 0.5]]]), [1, 2])
    found = counter.energy()
    assert [layer.binary for layer in found.layers] == [True, True]
    assert found.macs == 0
    assert not found.layers[0].constant


def test_batches_do_not_matter() -> None:
    network, x = Tiny(2, num_steps=4).eval(), torch.rand(5, 1, 2)
    whole, parts = Counter(network), Counter(network)
    whole.count(x)
    for part in x.split(2):
        parts.count(part)
    assert whole.energy() == parts.energy()


# --- what is refused, and what is left alone ----------------------------------------------------------


class Foreign(ConvNetwork):
    """With a layer that is not counted."""

    def build(self) -> None:
        self.layer: nn.Module = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        out = self.layer(features)
        return (out[0] if isinstance(out, tuple) else out).flatten(1)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.ConvTranspose1d(1, 1, 2), "conv_transpose1d"),
        (nn.LSTM(4, 2), "lstm"),
        (nn.GRU(4, 2), "gru"),
        (nn.MultiheadAttention(4, 2), "multi_head_attention_forward"),
        (nn.Bilinear(4, 4, 2), "bilinear"),
    ],
)
def test_layers_that_are_not_counted_are_refused(layer: nn.Module, name: str) -> None:
    network = Foreign(2).eval()
    network.layer = layer.eval()
    if isinstance(layer, nn.MultiheadAttention | nn.Bilinear):
        inner = layer
        network.forward = lambda x: inner(*[x] * (2 if name == "bilinear" else 3))  # type: ignore[method-assign,assignment]
    with pytest.raises(sv.ConfigError, match=f"calls {name}, whose operations are not counted"):
        count(network, torch.ones(2, 1, 4))


def test_matrix_products_are_refused() -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ x.mT

    with pytest.raises(sv.ConfigError, match="calls matmul"):
        count(Product(), torch.ones(2, 3, 4))


def test_a_network_in_training_mode_is_refused() -> None:
    with pytest.raises(sv.ConfigError, match="training mode"):
        Counter(Tiny(2).train())


def test_counting_changes_no_answer_of_this_or_another_thread(default_model: sv.SnnVoice) -> None:
    network = default_model.network
    files = sorted(EXAMPLES.glob("*.wav"))
    waves = [fit(audio.load(file).unsqueeze(0), 16_000)[0] for file in files]
    with torch.inference_mode():
        x = default_model.features(torch.stack(waves))
        before = network(x)
    counter, answers = Counter(network), []

    def other() -> None:
        with torch.inference_mode():
            answers.extend(network(x) for _ in range(5))

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(5):
        counted = counter.count(x)
    thread.join()
    # Another order of summation, which may flip the spike of a membrane at its threshold.
    for other_logits in (counted, *answers):
        near = ((other_logits - before).abs().amax(1) <= 1e-4 * before.abs().amax(1)).sum()
        assert near >= len(files) - 1
        assert torch.equal(other_logits.argmax(1), before.argmax(1))
    assert counter.windows == 5 * len(files)


# --- twins --------------------------------------------------------------------------------------------


def test_every_bundled_architecture_has_its_twin() -> None:
    for name in BUNDLED:
        twin = twin_architecture(name)
        assert twin in (SNNS if name in CNNS else CNNS)
        # The hybrid spikes on its input only, and its twin is that of the whole.
        assert twin_architecture(str(twin)) == name or name == "HjhSCNN"
    assert twin_architecture("HjhSCNN") == twin_architecture("HjhSNN") == "HjhCNN"
    assert twin_architecture("Unheard") is None


@pytest.mark.parametrize(("name", "twin"), [("m5-snn", "m5-cnn"), ("resmel-cnn", "resmel-snn")])
def test_bundled_twins(name: str, twin: str) -> None:
    config = sv.SnnVoice.from_pretrained(name).config
    assert bundled_twin(config) == bundled_root() / twin
    assert bundled_twin(dataclasses.replace(config, name="mine")) is None
    # A name says nothing of a model with other layers, or another window.
    assert bundled_twin(dataclasses.replace(config, architecture="TcySNN")) is None
    longer = dataclasses.replace(config.features, num_samples=32_000)
    assert bundled_twin(dataclasses.replace(config, features=longer)) is None


def test_an_unbundled_twin_is_known_by_its_shapes() -> None:
    voice = sv.SnnVoice(sv.HjhSNN(3, num_steps=2), labels=["a", "b", "c"]).eval()
    state = torch.random.get_rng_state()
    found = voice.energy(YES)
    assert torch.equal(torch.random.get_rng_state(), state)
    twin = found.twin
    assert twin is not None
    assert (twin.architecture, twin.windows, twin.macs, twin.energy_uj) == ("HjhCNN", 0, None, None)
    assert twin.activity == ()
    assert twin.dense == found.dense / 2
    shares = found.against()
    assert shares["effective"] is None
    assert found.energy_uj is not None
    assert shares["dense"] == pytest.approx(found.energy_uj / twin.dense_uj)
    json.dumps(found.to_dict(), allow_nan=False)
    assert "HjhCNN (shapes only)" in str(found)
    assert untrained_twin(sv.SnnVoice.from_pretrained("m5-cnn").config) is None
