"""Operations counted by hand; what is refused; whose twin is which; what a model says of its clips."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.inference.windows import fit
from snn_voice_hub.models.base import ConvNetwork
from snn_voice_hub.models.network import Pass, SpikingNetwork
from snn_voice_hub.registry import list_architectures
from snn_voice_hub.spikes.energy import Energy
from snn_voice_hub.spikes.energy_count import Counter
from snn_voice_hub.spikes.energy_layers import AC_PJ, LEFT_OUT, MAC_PJ
from snn_voice_hub.spikes.energy_measure import bundled_twin, twin_architecture, untrained_twin, write_energy
from snn_voice_hub.spikes.energy_plot import draw_energy
from tests.conftest import EXAMPLES

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


def test_every_architecture_has_its_twin() -> None:
    pairs = {name: twin_architecture(name) for name in list_architectures()}
    assert pairs.pop("HjhSCNN") == "HjhCNN"  # the hybrid spikes on its input only
    expected = {
        f"{stem}{kind}": f"{stem}{other}"
        for stem in ("Hjh", "M5", "Piczak", "ResMel", "Tcy")
        for kind, other in (("SNN", "CNN"), ("CNN", "SNN"))
    }
    assert expected.items() <= pairs.items()  # other tests register architectures of their own
    assert twin_architecture("Unheard") is None


@pytest.mark.parametrize(("name", "twin"), [("m5-snn", "m5-cnn"), ("resmel-cnn", "resmel-snn")])
def test_bundled_twins(name: str, twin: str) -> None:
    config = sv.SnnVoice.from_pretrained(name).config
    assert bundled_twin(config) == twin
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


# --- a model ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured() -> Energy:
    return sv.SnnVoice.from_pretrained("hjh-snn").energy(sorted(EXAMPLES.glob("*.wav"))[:3])


def test_a_model_against_its_twin(measured: Energy) -> None:
    assert (measured.model, measured.clips, measured.windows) == ("hjh-snn", 3, 3)
    twin = measured.twin
    assert twin is not None
    assert (twin.model, twin.clips, twin.windows, twin.num_steps) == ("hjh-cnn", 3, 3, 1)
    assert [layer.binary for layer in measured.layers] == [True, True, False]
    assert measured.dense == 5 * twin.dense == 5 * 7_626_416
    assert measured.energy_uj is not None
    assert twin.energy_uj is not None
    assert twin.macs is not None
    assert 0 < twin.macs < twin.dense
    assert measured.against()["effective"] == pytest.approx(measured.energy_uj / twin.energy_uj)
    assert measured.against()["dense"] == pytest.approx(measured.energy_uj / twin.dense_uj)
    # Neurons stand on the input: no layer sees the same at each step.
    assert measured.energy_once_uj == measured.energy_uj


def test_json_says_what_is_left_out(measured: Energy) -> None:
    found = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert (found["pj_a_mac"], found["pj_an_ac"]) == (4.6, 0.9)
    assert "Horowitz 2014, 45 nm" in found["constants"]
    assert found["left_out"] == LEFT_OUT
    assert "memory traffic" in LEFT_OUT
    assert sum(layer["synops"] for layer in found["layers"]) == pytest.approx(found["synops"], abs=2)
    assert found["twin"]["model"] == "hjh-cnn"
    assert [layer["name"] for layer in found["twin"]["layers"]] == ["cnn.0.conv", "cnn.1.conv", "fc"]
    assert found["share_of_twin"]["effective"] == pytest.approx(measured.against()["effective"], rel=1e-4)
    assert set(measured.summary()) == set(found) - {"layers", "activity"}


def test_the_table_says_it_too(measured: Energy) -> None:
    text = str(measured)
    assert "hjh-snn" in text
    assert "38,132,080" in text
    assert "times the energy of hjh-cnn, if both skip zeros" in text
    assert "Left out: memory traffic" in text
    assert max(map(len, text.splitlines())) <= 110


def test_clips_of_all_kinds_cost_the_same() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    data = YES.read_bytes()
    wanted = voice.energy(str(YES))
    assert (wanted.clips, wanted.windows) == (1, 1)
    for clip in (YES, data, io.BytesIO(data), [YES], (data,)):
        assert voice.energy(clip) == wanted
    assert voice.energy(audio.load(YES, target_rate=16_000), sample_rate=16_000) == wanted
    assert voice.energy([YES, YES], batch_size=1) == dataclasses.replace(
        wanted, clips=2, windows=2, twin=voice.energy([YES, YES]).twin
    )


def test_long_clips_are_several_windows() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    found = voice.energy([np.zeros(40_000, np.float32), YES], sample_rate=16_000, twin=False)
    assert (found.clips, found.windows, found.twin) == (2, 5, None)


def test_bad_clips_and_twins_are_named() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    with pytest.raises(sv.AudioError, match="clip 1: "):
        voice.energy([YES, b"no sound"])
    with pytest.raises(sv.AudioError, match=r"nowhere\.wav"):
        voice.energy([YES, "nowhere.wav"])
    with pytest.raises(sv.ConfigError, match="there is no clip"):
        voice.energy([])
    with pytest.raises(sv.CheckpointError, match="no checkpoint 'nobody'"):
        voice.energy(YES, twin="nobody")
    c = voice.config
    other = sv.SnnVoice(
        sv.TcyCNN(35), dataclasses.replace(c.features, num_samples=8000), c.labels, name="short"
    ).eval()
    with pytest.raises(sv.ConfigError, match="the twin short hears windows of 8,000 samples at 16,000 Hz"):
        voice.energy(YES, twin=other)


def test_a_twin_may_be_named_or_given() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    named = voice.energy(YES, twin="hjh-cnn")
    assert named.twin is not None
    assert named.twin.model == "hjh-cnn"
    assert voice.energy(YES, twin=sv.SnnVoice.from_pretrained("hjh-cnn")) == named


def test_a_batch_of_the_paper_is_counted_clip_by_clip() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    features = dataclasses.replace(voice.config.features, normalization="batch")
    paper = sv.SnnVoice(voice.network, features, voice.labels).eval()
    short = np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32)
    both = paper.energy([YES, short], sample_rate=16_000, twin=False)
    alone = [paper.energy(clip, sample_rate=16_000, twin=False).synops for clip in (YES, short)]
    assert both.synops == pytest.approx(sum(n for n in alone if n is not None) / 2)


# --- written and drawn --------------------------------------------------------------------------------


def test_totals_go_into_the_configuration_and_its_card(measured: Energy, tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("hjh-snn")
    voice.save_pretrained(tmp_path)
    before = voice.config.metrics
    write_energy(tmp_path, measured)
    written = sv.SnnVoice.from_pretrained(tmp_path).config.metrics
    assert written == before | {"energy": measured.summary()}
    from snn_voice_hub.hub.cards import make_card

    text = make_card(dataclasses.replace(voice.config, metrics=written)).text
    assert "| one window of sound | `hjh-snn` | `hjh-cnn` |" in text
    assert "| operations, if nothing is skipped | 38,132,080 | 7,626,416 |" in text
    assert "on average over 3 windows: 4.6 pJ a MAC, 0.9 pJ an AC (Horowitz 2014" in text
    assert "Left out: memory traffic" in text
    share = measured.against()["effective"]
    assert f"Energy against `hjh-cnn`: {share:.2f} times if both skip zeros" in text
    with pytest.raises(sv.CheckpointError):
        write_energy(tmp_path / "nowhere", measured)


@pytest.mark.parametrize("energy", [{}, {"synops": "many"}, {"twin": 3}, {"twin": {"macs": None}}, [1]])
def test_a_card_leaves_out_what_it_does_not_understand(energy: object) -> None:
    from snn_voice_hub.hub.cards import make_card

    config = dataclasses.replace(
        sv.SnnVoice.from_pretrained("tcy-cnn").config, metrics={"energy": energy, "parameters": 3535}
    )
    assert "Left out" not in make_card(config).text


def test_the_picture(measured: Energy, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name, energy in (("both", measured), ("alone", dataclasses.replace(measured, twin=None))):
        path = tmp_path / f"{name}.png"
        draw_energy(energy, path)
        pixels = np.asarray(image.open(path).convert("RGB"))
        assert pixels.shape[1] == 1100
        # The bars: accumulates are orange, the twin's layers light blue.
        assert (pixels == (213, 94, 0)).all(2).sum() > 1000
        assert ((pixels == (86, 180, 233)).all(2).sum() > 1000) == (name == "both")
    with pytest.raises(sv.ConfigError, match="can't be written"):
        draw_energy(measured, tmp_path / "none" / "x.png")
