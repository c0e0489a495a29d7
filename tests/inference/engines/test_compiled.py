"""`torch.compile`: the same logits, few compilations, and the network itself where there is no compiler."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.inference.engines import compiled
from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.compiled import CompiledEngine
from tests.models.bystander import bystander
from tests.threads import in_threads


@pytest.fixture
def network() -> sv.TcySNN:
    return sv.TcySNN(num_classes=5, num_steps=2).eval()


def has_tools() -> bool:
    try:
        compiled._check_tools(torch.device("cpu"))
    except Unsupported:
        return False
    return True


needs_compiler = pytest.mark.skipif(not has_tools(), reason="no C++ compiler")


def features(clips: int) -> Tensor:
    return torch.randn(clips, 1, 6, 7) * 2


def counting(calls: list[int], fail_at: int = -1) -> Callable[..., Callable[[Tensor], Tensor]]:
    """A stand-in for `torch.compile` that notes the batch size of each call."""

    def compile_(function: Callable[[Tensor], Tensor], **options: Any) -> Callable[[Tensor], Tensor]:
        assert options["dynamic"] is False

        def call(x: Tensor) -> Tensor:
            if len(calls) == fail_at:
                raise RuntimeError("\nthe compiler failed\nwith a long story")
            calls.append(x.shape[1])
            return function(x)

        return call

    return compile_


@needs_compiler
def test_one_clip_is_really_compiled(network: sv.TcySNN) -> None:
    engine = CompiledEngine(network)
    x = features(1)
    answer = engine(x)
    assert "failed" not in engine.details()
    assert list(engine.details()["compile_seconds"]) == ["1"]
    torch.testing.assert_close(answer, network(x).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@needs_compiler
def test_compiled_logits(network: sv.TcySNN, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batch sizes of a tiny network, from several threads at once."""
    monkeypatch.setitem(compiled._MOST, "cpu", 4)
    engine = CompiledEngine(network)
    batches = [features(5) for _ in range(4)]
    with bystander():
        answers = dict(enumerate(in_threads(lambda i: engine(batches[i]), 4)))  # 4 clips and 1
    assert "failed" not in engine.details()
    assert sorted(engine.details()["compile_seconds"]) == ["1", "4"]
    made = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    with torch.inference_mode():  # another kind of tensor and another gradient mode, but no other code
        batches.append(features(3))
        answers[4] = engine(batches[4])
        answers[5] = engine(batches[0])
        batches.append(batches[0])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == made
    with torch.no_grad():
        for i, batch in enumerate(batches):
            assert not answers[i].requires_grad
            torch.testing.assert_close(answers[i], network(batch), rtol=1e-5, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize(
    ("clips", "sizes"), [(1, [1]), (2, [2]), (3, [4]), (8, [8]), (13, [8, 8]), (17, [8, 8, 1])]
)
def test_batches_are_cut_and_padded(
    clips: int, sizes: list[int], network: sv.TcySNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(torch, "compile", counting(calls))
    monkeypatch.setitem(compiled._MOST, "cpu", 8)
    engine = CompiledEngine(network)
    batch = features(clips)
    with torch.no_grad():
        torch.testing.assert_close(engine(batch), network(batch), rtol=1e-5, atol=1e-6)
    assert calls == sizes
    assert engine.details()["batch_sizes"] == [1, 2, 4, 8]


@needs_compiler
def test_parts_of_large_clips_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", counting(calls := []))
    network = sv.HjhSNN(num_classes=3, num_steps=5).eval()
    CompiledEngine(network)(torch.randn(3, 1, 60, 134))
    assert calls == [1, 1, 1]


@needs_compiler
@pytest.mark.parametrize("fail_at", [0, 1])
def test_a_failing_compiler_stops_nobody(
    fail_at: int,
    network: sv.TcySNN,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch, "compile", counting([], fail_at))
    monkeypatch.setitem(compiled._MOST, "cpu", 2)
    engine = CompiledEngine(network)
    batch = features(3)  # 2 clips and 1
    with torch.no_grad():
        for _ in range(3):
            assert torch.equal(engine(batch), network(batch))
    assert engine.details()["failed"] == "the compiler failed"
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warned == ["PyTorch runs TcySNN uncompiled: the compiler failed"]
    json.dumps(engine.details())


@needs_compiler
def test_many_shapes_are_run_uncompiled(network: sv.TcySNN, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(torch, "compile", counting(calls))
    monkeypatch.setattr(compiled, "_MAX_SHAPES", 2)
    engine = CompiledEngine(network)
    for height in (6, 7, 8):
        batch = torch.randn(1, 1, height, 9)
        with torch.no_grad():
            torch.testing.assert_close(engine(batch), network(batch))
    assert calls == [1, 1]


@needs_compiler
def test_cnns_and_other_forward_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(sv.TcySNN):
        def forward_encoded(self, x: Tensor) -> Tensor:
            return self.fc(self.pool(x[0]).flatten(1))

        def layers(self, x: Tensor, run: Any) -> Tensor:
            raise AssertionError("not its way")

    calls: list[int] = []
    monkeypatch.setattr(torch, "compile", counting(calls))
    for network in (sv.TcyCNN(num_classes=5).eval(), Own(num_classes=5).eval()):
        batch = features(3)
        with torch.no_grad():
            expected = network.forward_encoded(network.encoded(batch))
            torch.testing.assert_close(CompiledEngine(network)(batch), expected, rtol=1e-5, atol=1e-6)
    assert calls == [4, 4]


def test_no_compiler(network: sv.TcySNN, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder

    def none() -> str:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(compiled.Path, "is_file", lambda self: True)
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    with pytest.raises(Unsupported, match="no C\\+\\+ compiler: No working"):
        CompiledEngine(network)
    engine, facts = make_engine(network, "compile")
    assert engine.name == "torch"
    assert "no C++ compiler" in facts["reasons"]["compile"]


def test_no_headers(network: sv.TcySNN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": "/nowhere"})
    with pytest.raises(Unsupported, match="Python's headers"):
        CompiledEngine(network)


def test_other_devices() -> None:
    with pytest.raises(Unsupported, match="on meta"):
        CompiledEngine(sv.TcySNN().to("meta").eval())
