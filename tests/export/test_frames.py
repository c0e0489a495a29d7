"""Networks on frames as files: whole clips, one step with its state, and delays in NIR."""

from __future__ import annotations

import json
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
from snn_voice_hub.export.onnx import export_network
from snn_voice_hub.export.step import export_onnx_step
from snn_voice_hub.export.whole import export_onnx, export_torch
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.causal import CausalConvNorm
from snn_voice_hub.models.framed import LEAD, Framed
from tests.export.helpers import Even, EvenCNN, Slowing, lively, on_frames, recordings, spike_rates
from tests.models.lively import stir
from tests.slowness import mostly_slow

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def parts(network: Network) -> tuple[Network, VoiceConfig]:
    voice = sv.SnnVoice(network, labels=[f"word {i}" for i in range(7)])
    return network, voice.config


def features_of(network: Network) -> Tensor:
    with torch.no_grad():
        return sv.SnnVoice(network, labels=[f"word {i}" for i in range(7)]).features(recordings())


def session_of(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(session: Any, **inputs: Tensor) -> list[Tensor]:
    outputs = session.run(None, {name: x.contiguous().numpy() for name, x in inputs.items()})
    return [torch.from_numpy(output) for output in outputs]


@pytest.mark.parametrize("cls", [Even, Slowing])
def test_what_is_exported_here_is_worth_comparing(cls: type[sv.TempoSNN]) -> None:
    network = on_frames(cls)
    rates = spike_rates(network, features_of(network))
    assert len(rates) == 2 * len(cls.block_shapes) + 1
    assert all(0.01 < rate < 0.9 for rate in rates.values()), rates


# --- whole clips ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (Even, {"reset": "subtract-before-decay", "threshold": 0.75, "num_steps": 30}),
        (Slowing, {"beta_per_channel": True}),
    ],
)
def test_graph_has_the_networks_logits(cls: type[sv.TempoSNN], arguments: dict[str, Any]) -> None:
    network = on_frames(cls, **arguments)
    model = export_network(network)
    onnx.checker.check_model(model, full_check=True)
    features = features_of(network)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in (features, features[:1]):
        x = network.encoded(batch)
        with torch.no_grad():
            (logits,) = run(session, input=x)
            assert agreement(logits, network.forward_encoded(x)).good
    kinds = Counter(node.op_type for node in model.graph.node)
    # A layer of 25 steps and more is one node, and batch norm is in the weights.
    assert kinds["Scan"] == 2 * len(cls.block_shapes) + 1
    assert kinds["BatchNormalization"] == 0
    assert len(model.graph.node) < 300
    assert {node.domain for node in model.graph.node} == {""}


@pytest.mark.slow
def test_few_steps_are_unrolled() -> None:
    network = on_frames(Even)
    model = export_network(network, clip_shape=(40, 7))
    assert Counter(node.op_type for node in model.graph.node)["Scan"] == 0
    x = network.encoded(features_of(network)[..., 40:47])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        assert x.shape[0] == 3
        assert agreement(run(session, input=x)[0], network.forward_encoded(x)).good


def test_sound_in_and_scores_out(tmp_path: Path) -> None:
    network = on_frames(Even)
    voice = sv.SnnVoice(network, labels=list("abcdefg"), engine="torch").eval()
    exact = export_onnx(network, voice.config, tmp_path / "m.onnx")
    assert exact.agreement.good
    with torch.no_grad():
        expected = voice(recordings())
    scores, logits = run(session_of(exact.path), waveforms=recordings())
    assert agreement(logits, expected).good
    torch.testing.assert_close(scores, (expected / voice.config.temperature).softmax(1), atol=1e-4, rtol=0)
    facts = session_of(exact.path).get_modelmeta().custom_metadata_map
    wanted = {"num_steps": "50", "frames_per_step": "2", "encoding": "frames", "reset": "subtract"}
    assert facts.items() >= wanted.items()

    small = export_onnx(network, voice.config, tmp_path / "m8.onnx", features_outside=True, int8=True)
    kept = {tensor.name for tensor in onnx.load(small.path).graph.initializer}
    # Stem and six convolutions; the shortcut and the last layer are too small.
    assert sum(name.endswith("_int8") for name in kept) == 7
    logits = run(session_of(small.path), features=voice.features(recordings()))[1]
    assert float((logits - expected).abs().max()) < 0.3 * float(expected.abs().max())


