"""Training with the neurons' C++ kernels, and part by part in PyTorch: the numbers of the plain scan."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.models import lif_layer
from snn_voice_hub.models.layers import BatchNorm1d, Conv1d, is_channels_last
from snn_voice_hub.models.lif import RESETS, SURROGATES
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import over_time
from snn_voice_hub.native import build
from snn_voice_hub.native import lif as native
from tests.models.lively import SNNS, features_of, lively

STEPS = 5
SHAPES: dict[str, tuple[tuple[int, ...], nn.Module | None]] = {
    "plain": ((3, 6, 20), None),
    "no positions": ((3, 6), None),
    "pooled": ((3, 6, 22), nn.MaxPool1d(4)),
    "wide window": ((2, 3, 25), nn.MaxPool1d(9)),
    "two axes": ((2, 3, 9, 11), nn.MaxPool2d(2)),
    "oblong": ((2, 3, 9, 11), nn.MaxPool2d((3, 2))),
    "identity": ((2, 3, 9, 11), nn.Identity()),
    "channels last": ((2, 32, 11), None),
    "channels last, pooled": ((2, 32, 11), nn.MaxPool1d(4)),
    "channels last, two axes": ((2, 16, 5, 7), nn.MaxPool2d((2, 3))),
}


def laid_out(x: Tensor, shape: str, channels: int) -> Tensor:
    """Values of `[..., C, positions]` with the strides that the shape's name asks for."""
    if not shape.startswith("channels last"):
        return x
    return x.movedim(channels, -1).contiguous().movedim(-1, channels)


def plain(lif: Lif, x: Tensor, mem: Tensor | None, then: nn.Module | None) -> Tensor:
    spk, _ = lif(x, mem, STEPS)
    return spk if then is None else over_time(then, spk)


def by_parts(lif: Lif, x: Tensor, mem: Tensor | None, then: nn.Module | None) -> Tensor:
    return lif_layer.lif_train(
        x, mem, lif.beta, lif.threshold, num_steps=STEPS, reset=lif.reset,
        spike_grad=SURROGATES[lif.surrogate](), then=then,
    )  # fmt: skip


def by_kernels(lif: Lif, x: Tensor, mem: Tensor | None, then: nn.Module | None) -> Tensor:
    assert native.can_train(x, mem, lif.beta, lif.threshold, lif.surrogate, then)
    return lif.train_spikes(x, mem, STEPS, then)


@pytest.mark.parametrize("way", [by_parts, by_kernels])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize(("one_current", "rests"), [(True, True), (False, False)])
def test_spikes_and_gradients_are_those_of_the_scan(
    way: Any, shape: str, surrogate: str, reset: str, one_current: bool, rests: bool, monkeypatch: Any
) -> None:
    if way is by_kernels and not shutil.which("c++") and not shutil.which("g++"):
        pytest.skip("no C++ compiler")
    monkeypatch.setattr(lif_layer, "_PART", 64)  # several clips, or a few channels of one
    size, then = SHAPES[shape]
    lif = Lif(0.8, learn_beta=True, threshold=0.9, learn_threshold=True, reset=reset, surrogate=surrogate)
    x = laid_out(torch.randn(1 if one_current else STEPS, *size) * 1.5, shape, 2)
    mem = None if rests else laid_out(torch.rand(size) * 1.5, shape, 1)
    found = []
    weight: Tensor | None = None
    for run in (plain, way):
        leaves = [x.clone().requires_grad_(), None if mem is None else mem.clone().requires_grad_()]
        lif.zero_grad()
        out = run(lif, *leaves, then)
        weight = torch.randn_like(out) if weight is None else weight
        (out * weight).sum().backward()
        grads = [t.grad for t in (*leaves, lif.beta, lif.threshold) if t is not None]
        assert all(grad is not None for grad in grads)
        found.append([out.detach(), *[grad.clone() for grad in grads if grad is not None]])
    assert 0 < found[0][0].mean() < 1
    assert torch.equal(found[0][0], found[1][0])
    for wanted, got in zip(found[0][1:], found[1][1:], strict=True):
        assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()) + 1e-6)


def test_what_is_channels_last_stays_so() -> None:
    lif = Lif(0.7)
    x = laid_out(torch.randn(STEPS, 2, 32, 12), "channels last", 2).requires_grad_()
    out = by_kernels(lif, x, None, nn.MaxPool1d(4))
    assert is_channels_last(out)
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert is_channels_last(grad)
    assert not is_channels_last(by_kernels(lif, torch.randn(STEPS, 2, 32, 12), None, nn.MaxPool1d(4)))


