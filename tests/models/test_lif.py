"""The neuron, against arithmetic by hand, against snnTorch, and its scan against its step."""

from __future__ import annotations

import pickle

import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.lif import RESETS, SURROGATES, lif_scan, lif_step
from snn_voice_hub.models.lif_layer import Lif

HEAVISIDE = SURROGATES["heaviside"]()


def tensors(*values: float) -> list[Tensor]:
    return [torch.tensor(value) for value in values]


def test_subtract_by_hand() -> None:
    beta, threshold = tensors(0.5, 1.0)
    mem = torch.zeros(1)
    seen = []
    for current in (0.9, 0.9, 0.9, 0.0, 0.0):
        spk, mem = lif_step(
            torch.tensor([current]), mem, beta, threshold, reset="subtract", spike_grad=HEAVISIDE
        )
        seen.append((round(mem.item(), 5), spk.item()))
    # 0.9 | 0.45+0.9 | 0.675+0.9-1 | 0.2875 | 0.14375
    assert seen == [(0.9, 0.0), (1.35, 1.0), (0.575, 0.0), (0.2875, 0.0), (0.14375, 0.0)]


def test_subtract_before_decay_by_hand() -> None:
    beta, threshold = tensors(0.5, 1.0)
    mem = torch.zeros(1)
    seen = []
    for current in (0.9, 0.9, 0.9, 0.0):
        spk, mem = lif_step(
            torch.tensor([current]), mem, beta, threshold, reset="subtract-before-decay", spike_grad=HEAVISIDE
        )
        seen.append((round(mem.item(), 5), spk.item()))
    # 0.9 | 0.45+0.9 | 0.5*(1.35-1)+0.9 | 0.5*(1.075-1)
    assert seen == [(0.9, 0.0), (1.35, 1.0), (1.075, 1.0), (0.0375, 0.0)]


def test_a_membrane_at_the_threshold_does_not_fire() -> None:
    beta, threshold = tensors(0.5, 1.0)
    spk, _ = lif_step(torch.ones(1), torch.zeros(1), beta, threshold, reset="subtract", spike_grad=HEAVISIDE)
    assert spk.item() == 0.0


