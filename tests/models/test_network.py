"""One pass through a network: what its layers read, keep and show, and the ways to run it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import PAST, Pass, SpikingNetwork, summed_linear


class Small(SpikingNetwork):
    """Two layers of neurons, with pooling behind the first."""

    min_shape = (4,)

    def build(self) -> None:
        self.first, self.second = self.make_lif(1), self.make_lif(1)
        self.fc = nn.Linear(3, self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        spk = run.fire("first", self.first, x * 1.3, nn.MaxPool1d(2))
        return run.readout(self.fc, run.fire("second", self.second, spk * 0.8).squeeze(2))


def small(**given: Any) -> Small:
    return Small(**{"num_classes": 4, "num_steps": 5, **given}).eval()


def features(count: int = 3) -> Tensor:
    return torch.randn(count, 1, 6, generator=torch.Generator().manual_seed(2)) * 1.5


@pytest.mark.parametrize("encoding", ["repeat", "rate"])
@torch.no_grad()
def test_all_ways_to_run_a_network_are_one(encoding: str) -> None:
    network, x = small(encoding=encoding), features()
    seeds = [1, 2, 3]
    steps = network.forward_steps(x, clip_seeds=seeds)
    assert steps.shape == (5, 3, 4)
    assert len(steps.unique(dim=0)) > 1
    torch.testing.assert_close(network.forward_loop(x, clip_seeds=seeds), steps)
    encoded = network.encoded(x, seeds)
    torch.testing.assert_close(network.loop_encoded(encoded), steps)
    torch.testing.assert_close(network.forward_encoded(encoded), steps.sum(0))
    torch.testing.assert_close(network(x, clip_seeds=seeds), steps.sum(0))
    state, outputs = None, []
    for current in encoded.expand(5, *encoded.shape[1:]):
        out, state = network.step(current, state)
        outputs.append(out)
    torch.testing.assert_close(torch.stack(outputs), steps)
    assert state is not None
    assert {name: mem.shape for name, mem in state.items()} == {"first": (3, 1, 6), "second": (3, 1, 3)}


@torch.no_grad()
def test_a_tap_sees_spikes_and_membranes_of_each_layer_before_the_pooling() -> None:
    network, x = small(), features()
    seen: dict[str, Tensor] = {}
    tapped = network.forward_steps(x, tap=seen.__setitem__)
    assert torch.equal(tapped, network.forward_steps(x))
    assert {name: tuple(value.shape) for name, value in seen.items()} == {
        **{"first": (5, 3, 1, 6), "first.mem": (5, 3, 1, 6)},
        **{"second": (5, 3, 1, 3), "second.mem": (5, 3, 1, 3)},
    }
    for name in ("first", "second"):
        assert torch.equal(seen[name], (seen[f"{name}.mem"] > 1).float())
    in_a_step: dict[str, Tensor] = {}
    _, state = network.step(x, tap=in_a_step.__setitem__)
    assert torch.equal(in_a_step["first.mem"][0], seen["first.mem"][0])
    assert torch.equal(state["first"], seen["first.mem"][0])


@torch.no_grad()
def test_a_pass_keeps_membranes_where_it_is_asked_to_and_says_what_was_largest() -> None:
    network, x = small(), features()
    encoded = network.encoded(x)
    plain, keeping = Pass(5), Pass(5, keep_state=True)
    assert (plain.state, plain.largest, plain.num_steps) == ({}, 0, 5)
    assert torch.equal(network.layers(encoded, plain), network.layers(encoded, keeping))
    assert plain.state == {}
    assert set(keeping.state) == {"first", "second"}
    # The current of the first layer is the same in all steps: 3 x 6. Its pooled spikes are 5 x 3 x 3.
    assert plain.largest == 45
    wide = Pass(5)
    wide.fire("lif", Lif(), torch.zeros(5, 3, 1, 8), nn.MaxPool1d(8))
    wide.fire("narrow", Lif(), torch.zeros(5, 3, 1, 1))
    assert wide.largest == 120


def test_a_layer_may_step_more_often_than_the_pass() -> None:
    seen: dict[str, Tensor] = {}
    x = torch.randn(6, 2, 3) * 2
    spk = Pass(3, tap=seen.__setitem__).fire("lif", Lif(), x, steps=6)
    wanted, mems = Lif()(x, None, 6)
    assert torch.equal(spk, wanted)
    assert torch.equal(Pass(3).fire("lif", Lif(), x, steps=6), wanted)
    # Two steps of the layer in each of the pass come last.
    assert seen["lif"].shape == (3, 2, 3, 2)
    assert torch.equal(seen["lif"][1, :, :, 0], wanted[2])
    assert torch.equal(seen["lif.mem"][2, :, :, 1], mems[5])


def test_what_a_layer_looks_back_at_is_before_its_input() -> None:
    x = torch.arange(1.0, 5).view(4, 1, 1)
    first = Pass(4, keep_state=True)
    assert first.with_past("conv", x, 2).flatten().tolist() == [0, 0, 1, 2, 3, 4]
    assert first.state[f"conv{PAST}"].flatten().tolist() == [3, 4]
    then = Pass(4, state=first.state)
    assert then.with_past("conv", x, 2).flatten().tolist() == [3, 4, 1, 2, 3, 4]
    assert then.state == {}
    assert first.with_past("other", x, 0) is x
    assert set(first.state) == {f"conv{PAST}"}


@pytest.mark.parametrize("bias", [True, False])
def test_the_sum_over_the_steps_goes_through_a_linear_layer_once(bias: bool) -> None:
    layer, x = nn.Linear(6, 4, bias=bias), torch.randn(5, 3, 6)
    summed = Pass(5, summed=True).readout(layer, x)
    assert summed.shape == (1, 3, 4)
    torch.testing.assert_close(summed[0], layer(x).sum(0))
    torch.testing.assert_close(summed_linear(x, layer.weight, layer.bias), summed)
    assert torch.equal(Pass(5).readout(layer, x), layer(x))
    # One that is not linear, or that somebody listens to, is called with each step.
    assert torch.equal(Pass(5, summed=True).readout(nn.ReLU(), x), x.relu())


def before(module: nn.Module, seen: list[str]) -> None:
    module.register_forward_pre_hook(lambda module, args: seen.append("before"))


def after(module: nn.Module, seen: list[str]) -> None:
    module.register_forward_hook(lambda module, args, out: seen.append("after"))


def gradient_after(module: nn.Module, seen: list[str]) -> None:
    module.register_full_backward_hook(lambda module, grad_in, grad_out: seen.append("gradient after"))


def gradient_before(module: nn.Module, seen: list[str]) -> None:
    module.register_full_backward_pre_hook(lambda module, grad_out: seen.append("gradient before"))


@pytest.mark.parametrize("listen", [before, after, gradient_after, gradient_before])
@pytest.mark.parametrize("part", ["first", "fc"])
def test_hooks_of_every_kind_are_called(listen: Any, part: str) -> None:
    network, seen = small(learn_beta=True), []  # type: ignore[var-annotated]
    listen(network.get_submodule(part), seen)
    network(features().requires_grad_()).sum().backward()
    assert seen == [listen.__name__.replace("_", " ")]


@pytest.mark.parametrize("learns", ["nothing", "beta", "threshold", "sound"])
def test_a_gradient_is_made_for_whatever_learns(learns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    own = Lif.train_spikes
    monkeypatch.setattr(Lif, "train_spikes", lambda *given: trained.append(1) or own(*given))
    network = small(learn_beta=learns == "beta", learn_threshold=learns == "threshold")
    network.fc.requires_grad_(False)
    x = features().requires_grad_(learns == "sound")
    out = network(x)
    assert out.requires_grad == bool(trained) == (learns != "nothing")
    if learns != "nothing":
        out.sum().backward()
        leaf = x if learns == "sound" else getattr(network.first, learns)
        assert leaf.grad is not None
    trained.clear()
    with torch.no_grad():
        assert not network(x).requires_grad
    assert not trained  # it takes more time and memory


def test_neurons_have_the_settings_of_their_network() -> None:
    plain = small()
    assert (plain.beta, plain.threshold, plain.encoding, plain.reset, plain.surrogate) == (
        *(0.5, 1.0),
        *("repeat", "subtract", "atan"),
    )
    assert not any((plain.learn_beta, plain.learn_threshold, plain.beta_per_channel))
    defaults = Small()
    assert (defaults.num_classes, defaults.num_steps) == (35, 5)
    other = small(
        beta=0.25,
        learn_beta=True,
        threshold=0.75,
        learn_threshold=True,
        reset="subtract-before-decay",
        surrogate="fast_sigmoid",
        beta_per_channel=True,
    )
    lif = other.make_lif(7)
    assert lif.beta.tolist() == [0.25] * 7
    assert lif.threshold.item() == 0.75
    assert (lif.beta.requires_grad, lif.threshold.requires_grad) == (True, True)
    assert (lif.reset, lif.surrogate) == ("subtract-before-decay", "fast_sigmoid")
    assert small().make_lif(7).beta.shape == ()


@pytest.mark.parametrize(
    ("threshold", "encoding", "warns"),
    [(1.0, "latency", True), (2.0, "latency", True), (0.99, "latency", False), (1.0, "rate", False)],
)
def test_who_stays_silent_says_so(
    threshold: float, encoding: str, warns: bool, recwarn: pytest.WarningsRecorder
) -> None:
    sv.TcySNN(threshold=threshold, encoding=encoding)
    said = [warning for warning in recwarn if "stays silent" in str(warning.message)]
    assert len(said) == warns
    if warns:
        assert said[0].filename.endswith("test_network.py")  # who made the network


def test_a_network_that_is_not_defined_says_so() -> None:
    class Empty(SpikingNetwork):
        min_shape = (1,)

        def build(self) -> None:
            pass

    with pytest.raises(NotImplementedError, match=r"Empty does not define layers\(\)"):
        Empty()(torch.zeros(1, 1, 4))
