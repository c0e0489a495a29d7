"""The engine on ONNX Runtime: the network's own logits in parts, threads and many shapes, what it refuses."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.errors import MissingExtraError, SnnVoiceError
from snn_voice_hub.inference.engines import onnx as engine_module
from snn_voice_hub.inference.engines import parts
from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.onnx import OnnxEngine
from tests.inference.engines.test_onnx import same_logits
from tests.threads import in_threads

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def tcy() -> sv.TcySNN:
    torch.manual_seed(0)
    return sv.TcySNN(num_classes=6, num_steps=3).eval()


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_parts_of_a_batch(batch: int, tcy: sv.TcySNN, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = 4 * tcy.num_steps * 60 * 134
    monkeypatch.setattr(parts, "_BYTES", 3 * clip)
    engine = OnnxEngine(tcy)
    assert engine.details()["clips_per_run"] == 3
    features = torch.randn(batch, 1, 60, 134)
    with torch.no_grad():
        assert same_logits(engine(features), tcy(features))


def test_large_weights_are_read_once_for_many_clips() -> None:
    network = nn.Linear(1 << 12, 1 << 12)
    assert parts.clips_together(network, 1 << 20) == 8
    assert parts.clips_together(nn.Linear(1, 1), 1 << 20) == 2
    assert parts.clips_together(nn.Linear(1, 1), 1 << 30) == 1


def test_encodings_that_draw(tcy: sv.TcySNN) -> None:
    network = sv.TcySNN(num_classes=6, num_steps=3, encoding="rate", threshold=0.5).eval()
    features = torch.randn(5, 1, 60, 134)
    engine = OnnxEngine(network)
    with torch.no_grad():
        assert same_logits(engine(features, range(5)), network(features, clip_seeds=range(5)))


def test_details_are_json(tcy: sv.TcySNN) -> None:
    engine, facts = make_engine(tcy, "onnx")
    assert engine.name == facts["engine"] == "onnx"
    details = json.loads(json.dumps(engine.details()))
    assert details["onnxruntime"] == onnxruntime.__version__
    assert details["opset"] >= 18
    assert details["provider"] == "CPUExecutionProvider"
    assert details["export_seconds"] > 0


@pytest.mark.slow
def test_made_and_used_in_inference_mode() -> None:
    with torch.inference_mode():
        network = sv.TcySNN(num_classes=6, num_steps=2).eval()
        features = torch.randn(3, 1, 60, 134)
        engine = OnnxEngine(network)
        assert same_logits(engine(features), network(features))
    assert not OnnxEngine(network)(torch.randn(1, 1, 60, 134, requires_grad=True)).requires_grad


@pytest.mark.slow
def test_several_threads_get_what_one_gets(tcy: sv.TcySNN) -> None:
    engine = OnnxEngine(tcy)
    batches = [torch.randn(size, 1, 30, 40) for size in (1, 2, 3, 4, 5, 6)]  # a shape that is still to export
    answers = in_threads(lambda i: engine(batches[i]), len(batches))
    for features, answer in zip(batches, answers, strict=True):
        assert torch.equal(answer, engine(features))
        with torch.no_grad():
            assert same_logits(answer, tcy(features))


def test_many_shapes_are_run_by_pytorch(tcy: sv.TcySNN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_MAX_GRAPHS", 1)
    engine = OnnxEngine(tcy)
    monkeypatch.setattr(engine_module, "export_network", None)  # would fail
    features = torch.randn(2, 1, 20, 30)
    with torch.no_grad():
        assert torch.equal(engine(features), tcy(features))


def test_a_shape_that_fails_is_run_by_pytorch(
    tcy: sv.TcySNN, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = OnnxEngine(tcy)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise SnnVoiceError("no such operator\nand more")

    monkeypatch.setattr(engine_module, "export_network", fail)
    features = torch.randn(2, 1, 20, 30)
    with torch.no_grad():
        for _ in range(2):
            assert torch.equal(engine(features), tcy(features))
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warned == [r"PyTorch runs clips of shape [20, 30]: no such operator\nand more"]


# --- what it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages(package: str, tcy: sv.TcySNN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"snn-voice-hub\[export\]"):
        OnnxEngine(tcy)
    with pytest.raises(MissingExtraError, match=r"snn-voice-hub\[export\]"):
        make_engine(tcy, "onnx")


def test_other_dtypes_and_devices() -> None:
    with pytest.raises(Unsupported, match="float32, the network is float64"):
        OnnxEngine(sv.TcySNN().double().eval())
    with pytest.raises(Unsupported, match="on meta"):
        OnnxEngine(sv.TcySNN().to("meta").eval())


def test_runtime_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        engine_module, "device_and_dtype", lambda network: (torch.device("cuda"), torch.float32)
    )
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(Unsupported, match="no CUDAExecutionProvider"):
        OnnxEngine(sv.TcySNN().eval())


def test_answers_are_numpy_free(tcy: sv.TcySNN) -> None:
    answer = OnnxEngine(tcy)(torch.randn(2, 1, 60, 134))
    assert isinstance(answer, Tensor)
    assert answer.dtype == torch.float32
    assert np.isfinite(answer.numpy()).all()
