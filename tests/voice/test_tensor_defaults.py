"""Answers, loading and training do not depend on torch's globals: default dtype, device, autocast, modes."""

from __future__ import annotations

import ast
import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import snn_voice_server
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.features import Features
from snn_voice_hub.models.encoding import encode
from snn_voice_hub.tensors import FLOAT32, float32_on_cpu, no_autocast, on_meta
from tests.audio.helpers import tone
from tests.models.lively import features_of, lively
from tests.slowness import mostly_slow

RATE = 16_000


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


# "meta" stands for any device but the CPU: nothing that is made there by mistake has values.
SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "deterministic": deterministic,
}


class OwnNetwork(sv.SpikingNetwork):
    """With layers and constants that nobody told a dtype."""

    feature_dims = 1
    min_shape = (16,)

    def build(self) -> None:
        self.conv = nn.Conv1d(1, 4, 16, stride=16)
        self.lif = self.make_lif(4)
        self.fc = nn.Linear(4, self.num_classes)
        self.register_buffer("scale", torch.full((4, 1), 0.1) + torch.linspace(0, 1, 4).unsqueeze(1))

    def layers(self, x: Tensor, run: Any) -> Tensor:
        current = self.conv(x.flatten(0, 1)) * self.get_buffer("scale")
        spk = run.fire("lif", self.lif, current.view(*x.shape[:2], *current.shape[1:]))
        return run.readout(self.fc, spk.mean(-1))  # type: ignore[no-any-return]


def answers(voice: sv.SnnVoice) -> dict[str, Any]:
    """All that a model can be asked."""
    clips = [tone(RATE, seconds=0.7), tone(RATE, seconds=1.6)]
    waves = torch.from_numpy(tone(RATE, freq=300.0, seconds=1.0)).unsqueeze(0)
    found: dict[str, Any] = {
        "classify": voice.classify(clips, sample_rate=RATE),
        "each": list(voice.classify_each(clips, sample_rate=RATE)),
        "windows": voice.classify_windows(clips[1], sample_rate=RATE),
        "forward": voice(waves).detach().clone(),
        "early": voice.classify(clips[0], sample_rate=RATE, early_exit=0.9),
        "energy": voice.energy(clips[0], sample_rate=RATE).to_dict(),
    }
    with voice.record_spikes(mem=True) as recorded:
        voice.classify(clips[0], sample_rate=RATE)
    found |= {"logits": recorded.logits, **recorded.spk, **{f"{n}.mem": m for n, m in recorded.mem.items()}}
    return found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
    return bool(one == other)


@pytest.mark.parametrize("setting", mostly_slow(SETTINGS, "autocast", "float64"))
def test_a_model_answers_the_same_under_any_setting(setting: str, tmp_path: Path) -> None:
    expected = answers(sv.SnnVoice.from_pretrained("m5-snn", engine="torch"))
    early = sv.SnnVoice.from_pretrained("m5-snn", engine="torch")
    with SETTINGS[setting]():
        late = sv.SnnVoice.from_pretrained("m5-snn", engine="torch")
        late.warm_up()
        late.save_pretrained(tmp_path)
        facts: dict[str, Any] = {k: getattr(late.config, k) for k in ("temperature", "name")}
        network = sv.M5SNN.from_pretrained(tmp_path)
        again = sv.SnnVoice(network, late.config.features, late.labels, engine="torch", **facts)
        for voice in (early, late, again, copy.deepcopy(early), pickle.loads(pickle.dumps(late))):
            assert voice.dtype == torch.float32
            found = answers(voice)
            different = [key for key, value in expected.items() if not same(value, found[key])]
            assert different == []
    # What was loaded inside can learn outside.
    late.network.train()(torch.zeros(2, 1, 4000)).sum().backward()


@pytest.mark.parametrize("name", [n for n in sv.list_models() if n.name != "m5-snn"], ids=lambda m: m.name)
@pytest.mark.parametrize("setting", ["float16", "device"])
def test_every_bundled_model_loads_and_answers(name: Any, setting: str) -> None:
    clip = tone(RATE, seconds=1.0)
    expected = sv.SnnVoice.from_pretrained(name.name, engine="torch").classify(clip, sample_rate=RATE)
    with SETTINGS[setting]():
        voice = sv.SnnVoice.from_pretrained(name.name, engine="torch")
        assert voice.classify(clip, sample_rate=RATE) == expected


@pytest.mark.parametrize("setting", ["float64", "float16", "device", "inference mode"])
@pytest.mark.parametrize("cls", [OwnNetwork, sv.M5SNN, sv.ResMelCNN, sv.HjhSNN])
def test_a_new_network_is_float32_on_the_cpu(cls: Any, setting: str) -> None:
    torch.manual_seed(3)
    expected = cls(num_classes=3).state_dict()
    with SETTINGS[setting]():
        torch.manual_seed(3)
        network = cls(num_classes=3)
        voice = sv.SnnVoice(network.eval(), labels=["a", "b", "c"], engine="torch")
        assert len(voice.classify(tone(RATE), sample_rate=RATE)) == 3
    for key, tensor in network.state_dict().items():
        assert same(tensor, expected[key]), key
        assert not tensor.is_inference()


