"""A layer of neurons run in parts: the numbers of the whole, whatever the parts are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models import lif_layer
from snn_voice_hub.models.lif import RESETS, SURROGATES, lif_scan
from snn_voice_hub.models.lif_layer import Lif, lif_spikes, lif_train
from snn_voice_hub.models.network import over_time

STEPS = 4


def parts(shape: tuple[int, ...], then: nn.Module | None = None) -> list[tuple[int, int, int, int]]:
    found = lif_layer._parts(torch.zeros(shape), then)
    return [(rows.start, rows.stop, channels.start, channels.stop) for rows, channels in found]


def test_a_part_is_as_many_clips_or_channels_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lif_layer, "_PART", 60)
    assert parts((4, 2, 3, 10)) == [(0, 2, 0, 3)]  # just as many
    assert parts((4, 5, 3, 10)) == [(0, 2, 0, 3), (2, 4, 0, 3), (4, 5, 0, 3)]
    assert parts((4, 2, 3, 20)) == [(0, 1, 0, 3), (1, 2, 0, 3)]  # a clip is just a part
    assert parts((4, 2, 3, 21)) == [(0, 1, 0, 2), (0, 1, 2, 3), (1, 2, 0, 2), (1, 2, 2, 3)]
    assert parts((4, 1, 3, 7, 9)) == [(0, 1, 0, 1), (0, 1, 1, 2), (0, 1, 2, 3)]  # a channel is too much
    assert parts((4, 2, 30)) == [(0, 2, 0, 30)]
    assert parts((4, 3, 30)) == [(0, 2, 0, 30), (2, 3, 0, 30)]
    assert parts((4, 0, 30)) == [(0, 0, 0, 30)]


@pytest.mark.parametrize(
    ("then", "shape", "count"),
    [
        (nn.Identity(), (4, 4, 3, 20), 4),
        (nn.MaxPool1d(2), (4, 4, 3, 20), 4),
        (nn.AdaptiveAvgPool1d(2), (4, 4, 3, 20), 4),
        (nn.AvgPool2d(2), (4, 4, 3, 4, 5), 4),
        (nn.AdaptiveMaxPool2d(2), (4, 4, 3, 4, 5), 4),
        (nn.MaxPool1d(2), (4, 4, 3, 4, 5), 1),  # takes the clips for channels
        (nn.BatchNorm1d(3), (4, 4, 3, 20), 1),
        (nn.Sequential(nn.MaxPool1d(2)), (4, 4, 3, 20), 1),
    ],
    ids=repr,
)
def test_only_what_treats_each_channel_by_itself_is_run_in_parts(
    then: nn.Module, shape: tuple[int, ...], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lif_layer, "_PART", 60)
    assert len(parts(shape, then)) == count


CONSTANTS = {
    "one": (torch.tensor(0.8), torch.tensor(0.9)),
    "a channel": (torch.rand(3, 1) / 2 + 0.3, torch.rand(3, 1) + 0.5),
    "a place": (torch.rand(7) / 2 + 0.3, torch.rand(7) + 0.5),
    "a clip": (torch.rand(5, 1, 1) / 2 + 0.3, torch.rand(5, 1, 1) + 0.5),
    "beyond the bounds": (torch.tensor(1.3), torch.tensor(0.9)),
}


@pytest.mark.parametrize("constants", CONSTANTS)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("then", [None, nn.MaxPool1d(2)], ids=repr)
@pytest.mark.parametrize("size", [10, 63, 1 << 16])  # parts of one channel; of three clips, and two; all
@pytest.mark.parametrize(("one_current", "rests"), [(True, False), (False, True), (False, False)])
def test_spikes_and_gradients_are_those_of_the_scan(
    constants: str,
    reset: str,
    then: nn.Module | None,
    size: int,
    one_current: bool,
    rests: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lif_layer, "_PART", size)
    leaves = [torch.randn(1 if one_current else STEPS, 5, 3, 7) * 1.5, *CONSTANTS[constants]]
    start = None if rests else torch.rand(5, 3, 7) * 2
    grad = SURROGATES["atan"]()

    def run(by_parts: bool) -> tuple[Tensor, list[Tensor]]:
        x, beta, threshold = (leaf.clone().requires_grad_() for leaf in leaves)
        mem = None if start is None else start.clone().requires_grad_()
        if by_parts:
            spk = lif_train(x, mem, beta, threshold, num_steps=STEPS, reset=reset, spike_grad=grad, then=then)
        else:
            spk, _ = lif_scan(x, mem, beta, threshold, num_steps=STEPS, reset=reset, spike_grad=grad)
            spk = spk if then is None else over_time(then, spk)
        spk.backward(torch.linspace(-1, 1, spk.numel()).view_as(spk))
        grads = [leaf.grad for leaf in (x, mem, beta, threshold) if leaf is not None]
        return spk.detach(), [grad for grad in grads if grad is not None]

    (wanted, wanted_grads), (spk, grads) = run(False), run(True)
    assert 0 < wanted.mean() < 1
    assert torch.equal(spk, wanted)
    alone = lif_spikes(leaves[0], start, *leaves[1:], num_steps=STEPS, reset=reset, then=then)
    assert torch.equal(alone, wanted)
    assert len(grads) == len(wanted_grads) == (3 if rests else 4)
    for one, other in zip(grads, wanted_grads, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_each_of_two_clips_and_channels_has_its_own_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lif_layer, "_PART", 1)
    x, beta, threshold = torch.randn(STEPS, 2, 2, 9) * 1.5, torch.rand(2, 2, 1), torch.rand(2, 2, 1) + 0.5
    spk, _ = lif_scan(x, None, beta, threshold, num_steps=STEPS, spike_grad=SURROGATES["atan"]())
    assert torch.equal(lif_spikes(x, None, beta, threshold, num_steps=STEPS), spk)


def test_only_the_gradients_that_are_wanted_are_made() -> None:
    given = [torch.randn(STEPS, 2, 3, 5), torch.rand(2, 3, 5), torch.tensor(0.8), torch.tensor(0.9)]
    for wanted in range(4):
        leaves = [tensor.clone().requires_grad_(index == wanted) for index, tensor in enumerate(given)]
        lif_train(*leaves, num_steps=STEPS, spike_grad=SURROGATES["atan"]()).sum().backward()
        assert [leaf.grad is not None for leaf in leaves] == [index == wanted for index in range(4)]


def test_a_current_without_channels_is_refused() -> None:
    for run in (lif_spikes, lambda *given, **how: lif_train(*given, **how, spike_grad=SURROGATES["atan"]())):
        with pytest.raises(ConfigError, match=r"a current of shape \[4, 2\]") as caught:
            run(torch.zeros(4, 2), None, torch.tensor(0.5), torch.tensor(1.0), num_steps=4)
        assert caught.value.hint == "[T, B, C, ...]"
    assert lif_spikes(torch.ones(4, 2, 3), None, *CONSTANTS["one"], num_steps=4).shape == (4, 2, 3)


def test_what_a_layer_is_made_with_and_how_it_shows() -> None:
    plain = Lif()
    assert (plain.beta.item(), plain.threshold.item(), plain.reset, plain.surrogate) == (
        *(0.5, 1.0),
        *("subtract", "atan"),
    )
    assert not plain.beta.requires_grad
    assert not plain.threshold.requires_grad
    assert repr(plain) == "Lif(beta=0.5, threshold=1, reset='subtract')"
    channels = Lif(0.25, channels=3, threshold=0.125, reset="subtract-before-decay")
    assert channels.beta.tolist() == [0.25] * 3
    assert repr(channels) == "Lif(beta=0.25 on average, threshold=0.125, reset='subtract-before-decay')"
    assert repr(Lif().to("meta")) == "Lif(beta=?, threshold=?, reset='subtract')"
