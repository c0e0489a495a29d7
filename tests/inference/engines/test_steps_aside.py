"""What the event-driven engine does not know is left to others, when it is made or at the call."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.inference.engines.base import NotThisInput, Unsupported
from snn_voice_hub.inference.engines.events.layers import address
from snn_voice_hub.inference.engines.native import NativeEngine
from snn_voice_hub.inference.engines.slot import EngineSlot
from snn_voice_hub.models.network import Pass, over_time
from tests.threads import in_threads

pytestmark = pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="no C++ compiler")

Network = sv.SpikingNetwork


class _Two(Network):
    """Two convolutions; `middle` makes the current of the second neurons, `head` what the output reads."""

    def __init__(self, middle: Any = None, head: Any = None, then: Any = None, **settings: Any) -> None:
        self.middle, self.head, self.then = middle, head, then
        super().__init__(5, **{"num_steps": 3, **settings})

    def build(self) -> None:
        self.dense, self.conv = nn.Conv1d(1, 16, 3, padding=1), nn.Conv1d(16, 32, 3, padding=1)
        self.short, self.whole = nn.Conv1d(16, 32, 1), nn.Conv1d(16, 32, 40)
        self.one, self.norm = nn.Conv1d(16, 1, 1), nn.BatchNorm1d(32)
        self.lif1, self.lif2 = self.make_lif(), self.make_lif()
        self.pool, self.fc = nn.MaxPool1d(2), nn.Linear(32, self.num_classes)
        with torch.no_grad():
            for layer in (self.dense, self.conv, self.short, self.whole, self.one):
                layer.weight.mul_(4)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        dense = over_time(self.dense, x)
        spk = run.fire("lif1", self.lif1, dense)
        current = self.middle(self, spk, dense) if self.middle else over_time(self.conv, spk)
        spk = run.fire("lif2", self.lif2, current, then=self.then)
        return run.readout(self.fc, self.head(self, spk, dense) if self.head else spk.mean(-1))


def _asked(network: Network, x: Tensor, engine: str = "auto") -> tuple[Tensor, dict[str, Any]]:
    slot = EngineSlot(engine)
    with torch.inference_mode():
        return slot(network, x, None), slot.info(network)


X = torch.randn(3, 1, 40, generator=torch.Generator().manual_seed(2))


def _both(net: Any, spk: Tensor) -> tuple[Tensor, Tensor]:
    return over_time(net.conv, spk), over_time(net.short, spk)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"middle": lambda n, s, d: over_time(n.conv, s) + over_time(n.whole, s)}, "a sum of"),
        ({"middle": lambda n, s, d: over_time(n.conv, s) + over_time(n.one, s)}, "a sum of"),
        ({"middle": lambda n, s, d: over_time(n.conv, s) + d.mean(2, keepdim=True)}, "a sum of"),
        ({"middle": lambda n, s, d: torch.add(*_both(n, s), alpha=3)}, "not of two currents"),
        ({"middle": lambda n, s, d: over_time(n.conv, s) * 2}, "mul on spikes"),
        ({"head": lambda n, s, d: s.mean(-1, dtype=torch.float64).float()}, "another number type"),
        ({"head": lambda n, s, d: s.mean(3)[:2]}, ""),
        ({"head": lambda n, s, d: s[:2].mean(-1)}, "__getitem__ on spikes"),
        ({"then": lambda x: nn.functional.avg_pool1d(x, 2)}, "avg_pool1d on spikes"),
    ],
)
def test_what_the_kernels_do_not_know_goes_to_pytorch(arguments: dict[str, Any], reason: str) -> None:
    network = _Two(**arguments).eval()
    with torch.inference_mode():
        wanted = network(X)
    found, info = _asked(network, X, "native")
    assert torch.allclose(found, wanted, atol=1e-4)
    assert reason in info["reasons"].get("native", "")
    assert info["engine"] == ("torch" if reason else "native")


def test_a_head_that_reads_more_than_the_mean_is_right() -> None:
    for head in (
        lambda n, s, d: over_time(lambda y: y.mean(-1), s),
        lambda n, s, d: s.mean(-1) + d.mean(-1).repeat(1, 1, 2),
        lambda n, s, d: s.mean(-1).softmax(-1),
    ):
        network = _Two(head=head).eval()
        with torch.inference_mode():
            assert torch.allclose(NativeEngine(network)(X), network(X), atol=1e-4)


def _hook(network: Any) -> None:
    network.conv.register_forward_hook(lambda module, args, out: out * 3)


def _weight_norm(network: Any) -> None:
    nn.utils.parametrizations.weight_norm(network.conv)


@torch.no_grad()
def _fill(network: Any, name: str, value: float) -> None:
    tensor = network.get_parameter(name) if "conv" in name else network.get_buffer(name)
    tensor.view(-1)[0] = value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_hook, "conv has forward hooks"),
        (_weight_norm, "neither a weight nor made of"),
        (lambda network: _fill(network, "lif1.beta", float("nan")), "not finite"),
        (lambda network: _fill(network, "lif2.threshold", float("inf")), "not finite"),
        (lambda network: _fill(network, "conv.weight", float("nan")), "weights that are not finite"),
        (lambda network: _fill(network, "conv.bias", 3e38), "whose sums might not be"),
    ],
)
def test_a_network_that_is_not_what_it_seems(change: Callable[[Any], None], reason: str) -> None:
    network = _Two().eval()
    slot = EngineSlot("native")
    with torch.inference_mode():
        slot(network, X, None)
    assert slot.info(network)["engine"] == "native"
    change(network)  # noticed by the slot, too
    with torch.inference_mode():
        wanted, found = network(X), slot(network, X, None)
    assert torch.equal(found.isnan(), wanted.isnan())
    assert torch.allclose(found.nan_to_num(), wanted.nan_to_num(), atol=1e-4)
    assert reason in slot.info(network)["reasons"]["native"]


def test_a_batch_norm_by_the_statistics_of_the_batch() -> None:
    network = _Two(middle=lambda n, s, d: over_time(n.norm, over_time(n.conv, s))).eval()
    network.norm.train()
    with pytest.raises(Unsupported):
        NativeEngine(network)


def test_values_that_are_no_numbers_are_those_of_pytorch() -> None:
    def pooled(net: Any, spk: Tensor, dense: Tensor) -> Tensor:
        return over_time(net.pool, over_time(net.conv, spk) + dense.repeat(1, 1, 2, 1))

    def residual(net: Any, spk: Tensor, dense: Tensor) -> Tensor:
        return over_time(net.conv, spk)

    for middle in (pooled, residual):
        for value in (float("nan"), float("inf"), -float("inf"), 3e38, 1e-40):
            x = X.clone()
            x[0, 0, 7] = value
            network = _Two(middle=middle).eval()
            with torch.inference_mode():
                wanted = network(x)
            found, _ = _asked(network, x, "native")
            assert torch.equal(found.isnan(), wanted.isnan())
            assert torch.allclose(found.nan_to_num(), wanted.nan_to_num(), atol=1e-4)


def test_a_maximum_of_what_is_no_number_is_none() -> None:
    """The kernels' own pooling of currents, with a shortcut that carries what is no number."""

    class Same(_Two):
        def build(self) -> None:
            super().build()
            self.dense = nn.Conv1d(1, 32, 3, padding=1)
            self.conv = nn.Conv1d(32, 32, 3, padding=1)

    network = Same(middle=lambda n, s, d: over_time(n.pool, over_time(n.conv, s) + d)).eval()
    for at in (6, 7):  # first and second of a window
        x = X.clone()
        x[1, 0, at] = float("nan")
        with torch.inference_mode():
            wanted, found = network(x), NativeEngine(network)(x)
        assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("engine", ["auto", "native", "torch", "loop"])