@pytest.mark.slow
def test_a_twin_without_neurons(tmp_path: Path) -> None:
    network = stir(EvenCNN(num_classes=7)).eval()
    assert export_onnx(*parts(network), tmp_path / "m.onnx").agreement.moved == 0
    facts = session_of(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert (facts["num_steps"], facts["frames_per_step"]) == ("50", "2")


@pytest.mark.slow
def test_torch_export_has_a_scan_for_each_layer(tmp_path: Path) -> None:
    network = on_frames(Even, beta_per_channel=True, reset="subtract-before-decay", threshold=0.75)
    written = export_torch(*parts(network), tmp_path / "m.pt2")
    assert written.agreement.good
    program = torch.export.load(written.path)
    assert sum("scan" in str(node.target) for node in program.graph.nodes if node.op == "call_function") == 7
    assert len(program.graph.nodes) < 600
    with torch.no_grad():
        logits = program.module()(recordings())[1]
        assert agreement(logits, network(features_of(network))).good


# --- one step -------------------------------------------------------------------------------------


def steps(session: Any, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    outputs = []
    for frames in x:
        logits, state = run(session, frames=frames, state=state)
        outputs.append(logits)
    return torch.stack(outputs), state


@pytest.mark.parametrize("name", mostly_slow(["Even", "Slowing", "EvenCNN"], "Even"))
def test_step_by_step_is_the_clip(name: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"reset": "subtract-before-decay", "threshold": 0.75}
    network: Framed
    if name == "EvenCNN":
        network = stir(EvenCNN(num_classes=7)).eval()  # type: ignore[assignment]
    else:
        network = on_frames(Even) if name == "Even" else on_frames(Slowing, **arguments)
    written = export_onnx_step(*parts(network), tmp_path / "m.onnx")
    assert written.agreement.good
    onnx.checker.check_model(onnx.load(written.path), full_check=True)
    session = session_of(written.path)
    x = network.encoded(features_of(network))
    rest = torch.zeros(x.shape[1], network.state_size())
    with torch.no_grad():
        expected, after = network.advance(x)
        outputs, state = steps(session, x, rest)
        assert agreement(outputs[-network.num_steps :].sum(0), network.forward_encoded(x)).good
        # Output for output, but for the clips in which a spike fell otherwise.
        same = (outputs - expected).abs().amax((0, 2)) < 1e-4
        assert same.float().mean() > 0.7
        torch.testing.assert_close(state[same], after[same], rtol=0, atol=1e-3)
        # A state of PyTorch's is one of the graph's, for any number of streams.
        _, before = network.advance(x[:10])
        (one, _), (all_of_them, _) = (
            steps(session, x[10:12, :1], before[:1]),
            steps(session, x[10:12], before),
        )
        torch.testing.assert_close(one[:, 0], all_of_them[:, 0], rtol=0, atol=1e-5)
        torch.testing.assert_close(one[:, 0], network.advance(x[10:12], before)[0][:, 0], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_step_says_what_it_needs(tmp_path: Path) -> None:
    network = on_frames(Even)
    path = export_onnx_step(*parts(network), tmp_path / "m.onnx", int8=True).path
    session = session_of(path)
    size = network.state_size()
    assert {put.name: put.shape for put in (*session.get_inputs(), *session.get_outputs())} == {
        "frames": ["batch", 1, 40, 2],
        "state": ["batch", size],
        "logits": ["batch", 7],
        "next_state": ["batch", size],
    }
    facts = session.get_modelmeta().custom_metadata_map
    layout = json.loads(facts["state"])
    assert list(layout.items()) == [(name, list(shape)) for name, shape in network.state_layout().items()]
    assert (facts["num_steps"], facts["frames_per_step"], facts["lead_frames"]) == ("50", "2", str(LEAD))
    assert float(facts["step_seconds"]) == 0.02
    assert json.loads(facts["features"])["n_mels"] == 40
    assert json.loads(facts["labels"])[2] == "word 2"
    assert sum(tensor.name.endswith("_int8") for tensor in onnx.load(path).graph.initializer) == 7
    assert str(Path(sv.__file__).parent).encode() not in path.read_bytes()


def test_networks_that_hear_windows_have_no_such_step(tmp_path: Path) -> None:
    for name in ("TcySNN", "TcyCNN"):
        network = lively("TcySNN") if name == "TcySNN" else sv.TcyCNN(num_classes=7).eval()
        with pytest.raises(
            SnnVoiceError, match=f"{name} can't be exported as one step: it hears a window"
        ) as no:
            export_onnx_step(*parts(network), tmp_path / "m.onnx")
        assert no.value.code == "not_exportable"
    assert list(tmp_path.iterdir()) == []


# --- NIR ------------------------------------------------------------------------------------------

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
