"""Tracing: what is written down, what is refused, and that nobody notices."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

import snn_voice_hub as sv
from snn_voice_hub.export.onnx import export_network
from snn_voice_hub.export.tracing import tracing
from snn_voice_hub.inference.engines.native import NativeEngine
from snn_voice_hub.models.network import Pass, over_time
from snn_voice_hub.models.operations import reading
from snn_voice_hub.models.trace import BadShape, Untraceable, trace
from tests.models.bystander import bystander
from tests.models.lively import SNNS, features_of, lively
from tests.threads import in_threads


@pytest.mark.slow
def test_any_number_of_models_is_first_used_in_any_thread_while_other_modules_run() -> None:
    models = [lively(name, num_steps=2) for name in SNNS for _ in range(3)]
    inputs = [features_of(model, 1) for model in models]
    shared, sound = lively("ResMelSNN", num_steps=2), features_of(lively("ResMelSNN"), 2)
    voice = sv.SnnVoice(shared, labels=[str(i) for i in range(35)]).eval()

    def work(number: int) -> Tensor:
        with torch.inference_mode():
            answer = voice._engine(shared, sound, None)
        for model, x in list(zip(models, inputs, strict=True))[number::4]:
            trace(model, (1, *x.shape[1:]))  # type: ignore[arg-type]
        return answer

    with bystander():
        answers = in_threads(work, 4)
    assert all(torch.equal(answer, answers[0]) for answer in answers)


@pytest.mark.slow
def test_the_exporter_of_pytorch_is_not_noticed_either() -> None:
    network = lively("TcySNN", num_steps=2)
    x = features_of(network, 1)
    with torch.inference_mode():
        wanted = network(x)
    with bystander():
        threads = [threading.Thread(target=export_network, args=(network,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        with torch.inference_mode():
            while any(thread.is_alive() for thread in threads):
                assert torch.equal(network(x), wanted)  # the very network that is exported


def test_other_threads_keep_the_tracer_of_pytorch() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x)
            return out

    found: list[list[str]] = []

    def work() -> None:
        found.append([node.op for node in fx.symbolic_trace(Own()).graph.nodes])

    with tracing():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    work()
    assert found == [["placeholder", "call_module", "call_module", "output"]] * 2


def test_what_is_written_down() -> None:
    network = lively("M5SNN", num_steps=3)
    found = trace(network, (1, 1, 4000))  # type: ignore[arg-type]
    kinds = [reading(op)[0] for op in found.operations]
    assert [kind for kind in kinds if kind not in ("", "reshape", "flatten")] == (
        ["conv", "norm", "fire", "pool"] * 4 + ["mean", "linear"]
    )
    convs = [op for op in found.operations if reading(op)[0] == "conv"]
    assert [op.module for op in convs] == [f"snn.{i}.conv" for i in range(4)]
    assert reading(convs[1])[1]["weight"] is network.get_parameter("snn.1.conv.weight")
    assert [op.module for op in found.operations if reading(op)[0] == "pool"] == [
        f"snn.{i}.pool" for i in range(4)
    ]
    assert found.output.shape == (3, found.clips, 35)
    summed = trace(network, (1, 1, 4000), summed=True)  # type: ignore[arg-type]
    assert summed.output.shape == (1, found.clips, 35)


class _One(sv.SpikingNetwork):
    """One convolution of spikes; `middle` is what a test is about."""

    def __init__(self, middle: Any = None, num_steps: int = 3) -> None:
        self.middle = middle
        super().__init__(5, num_steps=num_steps)

    def build(self) -> None:
        self.dense, self.conv = nn.Conv1d(1, 16, 3), nn.Conv1d(16, 16, 3, padding=1)
        self.lif1, self.lif2 = self.make_lif(), self.make_lif()
        self.fc = nn.Linear(16, self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        spk = run.fire("lif1", self.lif1, over_time(self.dense, x) * 4)
        current = over_time(self.conv, spk) if self.middle is None else self.middle(self, spk)
        return run.readout(self.fc, run.fire("lif2", self.lif2, current).mean(-1))


@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        (lambda net, spk: over_time(net.conv, spk) if spk.sum() > 0 else spk, "asks for values"),
        (lambda net, spk: over_time(net.conv, spk) * spk.max().item(), "asks for values"),
        (lambda net, spk: over_time(net.conv, spk).add_(1), "in place"),
        (lambda net, spk: over_time(net.conv, spk) + torch.ones(16, 1), "neither a weight nor made of"),
        (lambda net, spk: over_time(net.conv, spk) / spk.shape[1], "another number of clips"),
        (lambda net, spk: over_time(net.conv, spk if spk.shape[1] > 4 else -spk), "number of clips"),
        (lambda net, spk: over_time(net.conv, spk[:2]), "gets 2 steps"),
    ],
)
def test_what_can_not_be_followed_is_refused(middle: Any, reason: str) -> None:
    with pytest.raises(Untraceable, match=reason):
        trace(_One(middle).eval(), (1, 1, 20))


def test_a_shape_that_pytorch_refuses() -> None:
    with pytest.raises(BadShape, match="Kernel size"):
        trace(_One().eval(), (1, 1, 2))
    with pytest.raises(BadShape, match="gets 2 steps"):
        trace(_One().eval(), (2, 1, 20))


def test_what_a_module_really_does_is_seen() -> None:
    class Twice(nn.Conv1d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    network = _One().eval()
    network.conv = Twice(16, 16, 3, padding=1)
    x = torch.randn(2, 1, 20)
    with torch.inference_mode():
        assert not any(op.function is functional.linear for op in trace(network, (1, 1, 20)).operations[:5])
        from snn_voice_hub.inference.engines.slot import EngineSlot

        slot = EngineSlot("native")
        assert torch.equal(slot(network, x, None), network(x))
        assert "mul on spikes" in slot.info(network)["reasons"]["native"]
        network.conv = nn.Conv1d(16, 16, 3, padding=1)
        assert NativeEngine(network)(x).shape == (2, 5)


def test_results_of_several_parts_keep_their_names_and_gaps() -> None:
    attention = nn.MultiheadAttention(16, 2, batch_first=True).eval()

    def middle(net: Any, spk: Tensor) -> Tensor:
        x = over_time(net.dense, net.x)
        with_nothing = over_time(lambda y: net.attention(*(y.mT,) * 3, need_weights=False)[0].mT, x)
        return with_nothing / x.abs().max(-1, keepdim=True).values

    class Attending(_One):
        def layers(self, x: Tensor, run: Pass) -> Tensor:
            self.x = x
            return super().layers(x, run)

    network = Attending(middle).eval()
    network.attention = attention
    found = trace(network, (1, 1, 20))
    assert found.output.shape == (3, found.clips, 5)


def test_a_network_on_frames_is_written_down_with_what_its_layers_look_back_at() -> None:
    network = lively("TempoSNN")
    assert isinstance(network, sv.TempoSNN)
    for steps in (1, 3):
        read = [(op, *reading(op)) for op in trace(network, (steps, 1, 40, 2)).operations]
        convolutions = [(op, given) for op, kind, given in read if kind == "causal"]
        assert [op.module for op, _ in convolutions[:3]] == ["stem", "snn.0.conv1", "snn.0.conv2"]
        for op, given in convolutions:
            source = given["input"]
            behind = (given["weight"].shape[2] - 1) * given["dilation"]
            assert (reading(source)[0] == "past") == (behind > 0)
            assert source.shape[0] == behind + op.shape[0] * given["stride"]
        fired = [op.shape[0] for op, kind, _ in read if kind == "fire"]
        assert fired == [steps] * 11
        assert [given["count"] for _, kind, given in read if kind == "past"][:2] == [6, 2]
    # A number that is divided by is seen.
    assert [given["other"] for _, kind, given in read if kind == "divide"] == [network.num_steps]
