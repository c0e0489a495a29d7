"""Networks on frames as files: whole clips, and one step with its state."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.agreement import agreement
from snn_voice_hub.export.onnx import export_network
from snn_voice_hub.export.step import export_onnx_step
from snn_voice_hub.export.whole import export_onnx, export_torch
from snn_voice_hub.models.framed import LEAD, Framed
from tests.export.helpers import (
    Even,
    EvenCNN,
    Slowing,
    features_of,
    lively,
    on_frames,
    parts,
    recordings,
    spike_rates,
)
from tests.models.lively import stir
from tests.slowness import mostly_slow

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


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
