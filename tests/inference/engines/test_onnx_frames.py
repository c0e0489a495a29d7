"""The engine on ONNX Runtime for networks on frames: clips of any length, and streams by their states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.agreement import agreement
from snn_voice_hub.inference.engines import onnx as engine_module
from snn_voice_hub.inference.engines.base import NotThisInput, Unsupported
from snn_voice_hub.inference.engines.onnx import OnnxEngine
from snn_voice_hub.inference.engines.slot import EngineSlot
from snn_voice_hub.models.framed import Framed
from tests.export.helpers import Even, Slowing, lively, on_frames
from tests.threads import in_threads

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def spectrograms(count: int = 4, frames: int = 101) -> torch.Tensor:
    return torch.randn(count, 1, 40, frames, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network() -> sv.TempoSNN:
    return on_frames(Slowing)


@pytest.fixture(scope="module")
def engine(network: sv.TempoSNN) -> OnnxEngine:
    return OnnxEngine(network)


def test_clips_have_the_networks_logits(network: sv.TempoSNN, engine: OnnxEngine) -> None:
    for features in (spectrograms(), spectrograms(1), spectrograms(2, 103), spectrograms(2, 45)):
        with torch.no_grad():
            assert agreement(engine(features), network(features)).good
    # Frames behind the last whole step change no graph.
    assert list(engine._graphs) == [(40, 101), (40, 45)]


@pytest.mark.slow
@torch.no_grad()
def test_streams_go_on_from_their_states(network: sv.TempoSNN, engine: OnnxEngine) -> None:
    x = network.encoded(spectrograms())
    expected, after = network.advance(x)
    for cuts in ((25,), (1, 9, 15)):
        state, outputs = None, []
        for part in torch.split(x, cuts):
            given = None if state is None else state.clone()
            out, following = engine.advance(part, state)
            assert given is None or torch.equal(state, given)  # type: ignore[arg-type]
            outputs.append(out)
            state = following
        assert state is not None
        torch.testing.assert_close(torch.cat(outputs), expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(state, after, rtol=0, atol=1e-3)
    # Streams that stand elsewhere, side by side.
    states = torch.cat([network.advance(x[:k, :1])[1] for k in (3, 11)])
    both, _ = engine.advance(x[12:13, :2], states)
    torch.testing.assert_close(both, network.advance(x[12:13, :2], states)[0], rtol=0, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_threads_share_one_graph_of_a_step(
    network: sv.TempoSNN, engine: OnnxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = engine_module.export_step, []

    def count(network: Framed) -> Any:
        made.append(network)
        return real(network)

    monkeypatch.setattr(engine_module, "export_step", count)
    monkeypatch.setattr(engine, "_step", None)
    x = network.encoded(spectrograms())[:3]
    found = in_threads(lambda i: engine.advance(x[:, i : i + 1], None)[0], 4)
    assert len(made) == 1
    torch.testing.assert_close(torch.cat(found, 1), network.advance(x)[0], rtol=0, atol=1e-4)


def test_what_it_leaves_to_others(network: sv.TempoSNN, engine: OnnxEngine) -> None:
    x = network.encoded(spectrograms())[:2]
    x[1, 0, 0, 3, 1] = float("nan")
    with pytest.raises(NotThisInput, match="not finite"):
        engine.advance(x, None)
    windows = OnnxEngine(lively("TcySNN"))
    with pytest.raises(Unsupported, match="TcySNN hears windows"):
        windows.advance(x, None)


@pytest.mark.slow
def test_a_step_that_can_not_be_exported_is_run_by_pytorch(
    network: sv.TempoSNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fail(network: Framed) -> None:
        tries.append(network)
        raise SnnVoiceError("no such operator")

    monkeypatch.setattr(engine_module, "export_step", fail)
    slot = EngineSlot("onnx")
    with torch.inference_mode():
        x = network.encoded(spectrograms())
        for _ in range(2):
            found, state = slot.advance(network, x, None)
        expected, after = network.advance(x)
    assert torch.equal(found, expected)
    assert torch.equal(state, after)
    assert len(tries) == 1
    info = slot.info(network)
    assert info["engine"] == "onnx"
    assert info["left_to_torch"] == ["streams: no such operator"]


@pytest.mark.slow
def test_a_stream_has_the_scores_of_pytorch() -> None:
    network = on_frames(Even)
    model = {name: sv.SnnVoice(network, labels=list("abcdefg"), engine=name) for name in ("onnx", "torch")}
    wave = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    scores = []
    for voice in model.values():
        stream = voice.eval().stream(sample_rate=16_000, gate=None)
        for start in range(0, len(wave), 3_000):
            stream.feed(wave[start : start + 3_000])
        scores.append(list(stream.scores.values()))
    np.testing.assert_allclose(*scores, atol=1e-4)
    assert model["onnx"].engine_info()["engine"] == "onnx"
    assert "left_to_torch" not in model["onnx"].engine_info()