def test_input_that_the_layers_can_not_take_is_one_error_whichever_engine(engine: str) -> None:
    network = _Two(middle=lambda n, s, d: over_time(n.whole, s)).eval()
    slot = EngineSlot(engine)
    with torch.inference_mode():
        slot(network, X, None)
        for _ in range(2):
            with pytest.raises(
                ConfigError, match=r"_Two can't take features of shape \[3, 1, 17\], .*[Kk]ernel"
            ):
                slot(network, X[..., :17], None)
        assert slot(network, X, None).shape == (3, 5)


def test_input_of_other_steps_or_types_never_reaches_the_kernels() -> None:
    network = _Two(num_steps=9).eval()
    engine = NativeEngine(network)
    for x in (torch.zeros(2, 3, 1, 40), torch.zeros(10, 3, 1, 40), torch.zeros(1, 3, 1, 40).double()):
        with pytest.raises(NotThisInput):
            engine.run(x)
    network.num_steps = 2
    with pytest.raises(NotThisInput, match="num_steps"):
        engine.run(torch.zeros(1, 3, 1, 40))
    for tensor in (torch.zeros(8).double(), torch.zeros(2, 8)[:, ::2], torch.zeros(7)):
        with pytest.raises(Unsupported, match="where the kernels need 8"):
            address(tensor, torch.float32, 8)