@pytest.mark.parametrize("setting", ["float64", "float16", "device"])
@pytest.mark.parametrize("encoding", ["rate", "latency"])
def test_encodings(setting: str, encoding: str) -> None:
    x = torch.rand(3, 1, 50, generator=torch.Generator().manual_seed(1))
    expected = encode(x, encoding, 5, [1, 2, 3])
    with SETTINGS[setting]():
        assert same(encode(x, encoding, 5, [1, 2, 3]), expected)
        torch.manual_seed(5)
        drawn = encode(x, encoding, 5)
    torch.manual_seed(5)
    assert same(drawn, encode(x, encoding, 5))


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s not in ("no_grad", "deterministic")])
@pytest.mark.parametrize("kind", ["waveform", "logmel"])
def test_front_ends(setting: str, kind: str) -> None:
    config = FeatureConfig(kind=kind, normalization="clip", feature_rate=8000 if kind == "logmel" else 4000)
    x = torch.from_numpy(tone(RATE, seconds=1.0)).unsqueeze(0)
    expected = Features(config)(x)
    with SETTINGS[setting]():
        assert same(Features(config)(x), expected)


@pytest.mark.parametrize("setting", ["float64", "float16", "device", "autocast"])
def test_training_steps_are_the_same(setting: str) -> None:
    network = lively("M5SNN", num_steps=3, learn_beta=True, learn_threshold=True).train()
    x = features_of(network, 4)
    found = []
    for inside in (ExitStack, SETTINGS[setting]):
        network.zero_grad()
        with inside():
            loss = network(x).float().square().mean()
            loss.backward()
        found.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert len(found[0]) == len(list(network.parameters()))
    for one, other in zip(*found, strict=True):
        assert other.dtype == torch.float32
        assert bool(other.isfinite().all())
        if setting != "autocast":
            assert torch.equal(one, other)


def test_autocast_is_obeyed_in_training_and_only_there() -> None:
    voice = sv.SnnVoice.from_pretrained("m5-cnn", engine="torch")
    waves = torch.from_numpy(tone(RATE, seconds=1.0)).repeat(2, 1)
    plain = voice(waves)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(voice(waves), plain)  # also where it gives gradients
        with torch.no_grad():
            assert torch.allclose(voice(waves), plain, rtol=1e-4, atol=1e-4)
    voice.train()
    exact = voice(waves)
    with torch.autocast("cpu", torch.bfloat16):
        assert 0 < (voice(waves) - exact).abs().max() < exact.abs().max()


def test_what_is_made_inside_is_float32_on_the_cpu() -> None:
    with default_dtype(torch.float64), torch.device("meta"), torch.inference_mode(), float32_on_cpu():
        made = {
            torch.float32: [
                torch.zeros(2),
                torch.full((2,), 0.5),
                torch.tensor([[1, 2.5]]),
                torch.arange(0.0, 1.0, 0.5),
                torch.hann_window(8),
                nn.Linear(2, 2).weight,
                torch.zeros(3, **FLOAT32).new_ones(2),
            ],
            torch.int64: [torch.tensor([1]), torch.arange(3), torch.full((1,), 2), torch.randperm(3)],
            torch.bool: [torch.tensor([True])],
            # What says something else is left alone.
            torch.float16: [torch.zeros(2, dtype=torch.float16)],
        }
        assert torch.zeros(2, device="meta").is_meta
        assert torch.as_tensor(torch.zeros(1, device="meta")).is_meta
    for dtype, tensors in made.items():
        for tensor in tensors:
            assert (tensor.dtype, tensor.device.type, tensor.is_inference()) == (dtype, "cpu", False)
    assert torch.get_default_dtype() == torch.float32


def test_a_network_is_described_without_memory_and_without_drawing() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with on_meta():
        assert all(tensor.is_meta for tensor in sv.M5SNN().state_dict().values())
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(tensor.is_meta for tensor in sv.M5SNN().state_dict().values())


def precisions() -> list[str]:
    return [s.fp32_precision for s in (torch.backends.cudnn.conv, torch.backends.cuda.matmul)]


@pytest.fixture
def _precisions_as_before() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_precisions_as_before")
def test_on_cuda_float32_is_no_tf32() -> None:
    """cuDNN's convolutions round to 10 bits unless they are told not to, and spikes flip."""
    assert torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    before = precisions()
    assert "tf32" in before
    with no_autocast(torch.device("cpu")):
        assert precisions() == before  # nothing is slower for it
    gpu = torch.device("cuda")
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with no_autocast(gpu):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    with no_autocast(gpu), no_autocast(gpu):
        thread.start()
        assert entered.wait(30)
        assert precisions() == ["ieee", "ieee"]
    # Not before the last thread has left.
    assert precisions() == ["ieee", "ieee"]
    leave.set()
    thread.join()
    assert precisions() == before
    with pytest.raises(ValueError, match="within"), no_autocast(gpu):
        raise ValueError("within")
    assert precisions() == before
    assert torch.backends.cudnn.allow_tf32


_FLOATS = {
    *("empty", "zeros", "ones", "full", "rand", "randn", "eye", "linspace", "logspace", "hann_window"),
    *("normal", "scalar_tensor", "bartlett_window", "blackman_window", "hamming_window", "kaiser_window"),
}
_WHOLE = {"tensor", "as_tensor", "asarray", "arange", "range", "randint", "randperm"}


def test_calls_that_make_tensors_say_where_and_of_what() -> None:
    """In the whole package: what says nothing follows globals that other code in the process sets."""
    silent = []
    roots = [Path(module.__file__ or "").parent for module in (sv, snn_voice_server)]
    for path in (path for root in roots for path in root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"):
                continue
            name, given = node.func.attr, {keyword.arg for keyword in node.keywords}  # None stands for **kind
            floats = any(isinstance(n, ast.Constant) and isinstance(n.value, float) for n in ast.walk(node))
            needed = {"device"} if name in _FLOATS | _WHOLE else set()
            # Of "full" the value decides.
            if name in _FLOATS - {"full"} or (name in _WHOLE | {"full"} and floats):
                needed |= {"dtype"}
            if None not in given and needed - given:
                silent.append(f"{path.name}:{node.lineno} torch.{name}")
    assert silent == []