@pytest.mark.parametrize(("channels", "stride", "padding", "bias"), [(1, 4, 39, True), (24, 2, 1, False)])
def test_layers_that_train_channels_last_are_pytorchs(
    channels: int, stride: int, padding: int, bias: bool
) -> None:
    args: dict[str, Any] = {"stride": stride, "padding": padding, "bias": bias}
    kernel = 80 if channels == 1 else 3
    ours = nn.Sequential(Conv1d(channels, 32, kernel, **args), BatchNorm1d(32)).train()
    theirs = nn.Sequential(nn.Conv1d(channels, 32, kernel, **args), nn.BatchNorm1d(32)).train()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, channels, 200)
    found = []
    for layers in (ours, theirs):
        leaf = x.clone().requires_grad_()
        out = layers(leaf)
        (out * torch.linspace(-1, 1, out.shape[-1])).square().sum().backward()
        assert is_channels_last(out) == (layers is ours)
        found.append([out.detach(), leaf.grad, *(p.grad for p in layers.parameters()), *layers.buffers()])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-3)
    ours.eval()
    assert torch.allclose(ours(x), theirs.eval()(x), atol=1e-5)
    assert not is_channels_last(ours(x))


def test_under_autocast_only_the_products_are_in_bfloat16() -> None:
    network = lively("M5SNN", num_steps=2).train()
    x = features_of(network, 4)
    with torch.autocast("cpu", torch.bfloat16):
        current = network.snn[0].conv(x)  # type: ignore[index, union-attr, operator]
        half = network(x)
    assert current.dtype == torch.float32
    exact = network.snn[0].conv(x)  # type: ignore[index, union-attr, operator]
    assert 0 < (current - exact).abs().max() < 0.02 * exact.abs().max()
    assert half.std() > 0


@pytest.mark.parametrize("bound", [0.0, 1.0, 1.4, -0.3])
def test_gradients_of_beta_at_and_beyond_its_bounds(bound: float) -> None:
    found = []
    for run in (plain, by_kernels):
        lif = Lif(bound, learn_beta=True)
        x = torch.randn(STEPS, 2, 3, 8, generator=torch.Generator().manual_seed(1)) * 2
        run(lif, x.requires_grad_(), None, None).sum().backward()
        found.append(lif.beta.grad)
    assert torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-4)  # type: ignore[arg-type]
    assert (found[1] == 0) == (not 0 <= bound <= 1)


def test_threads_share_the_rows() -> None:
    x = (torch.randn(STEPS, 3, 5, 40) * 1.5).requires_grad_()
    lif = Lif(0.7, learn_beta=True)
    before, grads = torch.get_num_threads(), []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        x.grad = lif.beta.grad = None
        by_kernels(lif, x, None, nn.MaxPool1d(4)).sum().backward()
        grads.append((x.grad, lif.beta.grad))
    torch.set_num_threads(before)
    for x_grad, beta_grad in grads[1:]:
        assert torch.equal(x_grad, grads[0][0])  # type: ignore[arg-type]
        assert torch.allclose(beta_grad, grads[0][1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "then",
    [nn.MaxPool1d(4, stride=2), nn.MaxPool1d(4, padding=1), nn.MaxPool1d(3, ceil_mode=True), nn.AvgPool1d(2)],
    ids=repr,
)
def test_other_pooling_is_left_to_pytorch(then: nn.Module) -> None:
    x = torch.randn(STEPS, 2, 3, 17).requires_grad_()
    lif = Lif(0.7)
    assert not native.can_train(x, None, lif.beta, lif.threshold, lif.surrogate, then)
    out = lif.train_spikes(x, None, STEPS, then)
    assert torch.equal(out, plain(lif, x, None, then))
    out.sum().backward()


@pytest.mark.parametrize("name", SNNS)
def test_a_networks_gradients_are_the_same_without_the_kernels(name: str, monkeypatch: Any) -> None:
    network = lively(name, num_steps=3, learn_beta=True, learn_threshold=True)
    x = features_of(network, 4)
    found = []
    for kernels in (True, False):
        if not kernels:
            monkeypatch.setattr(native, "_kernels", lambda: None)
        network.zero_grad()
        network(x).square().mean().backward()
        found.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) == len(list(network.parameters()))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()) + 1e-7)


def test_training_goes_on_where_nothing_can_be_built(monkeypatch: Any) -> None:
    native._kernels.cache_clear()
    monkeypatch.setenv(build.SWITCH_VARIABLE, "0")
    try:
        network = lively("M5SNN", num_steps=2).train()
        network(features_of(network, 2)).sum().backward()
        assert native._kernels() is None
        assert network.get_parameter("snn.0.conv.weight").grad is not None
    finally:
        native._kernels.cache_clear()


def test_an_untrained_network_trains() -> None:
    network = sv.TcySNN(num_classes=3, num_steps=3).train()
    x = features_of(network, 6)
    targets = torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    losses = []
    for _ in range(25):
        loss = nn.functional.cross_entropy(network(x), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
