"""Networks on frames in NIR: delays say what a layer remembers of the frames before."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.export.agreement import agreement
from snn_voice_hub.models.causal import CausalConvNorm
from tests.export.helpers import Even, EvenCNN, Slowing, features_of, on_frames, parts

nir = pytest.importorskip("nir")


@pytest.mark.parametrize("neurons", ["lif", "parts", None])
@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (Even, {"num_steps": 30}),
        (Even, {"reset": "subtract-before-decay", "threshold": 0.75, "beta_per_channel": True}),
        pytest.param(Slowing, {}, marks=pytest.mark.slow),
        pytest.param(
            Slowing,
            {"reset": "subtract-before-decay", "threshold": 0.75, "beta_per_channel": True},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_delays_say_the_network(
    cls: type[sv.TempoSNN], arguments: dict[str, Any], neurons: str | None, tmp_path: Path
) -> None:
    from snn_voice_hub.export.nir.files import compare, export_nir, load

    network = on_frames(cls, **arguments)
    path = tmp_path / "m.nir"
    if cls is Slowing and neurons == "lif":
        why = r"snn\.1\.lif2 steps once where others step 2 times, and a LIF node is reset at any step"
        with pytest.raises(SnnVoiceError, match=why) as refused:
            export_nir(*_spiking(network), path, neurons=neurons)
        assert refused.value.code == "not_exportable"
        assert "--neurons parts" in refused.value.hint
        assert not path.exists()
        return
    written = export_nir(*_spiking(network), path, neurons=neurons)
    read = load(path)
    features = features_of(network)
    with torch.no_grad():
        found = compare(network, read, features)
        assert torch.equal(found.expected, network(features)) or torch.allclose(
            found.expected, network(features)
        )
        outputs, expected = read.forward_steps(features), network.forward_steps(features)
        # More frames than make an answer.
        longer = torch.cat([features, features.flip(0)], -1)
        assert agreement(read(longer), network(longer)).good
    assert found.equal >= 0.9999 * found.neurons
    assert agreement(found.logits, found.expected).good
    assert outputs.shape == expected.shape
    same = (outputs - expected).abs().amax((0, 2)) < 1e-5
    assert same.float().mean() > 0.7
    assert written.equal_spikes > 0.9999

    kinds = Counter(type(node).__name__ for node in nir.read(path).nodes.values())
    assert kinds["Delay"] > 0
    assert (kinds["LIF"] > 0) == (cls is Even and neurons != "parts")
    facts = nir.read(path).metadata
    assert facts["neurons"] == (neurons or ("lif" if cls is Even else "parts"))
    assert (facts["frames_per_step"], facts["steps_per_output"]) == ((2, 1) if cls is Even else (1, 4))
    assert facts["step_seconds"] == pytest.approx(0.02 if cls is Even else 0.01)


def _spiking(network: sv.TempoSNN) -> tuple[sv.TempoSNN, VoiceConfig]:
    return network, parts(network)[1]


def test_each_tap_is_a_node_behind_its_delay(tmp_path: Path) -> None:
    from snn_voice_hub.export.nir.files import export_nir

    network = on_frames(Even)
    graph = nir.read(export_nir(*_spiking(network), tmp_path / "m.nir").path)
    dt = graph.metadata["dt"]
    into = {target: [a for a, b in graph.edges if b == target] for target in graph.nodes}
    assert graph.nodes["input"].output_type["output"].tolist() == [80]
    # The second block looks back by 2 and 4 steps, at the spikes of its first neurons.
    for back in (0, 2, 4):
        source = "snn_1_lif1" if not back else f"snn_1_lif1_ago{back}"
        assert into[f"snn_1_conv1_back{back}"] == [source]
        if back:
            assert graph.nodes[source].delay == pytest.approx(np.full(24, back * dt))
            assert into[source] == ["snn_1_lif1"]
    # Batch norm is in the weights: tap 2 is for the newest step.
    layer: Any = network.snn[1].conv1  # type: ignore[union-attr]
    scale = layer.bn.weight / (layer.bn.running_var + layer.bn.eps).sqrt()
    newest = layer.conv.weight[..., 2] * scale.unsqueeze(1)
    assert torch.from_numpy(graph.nodes["snn_1_conv1_back0"].weight).allclose(newest, atol=1e-6)
    # Two frames come in a step, one after the other; the seventh tap is for the newest.
    stem: Any = network.stem
    scale = stem.bn.weight / (stem.bn.running_var + stem.bn.eps).sqrt()
    both = torch.cat([stem.conv.weight[..., 5], stem.conv.weight[..., 6]], 1) * scale.unsqueeze(1)
    assert torch.from_numpy(graph.nodes["stem_back0"].weight).allclose(both, atol=1e-6)
    oldest = graph.nodes["stem_back3"].weight
    assert (oldest[:, :40] == 0).all()
    assert (oldest[:, 40:] != 0).any()


def test_delays_that_are_read(tmp_path: Path) -> None:
    from snn_voice_hub.export.nir.files import export_nir, load

    network = on_frames(Even)
    path = export_nir(*_spiking(network), tmp_path / "m.nir").path
    with pytest.raises(ConfigError, match=r"the graph got features of shape \[2, 1, 40, 2\]"):
        load(path)(torch.zeros(2, 1, 40, 2))
    for delay in (np.full(24, 1.5e-4), np.linspace(1e-4, 24e-4, 24), np.full(24, -1e-4)):
        graph = nir.read(path)
        graph.nodes["snn_1_lif1_ago2"].delay = delay
        nir.write(tmp_path / "other.nir", graph)
        with pytest.raises(SnnVoiceError, match="'snn_1_lif1_ago2' delays by no whole number of steps"):
            load(tmp_path / "other.nir")
    graph = nir.read(path)
    graph.metadata.pop("steps_per_output")
    nir.write(tmp_path / "other.nir", graph)
    with pytest.raises(SnnVoiceError, match="metadata are damaged"):
        load(tmp_path / "other.nir")


class _Averaging(Even):
    """Hears how far two frames are from their mean."""

    def first(self, x: Tensor, stem: Any, run: Any) -> Tensor:
        return super().first(x - x.mean(-1, keepdim=True), stem, run)


class _Bare(Even):
    """Its output is the sum of two convolutions."""

    def layers(self, x: Tensor, run: Any) -> Tensor:
        block: Any = self.snn[1]
        spk = run.fire("snn.1.lif1", block.lif1, self.first(x, self.stem, run))
        return (block.shortcut(spk) + block.conv1(run.with_past("past", spk, block.conv1.past))) / 2


def test_an_output_is_one_node(tmp_path: Path) -> None:
    from snn_voice_hub.export.nir.files import compare, export_nir, load

    network = on_frames(_Bare, num_steps=20)
    config = sv.SnnVoice(on_frames(Even), labels=[f"word {i}" for i in range(7)]).config
    path = export_nir(network, config, tmp_path / "m.nir").path
    with torch.no_grad():
        found = compare(network, load(path), features_of(network))
    torch.testing.assert_close(found.logits, found.expected, rtol=1e-5, atol=1e-4)
    assert [source for source, target in nir.read(path).edges if target == "output"] == ["divided"]


class _Sigmoid(Even):
    def layers(self, x: Tensor, run: Any) -> Tensor:
        return super().layers(x, run).sigmoid()


class _Mixed(Even):
    """Takes the values of two frames for those of two others."""

    def first(self, x: Tensor, stem: Any, run: Any) -> Tensor:
        return super().first(x.reshape(len(x), -1, 1, 2, 40).transpose(3, 4), stem, run)


@pytest.mark.parametrize(
    ("cls", "why"),
    [
        (_Averaging, "do not take the frames one after the other"),
        (_Sigmoid, "has the operation sigmoid"),
        (_Mixed, "do not take the frames one after the other"),
    ],
)
def test_what_delays_can_not_say(cls: type[sv.TempoSNN], why: str, tmp_path: Path) -> None:
    from snn_voice_hub.export.nir.files import export_nir

    with pytest.raises(SnnVoiceError, match=why) as refused:
        export_nir(*_spiking(on_frames(cls)), tmp_path / "m.nir")
    assert refused.value.code == "not_exportable"
    assert "--to onnx" in refused.value.hint


def test_twins_without_neurons_are_refused(tmp_path: Path) -> None:
    from snn_voice_hub.export.nir.files import export_nir

    network = EvenCNN(num_classes=7).eval()
    with pytest.raises(SnnVoiceError, match="EvenCNN can't be said in NIR: it has no spiking neurons"):
        export_nir(*parts(network), tmp_path / "m.nir")


def test_batch_norm_is_one_product_and_a_sum() -> None:
    network = on_frames(Even)
    for module in network.modules():
        if isinstance(module, CausalConvNorm):
            x = torch.randn(module.past + 4 * module.stride, 3, module.conv.in_channels)
            with torch.no_grad():
                torch.testing.assert_close(module.folded()(x), module(x), atol=1e-5, rtol=1e-5)