def test_threads_that_meet_a_network_which_is_not_for_the_engine() -> None:
    def broadcast_at_40(net: Any, spk: Tensor, dense: Tensor) -> Tensor:
        return over_time(net.conv, spk) + over_time(net.whole, spk)

    network = _Two(middle=broadcast_at_40).eval()
    slot = EngineSlot("native")
    with torch.inference_mode():
        wanted = network(X)

    @torch.inference_mode()
    def work(_: int) -> bool:
        return all(torch.allclose(slot(network, X, None), wanted) for _ in range(3))

    assert all(in_threads(work, 4))
    assert slot.info(network)["engine"] == "torch"


def test_input_that_is_left_to_pytorch_leaves_the_engine_in_place() -> None:
    def broadcast_at_40(net: Any, spk: Tensor, dense: Tensor) -> Tensor:
        current = over_time(net.conv, spk)
        return current if current.shape[-1] != 40 else current + over_time(net.whole, spk)

    network = _Two(middle=broadcast_at_40).eval()
    slot = EngineSlot("native")
    with torch.inference_mode():
        for x in (torch.randn(2, 1, 60), X, torch.randn(2, 1, 60)):
            assert torch.allclose(slot(network, x, None), network(x), atol=1e-4)
    info = slot.info(network)
    assert info["engine"] == "native"
    assert len(info["left_to_torch"]) == 1
    assert "a sum of" in info["left_to_torch"][0]


def test_torch_s_globals_change_nothing_inside() -> None:
    network = _Two().eval()
    with torch.inference_mode():
        wanted = NativeEngine(network)(X)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(NativeEngine(network)(X), wanted)
        for dtype in (torch.float64, torch.float16):
            torch.set_default_dtype(dtype)
            try:
                assert torch.equal(NativeEngine(network)(X), wanted)
            finally:
                torch.set_default_dtype(torch.float32)
        with torch.device("meta"):
            assert torch.equal(NativeEngine(network)(X), wanted)


@pytest.mark.parametrize("engine", ["auto", "native", "onnx", "torch"])
def test_layers_that_keep_fewer_steps_are_refused_by_every_engine(engine: str) -> None:
    class Fewer(_Two):
        def layers(self, x: Tensor, run: Pass) -> Tensor:
            spk = run.fire("lif1", self.lif1, over_time(self.dense, x)[:2])
            return run.readout(self.fc, run.fire("lif2", self.lif2, over_time(self.conv, spk)).mean(-1))

    network = Fewer(num_steps=9, encoding="rate").eval()
    with torch.inference_mode(), pytest.raises(ConfigError, match="num_steps=9"):
        EngineSlot(engine)(network, X, [1, 2, 3])
