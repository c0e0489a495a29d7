"""The kernels for networks on frames: PyTorch's spikes, one answer however the sound is cut, refusals."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.native import NativeEngine
from snn_voice_hub.inference.engines.plain import LoopEngine, TorchEngine
from snn_voice_hub.models.architectures.tempo import Shape
from snn_voice_hub.models.lif_layer import Lif
from tests.generated import generate
from tests.inference.engines.framed_networks import drawn_steps, exact, shaped, small, sound
from tests.inference.engines.generated_frames import drawn
from tests.models.lively import features_of, stir
from tests.threads import in_threads

pytestmark = pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="no C++ compiler")


def in_cuts(engine: NativeEngine, x: Tensor, cuts: list[int]) -> tuple[Tensor, Tensor]:
    outputs, state = [], None
    for part in x.split(cuts):
        out, state = engine.advance(part, state)
        outputs.append(out)
    assert state is not None
    return torch.cat(outputs), state


# --- the same as PyTorch ------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", ["subtract", "subtract-before-decay"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("stem", "shapes"),
    [
        ((24, 3, 2), (Shape(24, 1, 1), Shape(33, 2, 1), Shape(17, 1, 1, 2))),
        ((130, 7, 2), (Shape(130, 1, 2), Shape(15, 4, 2, 2))),
        ((1, 1, 4), (Shape(161, 3, 1),)),
        ((48, 5, 1), (Shape(48, 1, 1, 2), Shape(48, 2, 3, 2), Shape(300, 1, 1))),
    ],
)
def test_outputs_and_states_are_those_of_pytorch_bit_for_bit(
    stem: Any, shapes: Any, reset: str, per_channel: bool
) -> None:
    """With weights of which every sum is exact; see `framed_networks`."""
    network = shaped(stem, *shapes, reset=reset, beta_per_channel=per_channel, learn_threshold=True)
    exact(network)
    lifs = [module for module in network.modules() if isinstance(module, Lif)]
    with torch.no_grad():
        for i, lif in enumerate(lifs):
            lif.threshold.fill_((0.75, 1.0, 0.4)[i % 3])
            lif.beta.copy_(torch.linspace(-0.1, 1.1, len(lif.beta)) if per_channel else torch.tensor(0.8))
    x = drawn_steps(network, 9, 3)
    engine = NativeEngine(network)
    with torch.inference_mode():
        wanted, state = network.advance(x)
        found, after = engine.advance(x, None)
        assert torch.equal(found, wanted)
        assert torch.equal(after, state)
        again, last = network.advance(x, state)
        found, after = engine.advance(x, after)
        assert torch.equal(found, again)
        assert torch.equal(after, last)
        assert torch.equal(engine.run(x), network.forward_encoded(x))
        watched = network.watch(x, state)
        assert torch.equal(watched[0], again)
        assert torch.equal(watched[1], last)
        parts = network.membranes().values()
        assert torch.equal(watched[2][-1], torch.cat([last[:, part] for part in parts], 1))
        for one in (engine, LoopEngine(network), TorchEngine(network)):
            for found, wanted_of_all in zip(one.watch(x, state), watched, strict=True):
                assert torch.equal(found, wanted_of_all)
    assert wanted.std(0).max() > 0.1


def test_generated_networks_give_outputs_and_states_of_pytorch() -> None:
    found = generate(drawn, 40, seed=3)
    assert [what for what in found if what.startswith("WRONG")] == []
    assert found["equal"] > 25


def test_weights_of_any_value_differ_by_rounding_alone() -> None:
    """Where another order of summation flips a spike, a stream goes its own way; of these few, none does."""
    network = stir(sv.TempoSNN(36, learn_beta=True)).eval()
    x = network.encoded(features_of(network, 4))
    with torch.inference_mode():
        engine = NativeEngine(network)
        wanted, state = network.advance(x)
        found, after = engine.advance(x, None)
        loop = LoopEngine(network).run(x)
    assert wanted.std() > 1e-3
    assert (found - wanted).abs().max() < 1e-5
    assert (after - state).abs().max() < 1e-4
    assert (engine.run(x) - loop).abs().max() < 1e-5 * len(x)


def test_a_stream_that_begins_is_at_rest_whatever_the_threshold() -> None:
    """With a threshold below 0 a membrane of 0 has fired; one that has not begun has not."""
    network = exact(shaped(learn_threshold=True))
    assert isinstance(network, sv.TempoSNN)
    with torch.no_grad():
        network.get_parameter("snn.1.lif1.threshold").fill_(-0.25)
    x = drawn_steps(network, 3, 2)
    engine = NativeEngine(network)
    with torch.inference_mode():
        zeros = torch.zeros_like(network.advance(x)[1])
        for state in (None, zeros):
            assert torch.equal(engine.advance(x, state)[1], network.advance(x, state)[1])
        assert not torch.equal(engine.advance(x, None)[1], engine.advance(x, zeros)[1])


def test_auto_and_native_take_them() -> None:
    network = small()
    for name in ("auto", "native"):
        engine, facts = make_engine(network, name)
        assert isinstance(engine, NativeEngine)
        assert facts["reasons"] == {}
    assert engine.details()["neuron_layers"] == 7
    assert engine.details()["state_bytes"] == 4 * engine.advance(sound(1, 1), None)[1].shape[1]


# --- one answer ---------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6), streams=st.integers(1, 5))
def test_a_clip_at_once_and_in_any_pieces_is_the_same(
    engine: NativeEngine, cuts: list[int], streams: int
) -> None:
    x = sound(sum(cuts), streams, seed=sum(cuts))
    whole, last = engine.advance(x, None)
    found, state = in_cuts(engine, x, cuts)
    assert torch.equal(found, whole)
    assert torch.equal(state, last)
    frame_by_frame, state = in_cuts(engine, x, [1] * len(x))
    assert torch.equal(frame_by_frame, whole)
    assert torch.equal(state, last)


@pytest.fixture(scope="module")
def engine() -> NativeEngine:
    return NativeEngine(small())


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_neither_batch_nor_threads_change_a_bit(engine: NativeEngine, threads: int) -> None:
    x = sound(3, 77)
    before = torch.get_num_threads()
    alone = [in_cuts(engine, x[:, i : i + 1], [2, 1]) for i in range(x.shape[1])]
    torch.set_num_threads(threads)
    try:
        together, state = in_cuts(engine, x, [1, 2])
        sums = engine.run(x)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, torch.cat([out for out, _ in alone], 1))
    assert torch.equal(state, torch.cat([after for _, after in alone]))
    assert torch.equal(sums, torch.cat([engine.run(x[:, i : i + 1]) for i in range(x.shape[1])]))


def test_calls_from_several_threads_do_not_disturb_each_other(engine: NativeEngine) -> None:
    inputs = [sound(5, 3, seed) for seed in range(4)]
    wanted = [in_cuts(engine, x, [2, 3])[0] for x in inputs]

    def work(index: int) -> bool:
        return all(torch.equal(in_cuts(engine, inputs[index], [1, 4])[0], wanted[index]) for _ in range(20))

    assert all(in_threads(work, 4))


def test_the_answer_is_the_sum_of_the_newest_outputs(engine: NativeEngine) -> None:
    for steps in (1, 4, 9, 40):
        x = sound(steps, 3)
        outputs, _ = engine.advance(x, None)
        assert torch.allclose(engine.run(x), outputs[-4:].sum(0), atol=1e-6)
    assert engine.run(sound(3, 0)).shape == (0, 7)
    out, state = engine.advance(sound(3, 0), None)
    assert (out.shape, state.shape[0]) == ((3, 0, 7), 0)


def test_the_state_that_was_given_stays_as_it_was(engine: NativeEngine) -> None:
    x = sound(4, 3)
    _, state = engine.advance(x, None)
    given = state.clone()
    _, after = engine.advance(x, state)
    assert torch.equal(state, given)
    assert after.data_ptr() != state.data_ptr()


def test_tensors_may_lie_in_memory_as_they_like(engine: NativeEngine) -> None:
    features = torch.randn(3, 1, 40, 23, generator=torch.Generator().manual_seed(5))
    x = engine.network.encoded(features)
    assert not x.is_contiguous()
    wide = torch.randn(3, 40, 4, 1, 8, generator=torch.Generator().manual_seed(6))
    for view in (x, wide.permute(4, 0, 3, 1, 2), x.flip(0), x[:, :1].expand(-1, 4, -1, -1, -1)):
        plain = view.clone(memory_format=torch.contiguous_format)
        out, state = engine.advance(plain, None)
        assert torch.equal(engine.advance(view, None)[0], out)
        every_other = torch.stack((state, -state), 1).flatten(0, 1)[::2]
        assert torch.equal(engine.advance(view, every_other)[0], engine.advance(plain, state)[0])


def test_there_are_no_gradients_and_autocast_changes_nothing(engine: NativeEngine) -> None:
    x = sound(2, 2)
    wanted, _ = engine.advance(x, None)
    out, state = engine.advance(x.clone().requires_grad_(), None)
    assert torch.equal(out, wanted)
    assert not out.requires_grad
    assert not state.requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(NativeEngine(engine.network).advance(x, None)[0], wanted)  # type: ignore[arg-type]


def test_values_that_are_no_numbers_are_those_of_pytorch() -> None:
    network = small()
    for value in (float("nan"), float("inf"), -float("inf")):
        x = sound(6, 3)
        x[1, 1, 0, 7, 2] = value
        with torch.inference_mode():
            wanted, state = network.advance(x)
        found, after = NativeEngine(network).advance(x, None)
        assert torch.equal(after.isnan(), state.isnan())
        assert torch.equal(found.isnan(), wanted.isnan())
        assert torch.allclose(found[:, ::2], wanted[:, ::2], atol=1e-5)
