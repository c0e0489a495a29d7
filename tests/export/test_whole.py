"""Whole models as ONNX and `torch.export` files: sound in, scores out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.errors import MissingExtraError, SnnVoiceError
from snn_voice_hub.export.agreement import Agreement, agreement, signals
from snn_voice_hub.export.front_end import FrontEnd, encode_each
from snn_voice_hub.export.whole import export_onnx, export_torch
from snn_voice_hub.features import Features
from snn_voice_hub.hub.bundled import bundled_names
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.encoding import encode
from tests.export.helpers import lively, recordings
from tests.slowness import mostly_slow

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def parts(voice: sv.SnnVoice) -> tuple[Network, Any]:
    assert isinstance(voice.network, Network)
    return voice.network, voice.config


def session_of(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(session: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    name = session.get_inputs()[0].name
    scores, logits = session.run(["scores", "logits"], {name: x.numpy()})
    return torch.from_numpy(scores), torch.from_numpy(logits)


# --- ONNX -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_slow(bundled_names(), "resmel-snn", "tcy-cnn"))
def test_bundled_models_answer_alike_on_recordings(name: str, tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained(name, engine="torch")
    written = export_onnx(*parts(voice), tmp_path / "m.onnx")
    assert written.agreement.good
    assert written.size == written.path.stat().st_size
    session = session_of(written.path)
    with torch.no_grad():
        expected = voice(recordings())
    for waves, wanted in ((recordings(), expected), (recordings()[:1], expected[:1])):
        scores, logits = run(session, waves)
        assert agreement(logits, wanted).good
        assert torch.allclose(scores, (logits / voice.config.temperature).softmax(1), atol=1e-6)


@pytest.mark.slow
def test_no_mean_of_a_clip_is_one_long_sum(tmp_path: Path) -> None:
    """A browser's runtime adds one value after the other; over 4,000 it loses two digits."""
    voice = sv.SnnVoice.from_pretrained("m5-snn", engine="torch")
    assert voice.config.features.normalization == "clip"
    model = onnx.shape_inference.infer_shapes(onnx.load(export_onnx(*parts(voice), tmp_path / "m.onnx").path))
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    means = [node for node in model.graph.node if node.op_type == "ReduceMean"]
    front = [shapes[node.input[0]] for node in means if shapes.get(node.input[0])]
    assert len(front) >= 4
    assert all(shape[-1] <= 100 for shape in front), front


