"""What the kernels for networks on frames are not for goes to PyTorch, and it is said why."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.inference.engines.base import NotThisInput
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.native import NativeEngine
from snn_voice_hub.inference.engines.slot import EngineSlot
from snn_voice_hub.models.framed import FramedSNN
from snn_voice_hub.models.network import Pass
from snn_voice_hub.models.wiring import Wiring
from tests.inference.engines.framed_networks import small, sound
from tests.models.lively import stir

pytestmark = pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="no C++ compiler")


@pytest.fixture(scope="module")
def engine() -> NativeEngine:
    return NativeEngine(small())


def _reason(network: sv.Network) -> str:
    engine, facts = make_engine(network, "native")
    assert engine.name == "torch"
    reason: str = facts["reasons"]["native"]
    assert "\n" not in reason
    return reason


def test_what_it_is_not_for_says_why() -> None:
    assert "spiking networks in float32" in _reason(sv.TempoCNN(5).eval())
    assert "spiking networks in float32" in _reason(small().double())
    hooked = small()
    hooked.snn[0].lif1.register_forward_hook(lambda *_: None)  # type: ignore[union-attr, operator]
    assert "snn.0.lif1 has forward hooks" in _reason(hooked)
    training = small()
    training.stem.bn.train()
    assert "statistics of the batch" in _reason(training)
    for name, value, reason in (
        ("snn.0.conv1.conv.weight", float("nan"), "not finite"),
        ("fc.bias", float("inf"), "not finite"),
        ("snn.1.lif2.beta", float("nan"), "beta or threshold is not finite"),
    ):
        broken = small(learn_beta=True)
        with torch.no_grad():
            broken.get_parameter(name).view(-1)[0] = value
        assert reason in _reason(broken)


class _Doubled(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


def test_layers_of_another_kind_are_refused() -> None:
    network = small()
    network.snn[1].conv1.bn = _Doubled(33)  # type: ignore[union-attr]
    assert "a _Doubled in the place of a BatchNorm1d" in _reason(network.eval())
    network = small()
    network.fc.forward = lambda x: x[..., :7]  # type: ignore[method-assign]
    assert "in the place of a Linear" in _reason(network)


class _NoWiring(FramedSNN):
    min_shape = (40, 1)
    frames_per_step = 4

    def build(self) -> None:
        self.conv = nn.Conv1d(160, 8, 1)
        self.lif = self.make_lif(8)
        self.fc = nn.Linear(8, self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        current = self.conv(x.flatten(2).flatten(0, 1).unsqueeze(-1)).view(*x.shape[:2], 8)
        out: Tensor = self.fc(run.fire("lif", self.lif, current)) / self.num_steps
        return out


class _OwnLayers(sv.TempoSNN):
    def layers(self, x: Tensor, run: Pass) -> Tensor:
        return super().layers(x.abs(), run)


class _OwnAdvance(sv.TempoSNN):
    def advance(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().advance(x * 2, state)


class _Lying(_OwnLayers):
    """Says what its layers are not."""

    def wiring(self) -> Wiring:
        return super().wiring()


class _NoShortcut(sv.TempoSNN):
    def wiring(self) -> Wiring:
        found = super().wiring()
        layers = [dataclasses.replace(layer, projections=layer.projections[:1]) for layer in found.layers]
        return Wiring(tuple(layers), found.head)


class _NoResidual(sv.TempoSNN):
    def wiring(self) -> Wiring:
        found = super().wiring()
        return Wiring(tuple(dataclasses.replace(layer, residual=None) for layer in found.layers), found.head)


class _Swapped(sv.TempoSNN):
    def wiring(self) -> Wiring:
        found = super().wiring()
        one, two, *rest = found.layers
        renamed = (
            dataclasses.replace(one, name=two.name, lif=two.lif),
            dataclasses.replace(two, name=one.name, lif=one.lif),
        )
        return Wiring((*renamed, *rest), found.head)


class _Forgetful(sv.TempoSNN):
    def wiring(self) -> Wiring:
        found = super().wiring()
        return Wiring(found.layers[:-2], found.head)


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (_NoWiring, "_NoWiring says nothing of its wiring()"),
        (_OwnLayers, "_OwnLayers has layers() of its own, and no wiring() to it"),
        (_OwnAdvance, "_OwnAdvance has advance() of its own"),
        (_Lying, "do not give what _Lying.layers gives in its outputs, stem.past, snn.0.lif1"),
        (_NoShortcut, "do not give what _NoShortcut.layers gives in"),
        (_NoResidual, "do not give what _NoResidual.layers gives in"),
        (_Swapped, "do not give what _Swapped.layers gives in"),
        (_Forgetful, "differ in"),
    ],
)
def test_a_network_that_is_not_what_it_says_goes_to_pytorch(cls: type[FramedSNN], reason: str) -> None:
    network = stir(cls(7)).eval()
    if cls is _Swapped:
        with torch.no_grad():
            network.get_buffer("snn.0.lif1.beta").fill_(0.9)
    assert reason in _reason(network)
    slot, x = EngineSlot("native"), sound(2, 3, frames=cls.frames_per_step)
    with torch.inference_mode():
        wanted, state = network.advance(x)  # type: ignore[operator]
        found, after = slot.advance(network, x, None)
    assert torch.equal(found, wanted)
    assert torch.equal(after, state)


def test_a_layers_of_one_network_alone_is_seen() -> None:
    network = small()
    network.layers = lambda x, run: type(network).layers(network, -x, run)  # type: ignore[method-assign]
    assert "layers() of its own" in _reason(network)


@pytest.mark.parametrize(
    "x",
    [
        sound(2, 3).double(),
        sound(2, 3)[..., :3],
        sound(2, 3)[:, :, :, :39],
        sound(0, 3),
        sound(2, 3)[0],
        sound(2, 3).expand(-1, -1, 2, -1, -1),
        torch.nn.Buffer(sound(2, 3)).to("meta"),
    ],
)
def test_other_input_never_reaches_the_kernels(engine: NativeEngine, x: Tensor) -> None:
    with pytest.raises(NotThisInput):
        engine.advance(x, None)
    with pytest.raises(NotThisInput):
        engine.run(x)


def test_other_states_never_reach_the_kernels(engine: NativeEngine) -> None:
    x = sound(2, 3)
    _, state = engine.advance(x, None)
    for other in (state[:2], state[:, 1:], state.double(), state[0], state.to("meta"), state.to_sparse()):
        with pytest.raises(NotThisInput, match="a state"):
            engine.advance(x, other)
    slot = EngineSlot("native")
    network = engine.network
    with pytest.raises(ConfigError, match="a state of shape"):
        slot.advance(network, x, state[:, 1:])


def test_another_number_of_steps_is_left_to_pytorch() -> None:
    network = small()
    slot, x = EngineSlot("native"), sound(6, 2)
    for _ in range(2):  # the second one looks closely
        slot.advance(network, x, None)
    network.num_steps = 2
    with torch.inference_mode():
        wanted, _ = network.advance(x)
    found, _ = slot.advance(network, x, None)
    assert torch.allclose(found, wanted, atol=1e-6)
    assert "num_steps has changed" in slot._made.aside[0]  # type: ignore[union-attr]
    assert torch.allclose(
        slot(network, torch.zeros(1, 1, 40, 24), None), network(torch.zeros(1, 1, 40, 24)), atol=1e-6
    )
