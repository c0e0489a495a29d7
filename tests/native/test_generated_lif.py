"""A slice of the generated layers through the training kernels, and what once read foreign memory."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models import lif_layer
from snn_voice_hub.models.lif import SURROGATES, lif_scan
from snn_voice_hub.models.lif_layer import Lif, lif_spikes, lif_train
from snn_voice_hub.native import lif as native
from tests.generated import generate
from tests.native.generated_lif import drawn

compiler = pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="no C++ compiler")
STEPS = 5


def trained(lif: Lif, x: Tensor, mem: Tensor | None = None, then: Any = None, steps: int = STEPS) -> Tensor:
    return lif.train_spikes(x, mem, steps, then)


def by_torch(lif: Lif, x: Tensor, mem: Tensor | None = None, then: Any = None) -> Tensor:
    grad = SURROGATES[lif.surrogate]()
    return lif_train(x, mem, *lif._constants(x), num_steps=STEPS, spike_grad=grad, then=then)


@compiler
def test_generated_layers_are_those_of_pytorch() -> None:
    found = generate(drawn, 400, seed=7)
    assert [what for what in found if what.startswith("WRONG")] == []
    assert min(found[what] for what in ("by the kernels", "by torch", "refused")) > 50


@pytest.mark.parametrize("given", [2, 3, 4, 6, 9])
def test_other_steps_than_those_of_the_run_are_refused(given: int) -> None:
    """The kernels read past the end of a current that has fewer, and left the gradient of more unwritten."""
    lif = Lif(0.5)
    x = torch.randn(given, 2, 3, 8, requires_grad=True)
    message = rf"a current of shape \[{given}, 2, 3, 8\] for num_steps=5 \(\[5, B, \.\.\.\], or \[1, B"
    runs = (
        lambda: trained(lif, x),
        lambda: lif.spikes(x.detach(), None, STEPS),
        lambda: lif(x, None, STEPS),
        lambda: by_torch(lif, x),
    )
    for run in runs:
        with pytest.raises(ConfigError, match=message):
            run()
    with pytest.raises(ConfigError, match="the kernels can't train that layer"):
        native.train(
            x, None, lif.beta, lif.threshold,
            num_steps=STEPS, reset="subtract", surrogate="atan", then=None,
        )  # fmt: skip


def test_membranes_are_broadcast_or_refused() -> None:
    lif, x = Lif(0.7), torch.randn(STEPS, 2, 3, 8, requires_grad=True)
    for shape in ((), (8,), (3, 1), (1, 3, 8), (2, 1, 1)):
        mem = (torch.rand(shape) * 2).requires_grad_()
        whole = mem.detach().expand(2, 3, 8).clone().requires_grad_()
        grads = []
        for start in (mem, whole):
            out = trained(lif, x, start)
            out.backward(torch.ones_like(out))
            grads.append(start.grad)
        assert torch.equal(trained(lif, x, mem), trained(lif, x, whole))
        assert torch.allclose(grads[0], grads[1].sum_to_size(shape), rtol=1e-4)  # type: ignore[union-attr, arg-type]
        assert torch.equal(lif.spikes(x.detach(), mem.detach(), STEPS), lif(x, mem, STEPS)[0])
    for shape in ((4,), (2, 3, 9), (1, 2, 3, 8)):
        with pytest.raises(ConfigError, match=r"a membrane of shape .* for a current of \[2, 3, 8\] a step"):
            trained(lif, x, torch.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "then"),
    [
        ((2, 3, 3), nn.MaxPool1d(4)),
        ((2, 3, 9, 2), nn.MaxPool2d(3)),
        ((2, 3, 9, 8), nn.MaxPool1d(2)),
        ((2, 3, 1, 9, 8), nn.MaxPool2d(2)),
    ],
)
def test_a_pooling_that_does_not_fit_is_refused_by_pytorch(shape: tuple[int, ...], then: nn.Module) -> None:
    lif, x = Lif(0.7), torch.randn(STEPS, *shape, requires_grad=True)
    for run in (trained, by_torch):
        with pytest.raises(RuntimeError):
            run(lif, x, then=then)


def test_pooling_over_channels_is_what_pytorch_makes_of_it() -> None:
    """A two-dimensional pooling takes `[T * B, C, N]` for pictures; no part of it can be run by itself."""
    lif, then = Lif(0.7), nn.MaxPool2d(2)
    x = torch.randn(STEPS, 2, 6, 9, requires_grad=True)
    spk, _ = lif(x, None, STEPS)
    wanted = then(spk.flatten(0, 1)).unflatten(0, (STEPS, 2))
    assert not native.can_train(x, None, lif.beta, lif.threshold, lif.surrogate, then)
    for found in (trained(lif, x, then=then), lif.spikes(x.detach(), None, STEPS, then)):
        assert torch.equal(found, wanted)
    (grad,) = torch.autograd.grad(trained(lif, x, then=then).sum(), x)
    assert torch.allclose(grad, torch.autograd.grad(wanted.sum(), x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("beta", "threshold"), [(float("nan"), 1.0), (0.5, float("inf")), (0.5, float("nan"))]
)
def test_constants_that_are_no_numbers_go_pytorchs_way(beta: float, threshold: float) -> None:
    lif, x = Lif(beta, threshold=threshold), torch.randn(STEPS, 2, 3, 8, requires_grad=True)
    assert not native.can_train(x, None, lif.beta, lif.threshold, lif.surrogate, None)
    assert torch.equal(trained(lif, x), lif(x, None, STEPS)[0])


def test_whoever_listens_to_a_pooling_hears_it() -> None:
    lif, then, heard = Lif(0.7), nn.MaxPool1d(2), []
    x = torch.randn(STEPS, 2, 3, 8, requires_grad=True)
    assert native.can_train(x, None, lif.beta, lif.threshold, lif.surrogate, then) == (
        native._kernels() is not None
    )
    then.register_forward_hook(lambda *_: heard.append(1))
    assert not native.can_train(x, None, lif.beta, lif.threshold, lif.surrogate, then)
    trained(lif, x, then=then)
    assert heard


@pytest.mark.parametrize("shape", [(0, 3, 8), (2, 0, 8), (2, 3, 0), (0,), (0, 3)])
def test_currents_without_values(shape: tuple[int, ...]) -> None:
    lif = Lif(0.7, learn_beta=True)
    x = torch.zeros(STEPS, *shape, requires_grad=True)
    if len(shape) < 2:
        with pytest.raises(ConfigError, match=r"a current of shape \[5, 0\] \(\[T, B, C, \.\.\.\]\)"):
            trained(lif, x)
        return
    out = trained(lif, x)
    out.sum().backward()
    assert out.shape == x.shape
    assert x.grad is not None
    assert float(lif.beta.grad) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.float32])
def test_other_memory_goes_pytorchs_way(dtype: torch.dtype, device: str) -> None:
    lif = Lif(0.7).to(device, dtype)
    x = torch.randn(STEPS, 2, 3, 8, dtype=dtype, device=device, requires_grad=True)
    known = (dtype, device) == (torch.float32, "cpu") and native._kernels() is not None
    assert native.can_train(x, None, lif.beta, lif.threshold, lif.surrogate, None) == known
    out = trained(lif, x)
    assert (out.dtype, out.device.type, out.shape) == (dtype, device, x.shape)
    out.sum().backward()
    mixed = torch.zeros(2, 3, 8, dtype=torch.float64)
    assert not native.can_train(x, mixed, lif.beta, lif.threshold, lif.surrogate, None)


@compiler
def test_a_pointer_is_only_given_away_of_the_memory_that_was_announced() -> None:
    x = torch.zeros(STEPS, 2, 16, 8)
    native._at(x, (STEPS, 2, 16, 8), channels_last=False)
    wrong = [
        (x, (STEPS, 2, 16, 9), False),
        (x, (STEPS, 2, 16, 8), True),
        (x.double(), (STEPS, 2, 16, 8), False),
        (x.to("meta"), (STEPS, 2, 16, 8), False),
        (torch._neg_view(x), (STEPS, 2, 16, 8), False),  # type: ignore[no-untyped-call]
    ]
    for tensor, shape, last in wrong:
        with pytest.raises(RuntimeError, match="the kernels want float32"):
            native._at(tensor, shape, channels_last=last)


def test_betas_of_any_shape_that_can_be_broadcast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lif_layer, "_PART", 16)  # a few channels of one clip at a time
    x = torch.randn(STEPS, 2, 6, 8) * 2
    grad = SURROGATES["atan"]()
    for shape in ((), (1,), (6, 1), (2, 1, 1), (8,), (2, 6, 8)):
        beta, threshold = torch.rand(shape).requires_grad_(), torch.tensor(0.8)
        wanted, _ = lif_scan(x, None, beta, threshold, num_steps=STEPS, spike_grad=grad)
        assert torch.equal(lif_spikes(x, None, beta.detach(), threshold, num_steps=STEPS), wanted)
        found = lif_train(x, None, beta, threshold, num_steps=STEPS, spike_grad=grad)
        assert torch.equal(found, wanted)
        one, other = (torch.autograd.grad(out.sum(), beta)[0] for out in (wanted, found))
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match=r"a decay or threshold of shape \[5, 1\]"):
        lif_spikes(x, None, torch.rand(5, 1), torch.tensor(1.0), num_steps=STEPS)