def test_the_file_says_what_it_needs(tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("m5-snn", engine="torch")
    path = export_onnx(*parts(voice), tmp_path / "m.onnx").path
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {o.domain: o.version for o in model.opset_import}[""] >= 18
    assert {o.domain for o in model.opset_import} == {""}
    facts = session_of(path).get_modelmeta().custom_metadata_map
    assert json.loads(facts["labels"]) == voice.labels
    assert (facts["sample_rate"], facts["num_samples"]) == ("16000", "16000")
    assert (facts["num_steps"], facts["reset"]) == ("5", "subtract")
    assert float(facts["temperature"]) == voice.config.temperature
    assert session_of(path).get_inputs()[0].shape == ["batch", 16_000]
    assert [o.shape for o in session_of(path).get_outputs()] == [["batch", 35]] * 2
    # Nothing of the machine that it was made on.
    assert str(Path(sv.__file__).parent).encode() not in path.read_bytes()


def test_features_outside(tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn", engine="torch")
    session = session_of(export_onnx(*parts(voice), tmp_path / "m.onnx", features_outside=True).path)
    (given,) = session.get_inputs()
    assert (given.name, given.shape) == ("features", ["batch", 1, 60, 134])
    with torch.no_grad():
        features = voice.features(recordings())
        assert agreement(run(session, features)[1], voice(recordings())).good


@pytest.mark.slow
@pytest.mark.parametrize("reset", ["subtract", "subtract-before-decay"])
def test_latency_encoding(reset: str, tmp_path: Path) -> None:
    network = lively("HjhSNN", encoding="latency", reset=reset, threshold=0.7)
    voice = sv.SnnVoice(network, labels=list("abcdefg"), engine="torch").eval()
    session = session_of(export_onnx(*parts(voice), tmp_path / "m.onnx").path)
    with torch.no_grad():
        assert agreement(run(session, recordings())[1], voice(recordings())).good


def test_what_no_graph_can_do(tmp_path: Path) -> None:
    network = lively("TcySNN", encoding="rate")
    voice = sv.SnnVoice(network, labels=list("abcdefg"), engine="torch")
    with pytest.raises(SnnVoiceError, match='encoding="rate" can\'t be exported: it draws'):
        export_onnx(*parts(voice), tmp_path / "m.onnx")
    batch = FeatureConfig(kind="logmel", normalization="batch")
    voice = sv.SnnVoice(lively("TcySNN"), batch, list("abcdefg"), engine="torch")
    with pytest.raises(SnnVoiceError, match='normalization="batch" can\'t be exported'):
        export_torch(*parts(voice), tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_graph_that_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = sv.SnnVoice(lively("TcySNN"), labels=list("abcdefg"), engine="torch")
    real = FrontEnd.forward
    monkeypatch.setattr(FrontEnd, "forward", lambda self, x: real(self, x.roll(2_000, 1)))
    for export in (export_onnx, export_torch):
        with pytest.raises(SnnVoiceError, match="does not answer as PyTorch does") as caught:
            export(*parts(voice), tmp_path / "m.pt2")
        assert caught.value.code == "not_equal"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_exporting_changes_nothing(tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn", engine="torch", dtype="float16")
    before = {key: value.clone() for key, value in voice.network.state_dict().items()}
    voice.network.train()
    export_onnx(*parts(voice), tmp_path / "m.onnx")
    assert voice.network.training
    after = voice.network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert voice.dtype == torch.float16


def test_onnx_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    voice = sv.SnnVoice(lively("TcySNN"), labels=list("abcdefg"))
    with pytest.raises(MissingExtraError, match=r"export to ONNX needs .*snn-voice-hub\[export\]"):
        export_onnx(*parts(voice), tmp_path / "m.onnx")


# --- int8 -----------------------------------------------------------------------------------------


def test_int8_weights(tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("m5-cnn", engine="torch")
    exact = export_onnx(*parts(voice), tmp_path / "m.onnx")
    small = export_onnx(*parts(voice), tmp_path / "m8.onnx", int8=True)
    assert small.size < 0.3 * exact.size
    model = onnx.load(small.path)
    onnx.checker.check_model(model, full_check=True)
    floats = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(exact.path).graph.initializer}
    kept = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    quantised = [name.removesuffix("_int8") for name in kept if name.endswith("_int8")]
    # Three convolutions with 49,152 values and more, the first with 10,240, and the linear layer.
    assert len(quantised) == 5
    assert not any(name.startswith("front_end") for name in quantised)
    for name in quantised:
        whole, scale = kept[f"{name}_int8"], kept[f"{name}_int8_scale"]
        assert whole.dtype == np.int8
        assert np.abs(whole.astype(int)).max() == 127
        axis = list(whole.shape).index(len(scale))
        shaped = scale.reshape([-1 if i == axis else 1 for i in range(whole.ndim)])
        assert np.abs(whole * shaped - floats[name]).max() <= 0.5 * scale.max() * (1 + 1e-5)
    with torch.no_grad():
        expected = voice(recordings())
    logits = run(session_of(small.path), recordings())[1]
    assert float((logits - expected).abs().max()) < 0.1 * float(expected.abs().max())
    assert int((logits.argmax(1) == expected.argmax(1)).sum()) >= len(logits) - 1


# --- torch.export ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_slow(["resmel-snn", "m5-cnn"], "m5-cnn"))
def test_a_torch_file_runs_without_this_library(name: str, tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained(name, engine="torch")
    written = export_torch(*parts(voice), tmp_path / "m.pt2")
    assert written.agreement.good
    np.save(tmp_path / "waves.npy", recordings().numpy())
    program = (
        "import sys, json, numpy as np, torch\n"
        "sys.modules['snn_voice_hub'] = sys.modules['snntorch'] = sys.modules['torchaudio'] = None\n"
        f"said = {{'snn_voice_hub.json': ''}}\n"
        f"module = torch.export.load({str(written.path)!r}, extra_files=said).module()\n"
        f"waves = torch.from_numpy(np.load({str(tmp_path / 'waves.npy')!r}))\n"
        "with torch.no_grad():\n"
        "    scores, logits = module(waves)\n"
        "    assert torch.allclose(module(waves[:1])[1], logits[:1], atol=1e-3)\n"
        f"np.save({str(tmp_path / 'logits.npy')!r}, logits.numpy())\n"
        "print(json.dumps(json.loads(said['snn_voice_hub.json'])['labels']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(json.loads(done.stdout)) == voice.labels
    with torch.no_grad():
        assert agreement(torch.from_numpy(np.load(tmp_path / "logits.npy")), voice(recordings())).good
    assert str(Path(sv.__file__).parent).encode() not in written.path.read_bytes()


# --- the parts ------------------------------------------------------------------------------------


def configurations() -> list[FeatureConfig]:
    found = [sv.SnnVoice.from_pretrained(n).config.features for n in ("resmel-snn", "m5-snn", "hjh-snn")]
    odd = FeatureConfig(
        kind="logmel", normalization="clip", n_fft=400, win_length=301, hop_length=111, log_offset=1e-6
    )
    return [*found, odd]


@pytest.mark.parametrize("number", range(4))
def test_the_exported_front_end_is_the_models(number: int) -> None:
    config = configurations()[number]
    waves = torch.cat([recordings(), signals(config)])
    with torch.no_grad():
        ours, exported = Features(config)(waves), FrontEnd(config)(waves)
    assert ours.shape == exported.shape
    # The logarithm of a band that holds next to nothing makes much of rounding, which differs by processor.
    offset = config.log_offset if config.kind == "logmel" else 1.0
    assert float((ours - exported).abs().max()) < (2e-2 if offset < 1e-9 else 2e-3 if offset < 1e-5 else 5e-4)
    assert float((ours - exported).abs().mean()) < 1e-5


def test_latency_in_operations_of_a_graph_is_the_encoding() -> None:
    features = torch.cat([torch.randn(6, 1, 9, 11), torch.zeros(1, 1, 9, 11)])
    for num_steps in (1, 5):
        expected = encode(features, "latency", num_steps, range(len(features)))
        assert torch.equal(encode_each(features, "latency", num_steps), expected)


def test_agreement_counts_what_differs() -> None:
    expected = torch.tensor([[10.0, 0.0, 9.9]] * 8)
    same = agreement(expected + 5e-4, expected)
    assert (same.moved, same.other_best, same.good) == (0, 0, True)
    two = expected.clone()
    two[0, 2] += 0.2  # the two best were nearer than that
    two[1, 1] += 0.2
    assert agreement(two, expected) == Agreement(8, 2, pytest.approx(0.02, rel=1e-3), 1, 1)
    assert agreement(two, expected).good
    three = two.clone()
    three[2, 1] += 0.2
    assert not agreement(three, expected).good  # more than a quarter
    other = expected.clone()
    other[0] = torch.tensor([0.0, 10.0, 0.0])
    assert agreement(other, expected).other_best == 1
    broken = expected.clone()
    broken[0, 0] = float("nan")
    assert not agreement(broken, expected).good


def test_signals_are_the_same_each_time_and_unlike_each_other() -> None:
    config = sv.SnnVoice.from_pretrained().config.features
    waves = signals(config)
    assert torch.equal(waves, signals(config))
    assert waves.shape == (28, config.num_samples)
    assert float(waves.abs().max()) <= 2.0
    assert len({wave.numpy().tobytes() for wave in waves}) == len(waves)
