"""The networks: names and shapes, legal values, one definition for both ways of running."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.features import Features
from snn_voice_hub.models.encoding import encode
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass
from tests.models.lively import BUNDLED, SNNS, lively
from tests.threads import in_threads

# Parameters and layers of neurons of the paper's networks.
PAPER = {
    **{"M5CNN": (571_939, 0), "PiczakCNN": (25_631_755, 0), "HjhCNN": (4_067, 0), "TcyCNN": (3_535, 0)},
    **{"M5SNN": (571_939, 4), "PiczakSNN": (25_631_755, 2), "HjhSNN": (4_067, 3), "TcySNN": (3_535, 1)},
    "HjhSCNN": (4_067, 1),
}


def make(name: str, **arguments: Any) -> sv.Network:
    return getattr(sv, name)(**arguments).eval()  # type: ignore[no-any-return]


def features_of(network: sv.Network, count: int = 2) -> torch.Tensor:
    waves = torch.randn(count, 16_000) * 0.1
    return Features(network.default_features)(waves)


@pytest.mark.parametrize("name", PAPER)
def test_number_of_parameters_is_the_papers(name: str) -> None:
    count, lifs = PAPER[name]
    assert sum(p.numel() for p in make(name).parameters()) == count
    if lifs:  # learned neurons add one parameter a layer each
        network = make(name, learn_beta=True, learn_threshold=True)
        assert sum(p.numel() for p in network.parameters()) == count + 2 * lifs


def test_state_dict_names_are_the_papers() -> None:
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    block = ["conv.weight", "conv.bias", *(f"bn.{n}" for n in norm), "lif.threshold", "lif.beta"]
    m5 = [f"snn.{i}.{n}" for i in range(4) for n in block] + ["fc.weight", "fc.bias"]
    assert list(make("M5SNN").state_dict()) == m5
    assert list(make("M5CNN").state_dict()) == [n.replace("snn", "cnn") for n in m5 if "lif" not in n]
    assert list(make("TcySNN").state_dict()) == ["snn.0.threshold", "snn.0.beta", "fc.weight", "fc.bias"]
    hjh = list(make("HjhSNN").state_dict())
    assert hjh[:4] == ["snn.0.threshold", "snn.0.beta", "snn.1.conv.weight", "snn.1.conv.bias"]
    assert list(make("HjhSCNN").state_dict())[2] == "cnn.0.conv.weight"
    piczak = list(make("PiczakSNN").state_dict())
    assert piczak[-6:] == [f"fc.{i}.0.{n}" for i in range(3) for n in ("weight", "bias")]


@pytest.mark.parametrize("name", BUNDLED)
def test_shapes(name: str) -> None:
    network = make(name, num_classes=7)
    x = features_of(network, 3)
    with torch.inference_mode():
        logits = network(x)
        steps = network.forward_steps(x)  # type: ignore[operator]
    assert logits.shape == (3, 7)
    assert steps.shape == (getattr(network, "num_steps", 1), 3, 7)
    assert torch.allclose(steps.sum(0), logits, atol=1e-5)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", SNNS)
@pytest.mark.parametrize("reset", ["subtract", "subtract-before-decay"])
def test_loop_equals_all_steps_at_once(name: str, reset: str) -> None:
    network = make(name, num_steps=4, reset=reset, beta=0.7)
    x = features_of(network)
    with torch.inference_mode():
        loop, at_once = network.forward_loop(x), network.forward_steps(x)  # type: ignore[operator]
    assert (loop - at_once).abs().max() <= 1e-4 * at_once.abs().max()


@pytest.mark.parametrize("name", SNNS)
def test_every_layer_of_neurons_spikes_and_learns(name: str) -> None:
    network = make(name, num_steps=3, learn_beta=True, learn_threshold=True).train()
    seen: dict[str, torch.Tensor] = {}
    out = network.forward_steps(features_of(network) * 3, tap=seen.__setitem__)  # type: ignore[operator]
    out.square().sum().backward()
    spikes = {key: value for key, value in seen.items() if not key.endswith(".mem")}
    assert len(spikes) == sum(isinstance(module, Lif) for module in network.modules())
    assert all(0 < float(spk.detach().mean()) < 1 for spk in spikes.values()), spikes.keys()
    without = [
        key for key, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()
    ]
    assert without == []


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": True}, "num_classes"),
        ({"num_classes": 3.0}, "num_classes"),
        ({"num_steps": 0}, "num_steps"),
        ({"num_steps": "5"}, "num_steps"),
        ({"beta": 1.01}, "beta"),
        ({"beta": -0.1}, "beta"),
        ({"beta": float("nan")}, "beta"),
        ({"learn_beta": 1}, "learn_beta"),
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": float("inf")}, "threshold"),
        ({"learn_threshold": "yes"}, "learn_threshold"),
        ({"encoding": "poisson"}, "encoding"),
        ({"reset": "zero"}, "reset"),
        ({"surrogate": "relu"}, "surrogate"),
    ],
)
def test_an_illegal_value_is_named(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(sv.ConfigError, match=f"^{field}=") as caught:
        sv.M5SNN(**arguments)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "shape"),
    [("M5SNN", (2, 4000)), ("M5SNN", (2, 1, 100)), ("M5CNN", (1, 2, 4000)), ("HjhCNN", (1, 1, 4000)),
     ("PiczakSNN", (1, 1, 40, 134)), ("ResMelSNN", (1, 1, 39, 101))],
)  # fmt: skip
def test_features_of_a_wrong_shape_are_an_error(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(sv.ConfigError, match="got features of shape"):
        make(name)(torch.zeros(shape))
    with pytest.raises(sv.ConfigError, match=r"torch\.int64"):
        make("M5CNN")(torch.zeros(1, 1, 4000, dtype=torch.int64))


@pytest.mark.parametrize("name", [name for name in SNNS if getattr(sv, name).lif_on_input])
def test_latency_on_a_bare_lif_warns_and_is_silent(name: str) -> None:
    with pytest.warns(UserWarning, match="stays silent"):
        network = make(name, encoding="latency")
    seen: dict[str, torch.Tensor] = {}
    network.forward_steps(features_of(network), tap=seen.__setitem__)  # type: ignore[operator]
    assert seen["snn.0"].sum() == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(name, encoding="rate")
        make("M5SNN", encoding="latency")


@pytest.mark.parametrize("encoding", ["rate", "latency"])
def test_encodings_are_spikes_that_depend_on_the_clip_alone(encoding: str) -> None:
    x = torch.randn(3, 1, 50)
    batch = encode(x * torch.tensor([1.0, 5.0, 0.2]).view(3, 1, 1), encoding, 6, clip_seeds=[1, 2, 3])
    assert batch.shape == (6, 3, 1, 50)
    assert set(batch.unique().tolist()) == {0.0, 1.0}
    alone = encode(x[1:2], encoding, 6, clip_seeds=[2])
    assert torch.equal(batch[:, 1:2], alone)  # nor on its loudness
    assert encode(torch.zeros(1, 1, 9), "rate", 4, clip_seeds=[0]).sum() == 0


class _Doubled(Lif):
    def forward(self, x: Tensor, mem: Tensor | None, num_steps: int) -> tuple[Tensor, Tensor]:
        return super().forward(x * 2, mem, num_steps)


def _own_neurons(network: Any) -> None:
    network.snn[1].lif = _Doubled(0.5)


def _hooked_neurons(network: Any) -> None:
    network.snn[1].lif.register_forward_hook(lambda module, args, out: (out[0] * 0.5, out[1]))


def _own_head(network: Any) -> None:
    network.fc = nn.Sequential(nn.Linear(512, 8), nn.ReLU(), nn.Linear(8, 35))


def _head_with_a_forward(network: Any) -> None:
    network.fc.forward = lambda x: x[..., :35] * 3


@pytest.mark.parametrize("change", [_own_neurons, _hooked_neurons, _own_head, _head_with_a_forward])
def test_a_part_that_somebody_changed_is_called_in_both_ways_of_running(change: Any) -> None:
    network: Any = lively("M5SNN", num_steps=3)
    x = features_of(network)
    with torch.inference_mode():
        before = network(x)
        change(network)
        wanted = network.forward_loop(x).sum(0)
        assert torch.allclose(network(x), wanted, atol=1e-4)
        assert not torch.allclose(before, wanted, atol=1e-3)


def test_a_part_of_another_kind_is_not_left_out() -> None:
    network: Any = make("ResMelSNN", num_steps=2)
    x = features_of(network)
    with torch.inference_mode():
        wanted = network(x)
        network.snn[1] = nn.DataParallel(network.snn[1])
        assert torch.equal(network(x), wanted)
        network.snn[1] = nn.Identity()
        with pytest.raises(sv.ConfigError, match="a Identity stands in the place of a _SpikingBlock"):
            network(x)


def test_gradients_pass_the_hooks_of_the_last_layer() -> None:
    network = make("M5SNN", num_steps=2).train()
    seen: list[tuple[int, ...]] = []
    network.get_submodule("fc").register_full_backward_hook(
        lambda module, grad_in, grad_out: seen.append(tuple(grad_out[0].shape))
    )
    network(features_of(network)).sum().backward()
    assert seen == [(2, 2, 35)]


def test_layers_of_neurons_have_a_name_each() -> None:
    class Twice(sv.SpikingNetwork):
        def build(self) -> None:
            self.lif, self.fc = self.make_lif(), nn.Linear(1, self.num_classes)

        def layers(self, x: Tensor, run: Pass) -> Tensor:
            spk = run.fire("lif", self.lif, x)
            return run.readout(self.fc, run.fire("lif", self.lif, spk).mean(-1))

    with pytest.raises(sv.ConfigError, match="two layers of neurons fire as 'lif' in one pass"):
        Twice()(torch.ones(1, 1, 9))


def test_threads_do_not_see_each_other() -> None:
    network = make("M5SNN", num_steps=3)
    inputs = [features_of(network, 1) for _ in range(4)]
    with torch.inference_mode():
        wanted = [network(x) for x in inputs]

    @torch.inference_mode()
    def work(index: int) -> bool:
        return all(torch.equal(network(inputs[index]), wanted[index]) for _ in range(5))

    assert all(in_threads(work, 4))


def test_the_registry_takes_new_architectures_and_names_near_ones() -> None:
    assert {*BUNDLED} <= {*sv.list_architectures()}
    from snn_voice_hub.registry import get_architecture

    with pytest.raises(sv.ConfigError, match=r"did you mean 'M5SNN'"):
        get_architecture("M5SNNN")
    with pytest.raises(sv.ConfigError, match="no architecture"):
        sv.register_architecture(torch.nn.Linear)  # type: ignore[type-var]

    class M5SNN(sv.M5SNN):
        pass

    with pytest.raises(sv.ConfigError, match="registered already"):
        sv.register_architecture(M5SNN)