@pytest.mark.parametrize(("beta", "used"), [(-0.4, 0.0), (0.0, 0.0), (1.0, 1.0), (1.7, 1.0)])
@pytest.mark.parametrize("reset", RESETS)
def test_beta_is_used_within_its_bounds(beta: float, used: float, reset: str) -> None:
    given, threshold = tensors(beta, 9.0)
    _, mem = lif_step(
        torch.ones(1), torch.full((1,), 4.0), given, threshold, reset=reset, spike_grad=HEAVISIDE
    )
    assert mem.item() == used * 4 + 1


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9, 1.0, 1.7, -0.4])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_subtract_equals_snntorch(beta: float, threshold: float) -> None:
    x = torch.randn(9, 3, 20) * 2
    theirs = snntorch.Leaky(beta=beta, threshold=threshold, learn_beta=True, learn_threshold=True)
    mem = theirs.init_leaky()
    their_x = x.clone().requires_grad_()
    spks, mems = [], []
    for current in their_x:
        spk, mem = theirs(current, mem)
        spks.append(spk)
        mems.append(mem)
    ours = Lif(beta, learn_beta=True, threshold=threshold, learn_threshold=True)
    our_x = x.clone().requires_grad_()
    spk, mem = ours(our_x, None, 9)
    assert torch.equal(spk, torch.stack(spks))
    assert (mem - torch.stack(mems)).abs().max() < 1e-6
    weight = torch.randn_like(spk)
    (torch.stack(spks) * weight).sum().backward()
    (spk * weight).sum().backward()
    assert our_x.grad is not None
    assert their_x.grad is not None
    assert (our_x.grad - their_x.grad).abs().max() < 1e-5
    assert ours.threshold.grad is not None
    assert torch.allclose(ours.threshold.grad, theirs.threshold.grad, rtol=1e-5, atol=1e-4)
    if 0 < beta < 1:  # at the bounds themselves the gradient of clamp() depends on torch's release
        assert ours.beta.grad is not None
        assert torch.allclose(ours.beta.grad, theirs.beta.grad, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("one_current", [True, False])
def test_scan_equals_its_steps_with_all_gradients(surrogate: str, reset: str, one_current: bool) -> None:
    steps = 6
    leaves = [torch.randn(1 if one_current else steps, 4, 7) * 1.5, torch.rand(4, 7), *tensors(0.8, 0.9)]
    grad = SURROGATES[surrogate]()
    weights = torch.randn(2, steps, 4, 7)

    def run(scan: bool) -> list[Tensor]:
        x, mem, beta, threshold = (leaf.clone().requires_grad_() for leaf in leaves)
        if scan:
            spk, mems = lif_scan(x, mem, beta, threshold, num_steps=steps, reset=reset, spike_grad=grad)
        else:
            state, spks, states = mem, [], []
            for t in range(steps):
                current = x[0 if one_current else t]
                s, state = lif_step(current, state, beta, threshold, reset=reset, spike_grad=grad)
                spks.append(s)
                states.append(state)
            spk, mems = torch.stack(spks), torch.stack(states)
        (spk * weights[0] + mems * weights[1]).sum().backward()
        grads = [leaf.grad for leaf in (x, mem, beta, threshold) if leaf.grad is not None]
        assert len(grads) == 4
        return [spk.detach(), mems.detach(), *grads]

    by_scan, by_steps = run(True), run(False)
    assert torch.equal(by_scan[0], by_steps[0])
    for ours, theirs in zip(by_scan[1:], by_steps[1:], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_gradient_at_the_bounds_of_beta_passes() -> None:
    for bound in (0.0, 1.0):
        beta = torch.tensor(bound, requires_grad=True)
        _, mems = lif_scan(
            torch.ones(3, 1),
            None,
            beta,
            torch.tensor(9.0),
            num_steps=3,
            reset="subtract",
            spike_grad=HEAVISIDE,
        )
        mems.sum().backward()
        # d/d beta of 1 + (beta + 1) + (beta (beta + 1) + 1) = 1 + (2 beta + 1)
        assert beta.grad is not None
        assert beta.grad.item() == pytest.approx(2 + 2 * bound)


@pytest.mark.parametrize("beyond", [-0.01, 1.01, 7.0])
def test_gradient_beyond_the_bounds_of_beta_does_not(beyond: float) -> None:
    beta = torch.tensor(beyond, requires_grad=True)
    threshold = torch.tensor(9.0)
    _, mems = lif_scan(torch.ones(3, 1), None, beta, threshold, num_steps=3, spike_grad=HEAVISIDE)
    mems.sum().backward()
    assert beta.grad is not None
    assert beta.grad.item() == 0


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("one_current", [True, False])
@pytest.mark.parametrize("rests", [True, False])
def test_what_exporters_see_is_the_scan(
    reset: str, one_current: bool, rests: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(1 if one_current else 5, 4, 7) * 1.5
    x.requires_grad_()
    mem = None if rests else torch.rand(4, 7) * 2
    beta, threshold = tensors(0.8, 0.9)
    found = []
    for exports in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda exports=exports: exports)
        found.append(lif_scan(x, mem, beta, threshold, num_steps=5, reset=reset, spike_grad=HEAVISIDE))
    (spk, mems), (seen_spk, seen_mems) = found
    assert 0 < spk.mean() < 1
    assert torch.equal(seen_spk, spk)
    assert torch.equal(seen_mems, mems)
    # Autograd is given one operation, which keeps one tensor a step; exporters see the steps themselves.
    assert spk.grad_fn is mems.grad_fn
    assert seen_spk.grad_fn is not seen_mems.grad_fn


@pytest.mark.parametrize("reset", RESETS)
def test_a_gradient_is_the_same_whatever_else_is_wanted(reset: str) -> None:
    leaves = [torch.randn(5, 4, 7) * 1.5, torch.rand(4, 7) * 2, *tensors(0.8, 0.9)]
    weight = torch.randn(5, 4, 7)

    def gradients(wanted: set[int]) -> list[Tensor | None]:
        given = [leaf.clone().requires_grad_(index in wanted) for index, leaf in enumerate(leaves)]
        spk, mems = lif_scan(*given, num_steps=5, reset=reset, spike_grad=SURROGATES["atan"]())
        ((spk + mems) * weight).sum().backward()
        return [leaf.grad for leaf in given]

    together = gradients({0, 1, 2, 3})
    for index, wanted in enumerate(together):
        alone = gradients({index})
        assert wanted is not None
        assert torch.equal(alone[index], wanted)  # type: ignore[arg-type]
        assert sum(grad is not None for grad in alone) == 1


def test_a_gradient_of_a_gradient_is_refused() -> None:
    x = torch.ones(3, 2, requires_grad=True)
    spk, _ = lif_scan(x, None, *tensors(0.5, 0.9), num_steps=3, spike_grad=SURROGATES["atan"]())
    (grad,) = torch.autograd.grad(spk.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_membrane_and_constants_may_be_broadcast_to_a_step() -> None:
    x = torch.randn(3, 2, 5) * 2
    mem, beta, threshold = torch.rand(5) * 2, torch.rand(2, 1), torch.rand(5) + 0.5
    spk, mems = lif_scan(x, mem, beta, threshold, num_steps=3, spike_grad=HEAVISIDE)
    for row in range(2):
        for place in range(5):
            one = (slice(None), slice(row, row + 1), slice(place, place + 1))
            constants = beta[row, 0], threshold[place]
            alone = lif_scan(x[one], mem[place].view(1, 1), *constants, num_steps=3, spike_grad=HEAVISIDE)
            assert torch.equal(alone[0], spk[one])
            assert torch.equal(alone[1], mems[one])


@pytest.mark.parametrize(
    ("shape", "steps", "mem", "constant", "message"),
    [
        ((1, 2, 3), 0, None, (), "num_steps=0 is not legal"),
        ((), 1, None, (), r"a current of shape \[\] for num_steps=1"),
        ((2, 2, 3), 4, None, (), r"a current of shape \[2, 2, 3\] for num_steps=4"),
        ((4, 2, 3), 4, (2, 4), (), r"a membrane of shape \[2, 4\] for a current of \[2, 3\] a step"),
        ((4, 2, 3), 4, (4, 2, 3), (), "a membrane of shape"),
        ((4, 2, 3), 4, None, (2,), r"a decay or threshold of shape \[2\] for a current of \[2, 3\] a step"),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: tuple[int, ...],
    steps: int,
    mem: tuple[int, ...] | None,
    constant: tuple[int, ...],
    message: str,
) -> None:
    start = None if mem is None else torch.zeros(mem)
    for beta, threshold in ((torch.ones(constant), torch.ones(())), (torch.ones(()), torch.ones(constant))):
        with pytest.raises(ConfigError, match=message) as caught:
            lif_scan(torch.zeros(shape), start, beta, threshold, num_steps=steps, spike_grad=HEAVISIDE)
        assert caught.value.hint


@settings(max_examples=40, deadline=None)
@given(
    beta=st.floats(-0.5, 1.5),
    threshold=st.floats(0.05, 3),
    steps=st.integers(1, 8),
    cut=st.integers(1, 7),
    reset=st.sampled_from(RESETS),
    seed=st.integers(0, 2**31),
)
def test_a_sequence_in_two_parts_is_the_sequence(
    beta: float, threshold: float, steps: int, cut: int, reset: str, seed: int
) -> None:
    x = torch.randn(steps, 2, 5, generator=torch.Generator().manual_seed(seed)) * 2
    lif = Lif(beta, threshold=threshold, reset=reset)
    whole, mems = lif(x, None, steps)
    assert set(whole.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(whole, (mems > threshold).float())
    cut = min(cut, steps)
    first, mem = lif(x[:cut], None, cut)
    parts = [first]
    if cut < steps:
        parts.append(lif(x[cut:], mem[-1], steps - cut)[0])
    assert torch.equal(torch.cat(parts), whole)


def test_state_dict_names_are_snntorchs() -> None:
    assert list(Lif().state_dict()) == ["threshold", "beta"]
    assert list(dict(Lif().named_parameters())) == []
    assert list(dict(Lif(learn_beta=True, learn_threshold=True).named_parameters())) == ["threshold", "beta"]
    theirs = snntorch.Leaky(beta=0.5).state_dict()
    assert set(Lif().state_dict()) <= set(theirs)


def test_a_layer_holds_no_state_and_can_be_pickled() -> None:
    lif = Lif(0.9)
    x = torch.ones(4, 2, 3)
    first = lif(x, None, 4)[0]
    assert torch.equal(lif(x, None, 4)[0], first)
    assert torch.equal(pickle.loads(pickle.dumps(lif))(x, None, 4)[0], first)
