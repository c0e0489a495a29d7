"""Networks whose steps are the frames of the sound: all at once, step by step, in pieces of any length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.architectures.tempo import Shape, TempoSNN
from snn_voice_hub.models.causal import CausalConvNorm
from snn_voice_hub.models.framed import LEAD, Framed
from snn_voice_hub.models.network import Pass
from tests.models.lively import lively

TWINS = ("TempoCNN", "TempoSNN", "MicroCNN", "MicroSNN")


class Slowing(TempoSNN):
    """Steps half as often from its second block on."""

    frames_per_step = 4
    stem_shape = (24, 5, 2)
    block_shapes = (Shape(24, 1, 2), Shape(32, 1, 1, 2))


def spectrograms(count: int = 2, frames: int = 101, seed: int = 1) -> Tensor:
    return torch.randn(count, 1, 40, frames, generator=torch.Generator().manual_seed(seed))


def framed(name: str) -> Framed:
    network = lively(name, num_classes=7)
    assert isinstance(network, Framed)
    return network


@torch.no_grad()
@pytest.mark.parametrize("name", TWINS)
def test_a_clip_in_pieces_is_the_clip_at_once(name: str) -> None:
    network = framed(name)
    x = network.encoded(spectrograms())
    whole = network.forward_steps(spectrograms())
    steps = 100 // network.frames_per_step
    assert whole.shape == (steps, 2, 7)
    for cuts in ((1,) * steps, (3, 1, 30, steps - 34), (steps - 1, 1)):
        state, outputs = None, []
        for part in torch.split(x, cuts):
            out, state = network.advance(part, state)
            outputs.append(out)
        torch.testing.assert_close(torch.cat(outputs), whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(network.loop_encoded(x), whole, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", TWINS)
def test_the_answer_is_the_sum_of_the_newest_outputs(name: str) -> None:
    network = framed(name)
    longer = spectrograms(frames=181)
    outputs = network.forward_steps(longer)
    assert len(outputs) == 180 // network.frames_per_step
    torch.testing.assert_close(network(longer), outputs[-network.num_steps :].sum(0))
    # What is heard now and what was heard before differ from what is heard alone.
    alone = network(longer[..., -101:])
    assert not torch.allclose(network(longer), alone, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("name", TWINS)
def test_nothing_looks_ahead(name: str) -> None:
    network = framed(name)
    x, other = spectrograms(), spectrograms(seed=5)
    changed = torch.cat([x[..., :60], other[..., 60:]], -1)
    first, second = network.forward_steps(x), network.forward_steps(changed)
    known = (60 + LEAD) // network.frames_per_step
    assert torch.equal(first[:known], second[:known])
    assert not torch.equal(first[known:], second[known:])


@torch.no_grad()
@pytest.mark.parametrize("name", TWINS)
def test_streams_side_by_side_do_not_touch(name: str) -> None:
    network = framed(name)
    x = network.encoded(spectrograms(3))
    _, states = network.advance(x[:20], None)
    assert states.shape == (3, network.state_size())
    together, after = network.advance(x[20:], states)
    for i in range(3):
        alone, own = network.advance(x[20:, i : i + 1], states[i : i + 1])
        torch.testing.assert_close(alone[:, 0], together[:, i], rtol=0, atol=1e-5)
        torch.testing.assert_close(own[0], after[i], rtol=0, atol=1e-4)


@torch.no_grad()
def test_rest_is_a_state_of_zeros() -> None:
    network = framed("TempoSNN")
    x = network.encoded(spectrograms())[:9]
    out, state = network.advance(x, torch.zeros(2, network.state_size()))
    expected, after = network.advance(x)
    assert torch.equal(out, expected)
    assert torch.equal(state, after)


def test_a_state_of_another_size_is_refused() -> None:
    network = framed("TempoSNN")
    with pytest.raises(ConfigError, match=r"a state of shape \[2, 3\]"):
        network.advance(network.encoded(spectrograms())[:1], torch.zeros(2, 3))


@torch.no_grad()
def test_the_layout_tells_membranes_and_thresholds() -> None:
    network = framed("TempoSNN")
    layout = network.state_layout()
    assert layout["stem.past"] == (6, 40)
    assert layout["snn.2.conv1.past"] == (8, 128)
    thresholds = network.thresholds()
    assert len(thresholds) == 11
    assert all(layout[name][0] in (128, 144, 160) and len(layout[name]) == 1 for name in thresholds)
    seen: dict[str, Tensor] = {}
    x = network.encoded(spectrograms(1))
    _, state = network.advance(x)
    network.forward_steps(spectrograms(1), tap=seen.__setitem__)
    start = 0
    for name, shape in layout.items():
        size = torch.Size(shape).numel()
        if name in thresholds:
            fired = state[0, start : start + size] > thresholds[name]
            assert torch.equal(fired.float(), seen[name][-1, 0])
        start += size
    assert framed("TempoCNN").thresholds() == {}


@torch.no_grad()
def test_a_layer_may_step_more_often_than_the_network() -> None:
    torch.manual_seed(0)
    network = Slowing(num_classes=5, num_steps=25).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_var is not None
            module.running_var.fill_(0.05)
    seen: dict[str, Tensor] = {}
    whole = network.forward_steps(spectrograms(), tap=seen.__setitem__)
    assert whole.shape == (25, 2, 5)
    assert seen["snn.0.lif1"].shape == (25, 2, 24, 2)
    assert seen["snn.1.lif2"].shape == (25, 2, 32)
    assert 0 < seen["snn.0.lif1"].mean() < 1
    torch.testing.assert_close(network.loop_encoded(network.encoded(spectrograms())), whole)


def test_learning_one_clip_lowers_the_loss() -> None:
    torch.manual_seed(0)
    for name in TWINS:
        network = framed(name).train()
        x, target = spectrograms(8), torch.arange(8) % 7
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        losses = []
        for _ in range(12):
            loss = nn.functional.cross_entropy(network(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.6 * losses[0], name


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 1, 4), (7, 2, 1), (1, 2, 1)])
def test_a_causal_convolution_is_the_one_of_torch(kernel: int, stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    layer = CausalConvNorm(6, 5, kernel, stride, dilation).eval()
    x = torch.randn(layer.past + 8, 3, 6, requires_grad=True)
    out = layer(x)
    # The newest frame of a step is its last one.
    late = x.movedim(0, -1)[..., stride - 1 :]
    expected = layer.bn(layer.conv(late)).movedim(-1, 0)[: len(out)]
    assert len(out) == 8 // stride
    torch.testing.assert_close(out, expected)
    (got,) = torch.autograd.grad(out.square().sum(), x)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    torch.testing.assert_close(got, wanted)


def test_a_pass_keeps_what_is_looked_back_at() -> None:
    run = Pass(2, state={"a.past": torch.ones(3, 1, 2)}, keep_state=True)
    joined = run.with_past("a", torch.zeros(2, 1, 2), 3)
    assert joined[:, 0, 0].tolist() == [1, 1, 1, 0, 0]
    assert run.state["a.past"][:, 0, 0].tolist() == [1, 0, 0]
    assert Pass(1).with_past("a", torch.ones(1, 1, 2), 2)[:, 0, 0].tolist() == [0, 0, 1]


def test_other_encodings_are_refused() -> None:
    with pytest.raises(ConfigError, match="encoding"):
        TempoSNN(encoding="repeat")
    with pytest.raises(ConfigError, match="encoding"):
        sv.ResMelSNN(encoding="frames")
    for name in TWINS:  # a second, unless something else is asked for
        network = getattr(sv, name)(num_classes=3)
        assert network.num_steps * network.frames_per_step == 100


def test_micro_fits_a_microcontroller() -> None:
    for name in ("MicroCNN", "MicroSNN"):
        network = framed(name)
        assert sum(p.numel() for p in network.parameters()) < 100_000
        assert network.state_size() < 8_000
    # What the last layer looks back at: a second.
    assert isinstance(network, TempoSNN)
    blocks = sum(2 * (shape.dilation1 + shape.dilation2) for shape in network.block_shapes)
    frames = network.stem_shape[1] - 1 + network.frames_per_step * blocks
    assert 100 <= frames <= 120
