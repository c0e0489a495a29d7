"""Engines: the choice, the plain ones, and the slot that keeps one."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.errors import MissingExtraError
from snn_voice_hub.inference.engines import choice, plain
from snn_voice_hub.inference.engines.base import Engine, Unsupported
from snn_voice_hub.inference.engines.names import CLASSES
from snn_voice_hub.inference.engines.packed import PackedLinear, with_packed_linears
from snn_voice_hub.inference.engines.plain import LoopEngine, TorchEngine
from snn_voice_hub.inference.engines.slot import EngineSlot
from tests.models.lively import BUNDLED, SNNS, features_of, lively, small_shape
from tests.slowness import mostly_slow
from tests.threads import in_threads


@pytest.mark.parametrize("name", SNNS)
@pytest.mark.parametrize("reset", ["subtract", "subtract-before-decay"])
def test_all_steps_in_parts_equal_the_loop(name: str, reset: str) -> None:
    network = lively(name, num_steps=6, reset=reset, beta=0.7)
    x = features_of(network, 5)
    with torch.inference_mode():
        wanted, got = LoopEngine(network)(x), TorchEngine(network)(x)
        every = network.forward_steps(x, tap=lambda *_: None)  # type: ignore[operator]
        tapped = every[-6:].sum(0)  # one on frames has more steps, of which the newest count
    assert wanted.std() > 0.1
    assert (got - wanted).abs().max() <= 1e-4
    assert (tapped - wanted).abs().max() <= 1e-4


@pytest.mark.parametrize("encoding", ["rate", "latency"])
def test_encodings_that_draw_take_their_seeds_through_every_plain_engine(encoding: str) -> None:
    network = lively("M5SNN", num_steps=4, encoding=encoding)
    x = features_of(network, 3)
    seeds = [7, 8, 9]
    with torch.inference_mode():
        wanted = network(x, clip_seeds=seeds)
        assert torch.equal(TorchEngine(network)(x, seeds), wanted)
        assert (LoopEngine(network)(x, seeds) - wanted).abs().max() < 1e-4
        if encoding == "rate":
            assert not torch.equal(TorchEngine(network)(x, [1, 2, 3]), wanted)


@pytest.mark.parametrize("clips", [1, 2, 3, 4, 5, 7, 9])
def test_no_part_of_a_batch_is_a_single_clip(clips: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = lively("M5SNN", num_steps=2)
    engine = TorchEngine(network)
    monkeypatch.setattr("snn_voice_hub.inference.engines.plain._VALUES", 1)
    sizes: list[int] = []
    plain = type(network).forward_encoded

    def spy(self: sv.Network, x: Tensor) -> Tensor:
        sizes.append(x.shape[1])
        return plain(self, x)

    monkeypatch.setattr(type(network), "forward_encoded", spy)
    with torch.inference_mode():
        engine(features_of(network, clips))  # the first time, it looks whether batches may be cut
        sizes.clear()
        got = engine(features_of(network, clips))
    assert sum(sizes) == clips == len(got)
    assert min(sizes) >= min(clips, 2)
    assert clips < 4 or len(sizes) > 1


@pytest.mark.parametrize("name", SNNS)
def test_nothing_is_tied_to_the_cpu(name: str) -> None:
    network = lively(name, num_steps=3).to("meta")
    x = torch.empty(4, *features_of(lively(name), 1).shape[1:], device="meta")
    with torch.inference_mode():
        for engine in (TorchEngine(network), LoopEngine(network)):
            logits = engine(x)
            assert logits.shape == (4, 35)
            assert logits.device.type == "meta"
    assert choice.order(network) == ("torch",)


def test_warm_up_makes_the_engine() -> None:
    model = model_with("torch", num_steps=2)
    assert model._engine._made is None
    model.warm_up(1, 3)
    assert model._engine._made is not None
    with pytest.raises(sv.ConfigError, match="batch_size=0"):
        model.warm_up(0)


def test_a_wrong_shape_is_told_by_every_engine() -> None:
    network = lively("M5SNN")
    for engine in (TorchEngine(network), LoopEngine(network)):
        with pytest.raises(sv.ConfigError, match="got features of shape"):
            engine(torch.zeros(2, 1, 7))


# Exporting takes seconds a network.
PAIRS = [(name, architecture) for name in CLASSES for architecture in BUNDLED]
QUICK = [pair for pair in PAIRS if pair[0] != "onnx" or pair[1] in ("M5SNN", "TcyCNN", "TcySNN")]


@pytest.mark.parametrize(("name", "architecture"), mostly_slow(PAIRS, *QUICK))
def test_every_engine_answers_as_the_loop_or_says_why_not(
    name: str, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is really compiled: that takes half a minute a network, and `test_compiled.py` does it once."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    network = lively(architecture, **({"num_steps": 2} if architecture in SNNS else {}))
    x = torch.randn(3, 1, *small_shape(type(network)), generator=torch.Generator().manual_seed(2))
    try:
        engine, facts = choice.make_engine(network, name)
        if engine.name != name:
            assert facts["reasons"][name]
            return
        with torch.inference_mode():
            got, wanted = engine(x), LoopEngine(network)(x)
    except Unsupported as reason:
        assert str(reason)
        return
    assert wanted.std() > 0.1
    # bfloat16 has three digits, and a spike that it flips moves what comes after.
    most = 0.1 * float(wanted.abs().max()) if name.endswith("bf16") else 1e-4
    assert (got - wanted).abs().max() <= most


# --- packed linear layers ----------------------------------------------------------------------------


def test_packed_layers_give_the_same_product_and_share_their_weights() -> None:
    network = lively("PiczakSNN", num_steps=2)
    twin = with_packed_linears(network)
    packed = [m for m in twin.modules() if isinstance(m, PackedLinear)]
    assert len(packed) == 1
    assert packed[0].weight is network.get_parameter("fc.1.0.weight")
    assert list(network.state_dict()) == list(twin.state_dict())
    for rows in (1, 2, 3, 15):
        x = torch.randn(rows, 5000)
        with torch.no_grad():
            assert torch.allclose(
                packed[0](x), nn.functional.linear(x, packed[0].weight, packed[0].bias), atol=1e-4
            )


def test_packing_that_fails_leaves_the_network_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Linear(1100, 1100))

    def broken(*_: Any) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(PackedLinear, "forward", broken)
    assert with_packed_linears(network) is network
    monkeypatch.undo()
    assert with_packed_linears(network) is not network
    small = nn.Sequential(nn.Linear(10, 10))
    assert with_packed_linears(small) is small


# --- the choice --------------------------------------------------------------------------------------


class _Broken(Engine):
    name = "broken"

    def __init__(self, network: sv.Network) -> None:
        raise Unsupported("it is broken")

    def run(self, x: Tensor) -> Tensor:
        raise AssertionError


class _Missing(_Broken):
    def __init__(self, network: sv.Network) -> None:
        raise MissingExtraError("onnxruntime is not installed", hint="the extra [export]")


def test_auto_goes_on_to_the_next_engine_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {"native": _Broken, "onnx": _Missing, "torch": TorchEngine}
    monkeypatch.setattr(choice, "_engine_class", classes.__getitem__)
    engine, facts = choice.make_engine(lively("M5SNN"))
    assert isinstance(engine, TorchEngine)
    assert facts["engine"] == "torch"
    assert facts["requested"] == "auto"
    assert facts["reasons"] == {
        "native": "it is broken",
        "onnx": "onnxruntime is not installed (the extra [export])",
    }
    engine, facts = choice.make_engine(lively("M5SNN"), "native")
    assert facts == {"engine": "torch", "requested": "native", "reasons": {"native": "it is broken"}}
    with pytest.raises(MissingExtraError):
        choice.make_engine(lively("M5SNN"), "onnx")


def test_auto_stays_with_pytorch_where_others_do_not_belong() -> None:
    assert choice.order(lively("M5CNN")) == ("torch",)
    assert choice.order(lively("M5SNN").half()) == ("torch",)
    assert choice.order(lively("TcySNN")) == ("torch",)
    assert choice.order(lively("M5SNN")) == ("native", "onnx", "torch")


@pytest.mark.parametrize("name", ["fast", "", None, 3])
def test_an_unknown_engine_is_refused_before_anything_is_loaded(name: Any) -> None:
    with pytest.raises(sv.ConfigError, match=r"^engine=") as caught:
        sv.SnnVoice.from_pretrained("no-such-model", engine=name)
    assert "'native'" in caught.value.hint
    model = sv.SnnVoice.from_pretrained("tcy-snn")
    with pytest.raises(sv.ConfigError, match=r"^engine="):
        model.engine = name


# --- the slot ----------------------------------------------------------------------------------------


def model_with(engine: str, architecture: str = "M5SNN", **arguments: Any) -> sv.SnnVoice:
    network = lively(architecture, num_classes=4, **arguments)
    return sv.SnnVoice(network, labels=list("abcd"), engine=engine).eval()


def test_engine_info_says_what_runs() -> None:
    info = model_with("torch").engine_info()
    assert info["engine"] == "torch"
    assert info["device"] == "cpu"
    assert info["dtype"] == "float32"
    assert info["threads"] == torch.get_num_threads()
    assert info["packed_linears"] == 0
    assert TorchEngine(lively("PiczakSNN")).details() == {"packed_linears": 1}
    plain = sv.SnnVoice(nn.Flatten(), sv.FeatureConfig(kind="waveform"), list("ab"))
    assert plain.engine_info()["engine"] == "module"


def test_changed_weights_make_a_new_engine() -> None:
    model = model_with("torch", num_steps=2)
    waves = torch.randn(2, 16_000) * 0.1
    with torch.inference_mode():
        before = model(waves)
    first = model._engine.get(model.network)[0]  # type: ignore[arg-type]
    assert model._engine.get(model.network)[0] is first  # type: ignore[arg-type]
    with torch.no_grad():
        model.network.get_parameter("fc.bias").add_(1.0)
    with torch.inference_mode():
        after = model(waves)
    assert model._engine.get(model.network)[0] is not first  # type: ignore[arg-type]
    assert torch.allclose(after, before + 2, atol=1e-4)  # the bias counts in both steps
    model.network.num_steps = 3
    assert model._engine.get(model.network)[0] is not first  # type: ignore[arg-type]


def _replace(network: Any) -> None:
    network.fc = nn.Linear(512, 4)


def _reload(network: Any) -> None:
    network.load_state_dict({key: value + 1 for key, value in network.state_dict().items()})


def _other_data(network: Any) -> None:
    network.fc.weight.data = network.fc.weight.data * 2


def _add(network: Any) -> None:
    network.register_buffer("extra", torch.zeros(1))


def _step(network: Any) -> None:
    with torch.no_grad():
        network.snn[0].lif.threshold.mul_(0.5)


def _uncounted(network: Any) -> None:
    network.fc.weight.data.mul_(2)


def _by_numpy(network: Any) -> None:
    network.snn[1].lif.beta.numpy()[...] = 0.25


def _reset(network: Any) -> None:
    network.snn[0].lif.reset = "subtract-before-decay"


def _stride(network: Any) -> None:
    network.snn[0].conv.stride = (8,)


def _own_forward(network: Any) -> None:
    network.snn[0].pool.forward = lambda x: nn.functional.max_pool1d(x, 2)


CHANGES = [_replace, _reload, _other_data, _add, _step, _uncounted, _by_numpy, _reset, _stride, _own_forward]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_network_is_seen(change: Any) -> None:
    model = model_with("torch", num_steps=2)
    network: Any = model.network
    first, _ = model._engine.get(network)
    assert model._engine.get(network)[0] is first
    change(network)
    second, _ = model._engine.get(network)
    assert second is not first
    assert model._engine.get(network)[0] is second
    waves = torch.randn(1, 16_000) * 0.1
    with torch.inference_mode():
        assert torch.allclose(model(waves), network(model.features(waves)), atol=1e-5)


class _Counting(sv.M5SNN):
    runs = 0

    def layers(self, x: Tensor, run: Any) -> Tensor:
        self.runs += 1
        return super().layers(x, run)


def test_what_an_engine_changes_while_it_is_made_is_no_change_of_the_network() -> None:
    network = _Counting(4, num_steps=2).eval()
    slot = EngineSlot("native")
    with torch.inference_mode():
        slot(network, torch.randn(2, 1, 4000), None)
    if (first := slot.get(network)[0]).name == "native":  # there is a compiler
        assert network.runs > 0
        assert slot.get(network)[0] is first


class _Coupled(sv.M5SNN):
    """Takes away what all clips of a batch have in common."""

    def layers(self, x: Tensor, run: Any) -> Tensor:
        return super().layers(x - x.mean(1, keepdim=True), run)


@pytest.mark.parametrize("name", ["torch", "native"])
def test_a_batch_of_clips_that_depend_on_each_other_is_not_cut(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "_VALUES", 1)
    torch.manual_seed(0)
    network, x = _Coupled(4, num_steps=2).eval(), torch.randn(20, 1, 4000)
    slot = EngineSlot(name)
    with torch.inference_mode():
        assert torch.allclose(slot(network, x, None), network(x), atol=1e-5)
    assert slot.info(network)["engine"] == "torch"


@pytest.mark.parametrize("engine", ["auto", "torch", "loop"])
def test_gradients_flow_where_they_are_wanted(engine: str) -> None:
    model = model_with(engine, num_steps=2)
    waves = torch.randn(2, 16_000) * 0.1
    model(waves).sum().backward()
    assert model.network.get_parameter("snn.0.conv.weight").grad is not None
    with torch.no_grad():
        assert not model(waves).requires_grad
    model.network.train()
    assert model(waves).requires_grad


def test_copies_and_pickles_have_an_engine_of_their_own() -> None:
    model = model_with("loop", num_steps=2)
    waves = torch.randn(1, 16_000) * 0.1
    with torch.inference_mode():
        wanted = model(waves)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert other.engine == "loop"
            assert other._engine is not model._engine
            assert torch.equal(other(waves), wanted)


def test_one_engine_is_made_for_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    network = lively("TcySNN", num_steps=2)
    made: list[str] = []
    real = choice.make_engine

    def slow(network: sv.Network, name: str) -> Any:
        made.append(name)
        threading.Event().wait(0.05)
        return real(network, name)

    monkeypatch.setattr("snn_voice_hub.inference.engines.slot.make_engine", slow)
    slot = EngineSlot("torch")
    in_threads(lambda _: slot.get(network), 6)
    assert made == ["torch"]
