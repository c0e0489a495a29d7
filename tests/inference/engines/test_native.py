"""The event-driven kernels: the same spikes as PyTorch, whatever the layers; the build, and its absence."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.native import NativeEngine
from snn_voice_hub.models.network import Pass, over_time
from snn_voice_hub.native import build, kernels
from tests.models.lively import BUNDLED, features_of, lively
from tests.threads import in_threads

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")), reason="no C++ compiler"
)
pytestmark = needs_compiler


@pytest.fixture
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# Networks of which the kernels gain something.
TAKEN = ("M5SNN", "MicroSNN", "PiczakSNN", "ResMelSNN", "TempoSNN")


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("reset", ["subtract", "subtract-before-decay"])
@pytest.mark.parametrize("clips", [1, 5])
def test_the_networks_give_the_same_logits(name: str, reset: str, clips: int) -> None:
    for num_steps in (1, 6):
        network = lively(name, num_steps=num_steps, reset=reset, beta=0.8, threshold=0.9, num_classes=7)
        x = features_of(network, clips)
        with torch.inference_mode():
            wanted, got = network(x), NativeEngine(network)(x)
        assert got.shape == (clips, 7)
        # Another order of summation may flip a spike at its threshold; one spike is worth far less than this.
        assert (got - wanted).abs().max() <= 0.02 * wanted.abs().max()
        assert ((got - wanted).abs().amax(1) < 1e-4 * wanted.abs().max()).sum() >= clips - 1


@pytest.mark.usefixtures("_two_threads")
def test_threads_and_batches_change_nothing() -> None:
    network = lively("M5SNN", num_steps=4)
    x = features_of(network, 11)
    engine = NativeEngine(network)
    with torch.inference_mode():
        together = engine(x)
        assert torch.equal(engine(x), together)
        torch.set_num_threads(1)
        one_thread = engine(x)
        alone = torch.cat([engine(clip) for clip in x.split(1)])
    for other in (one_thread, alone):
        assert (other - together).abs().max() < 1e-4 * together.abs().max()
    assert torch.equal(engine(x[:0]), torch.empty(0, 35))


def test_calls_from_several_threads_do_not_disturb_each_other() -> None:
    network = lively("ResMelSNN", num_steps=3)
    inputs = [features_of(network, 2, seed) for seed in range(4)]
    engine = NativeEngine(network)
    wanted = [engine(x) for x in inputs]

    def work(index: int) -> bool:
        return all(torch.equal(engine(inputs[index]), wanted[index]) for _ in range(8))

    assert all(in_threads(work, 4))


@pytest.mark.parametrize("encoding", ["rate", "latency"])
def test_inputs_that_differ_from_step_to_step(encoding: str) -> None:
    network = lively("M5SNN", num_steps=5, encoding=encoding)
    x = features_of(network, 3)
    with torch.inference_mode():
        wanted = network(x, clip_seeds=[1, 2, 3])
        assert (NativeEngine(network)(x, [1, 2, 3]) - wanted).abs().max() <= 0.02 * wanted.abs().max()


def test_betas_outside_their_range_and_of_each_layer_are_used_clamped() -> None:
    network = lively("M5SNN", num_steps=4, learn_beta=True, learn_threshold=True)
    with torch.no_grad():
        for i, (beta, threshold) in enumerate(((1.3, 0.7), (-0.2, 1.1), (0.4, 0.9), (1.0, 0.5))):
            network.get_parameter(f"snn.{i}.lif.beta").fill_(beta)
            network.get_parameter(f"snn.{i}.lif.threshold").fill_(threshold)
    x = features_of(network, 4)
    with torch.inference_mode():
        wanted = network(x)
        assert (NativeEngine(network)(x) - wanted).abs().max() <= 0.02 * wanted.abs().max()


# --- any layers --------------------------------------------------------------------------------------


class _Layers(sv.SpikingNetwork):
    """Layers drawn by a test. All values are multiples of 1/8, so every order of summation is exact."""

    feature_dims = 1

    def __init__(self, plan: list[dict[str, Any]], flat: bool, num_steps: int, reset: str, seed: int) -> None:
        self.plan, self.flat, self.seed = plan, flat, seed
        super().__init__(5, num_steps=num_steps, reset=reset, beta=0.5, threshold=1.0)
        self.feature_dims, self.min_shape = (1, (1,)) if flat else (2, (1, 1))

    def build(self) -> None:
        conv, norm = (nn.Conv1d, nn.BatchNorm1d) if self.flat else (nn.Conv2d, nn.BatchNorm2d)
        pool = nn.MaxPool1d if self.flat else nn.MaxPool2d
        generator = torch.Generator().manual_seed(self.seed)
        self.first = conv(1, 16, 3, padding=1)  # type: ignore[operator]
        self.lifs = nn.ModuleList([self.make_lif()])
        self.convs, self.norms, self.pools, self.shortcuts = (nn.ModuleList() for _ in range(4))
        channels = 16
        for layer in self.plan:
            out = layer["channels"]
            args = {"kernel_size": layer["kernel"], "stride": layer["stride"], "padding": layer["padding"]}
            self.convs.append(conv(channels, out, bias=layer["bias"], **args))  # type: ignore[operator]
            self.shortcuts.append(conv(channels, out, **args) if layer["shortcut"] else nn.Identity())  # type: ignore[operator]
            self.norms.append(norm(out) if layer["norm"] else nn.Identity())  # type: ignore[operator]
            self.pools.append(pool(layer["pool"]) if layer["pool"] > 1 else nn.Identity())  # type: ignore[operator]
            self.lifs.append(self.make_lif())
            channels = out
        self.fc = nn.Linear(channels, self.num_classes)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randint(-4, 6, parameter.shape, generator=generator) / 8)
            for module in self.norms:
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.eps = 0.0
                    assert module.running_mean is not None
                    module.running_mean.copy_(
                        torch.randint(-4, 4, module.running_mean.shape, generator=generator) / 8
                    )

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        x = run.fire("first", self.lifs[0], over_time(self.first, x))  # type: ignore[arg-type]
        for i, layer in enumerate(self.plan):
            pool = self.pools[i]
            current = over_time(self.norms[i], over_time(self.convs[i], x))
            if layer["shortcut"]:
                current = over_time(self.shortcuts[i], x) + current
            elif layer["pool_first"]:
                current = over_time(pool, current)
            last = None if layer["pool_first"] else pool
            x = run.fire(str(i), self.lifs[i + 1], current, then=last)  # type: ignore[arg-type]
        return run.readout(self.fc, x.mean(-1) if self.flat else x.mean((-2, -1)))


_LAYER = st.fixed_dictionaries(
    {
        "channels": st.sampled_from([1, 16, 24, 130, 150]),
        "kernel": st.integers(1, 4),
        "stride": st.integers(1, 2),
        "padding": st.integers(0, 2),
        "pool": st.integers(1, 3),
        "pool_first": st.booleans(),
        "bias": st.booleans(),
        "norm": st.booleans(),
        "shortcut": st.booleans(),
    }
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    plan=st.lists(_LAYER, min_size=1, max_size=3),
    flat=st.booleans(),
    num_steps=st.integers(1, 4),
    reset=st.sampled_from(["subtract", "subtract-before-decay"]),
    seed=st.integers(0, 2**16),
)
def test_any_layers_give_exactly_the_same_spikes(
    plan: list[dict[str, Any]], flat: bool, num_steps: int, reset: str, seed: int
) -> None:
    for layer in plan[:-1]:
        layer["channels"] = max(16, layer["channels"])  # fewer are left to PyTorch
    network = _Layers(plan, flat, num_steps, reset, seed).eval()
    shape = (2, 1, 90) if flat else (2, 1, 40, 35)
    x = torch.randint(-16, 17, shape, generator=torch.Generator().manual_seed(seed)) / 8
    with torch.inference_mode():
        try:
            wanted = network(x)
        except RuntimeError:  # the layers leave nothing of the input
            return
        got = NativeEngine(network)(x)
    assert torch.equal(got.isnan(), wanted.isnan())
    # The mean over the positions and the head are the only sums that are rounded.
    assert torch.allclose(got.nan_to_num(), wanted.nan_to_num(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in BUNDLED if name not in TAKEN])
def test_every_other_network_is_answered_alike_or_refused_in_a_line(name: str) -> None:
    network = lively(name)
    try:
        engine = NativeEngine(network)
    except Unsupported as refused:
        assert "\n" not in str(refused)
        return
    assert name not in ("HjhSNN", "HjhSCNN", "TcySNN")  # which gain nothing
    x = features_of(network, 2)
    with torch.inference_mode():
        wanted = network(x)
        assert (engine(x) - wanted).abs().max() <= 0.02 * wanted.abs().max()


def test_unknown_operations_are_refused_and_torch_takes_over() -> None:
    class Odd(sv.M5SNN):
        def layers(self, x: Tensor, run: Pass) -> Tensor:
            return super().layers(x, run) if x.sum() > 0 else super().layers(-x, run)

    engine, facts = make_engine(Odd().eval(), "native")
    assert facts["engine"] == engine.name == "torch"
    assert "can't be traced" in facts["reasons"]["native"]

    class Square(sv.M5SNN):
        def layers(self, x: Tensor, run: Pass) -> Tensor:
            block: Any = self.snn[0]
            return super().layers(run.fire("extra", block.lif, x) ** 2, run)

    _, facts = make_engine(Square().eval(), "native")
    assert "pow" in facts["reasons"]["native"]
    _, facts = make_engine(sv.M5SNN().eval().double(), "native")
    assert "float32" in facts["reasons"]["native"]


# --- the build ---------------------------------------------------------------------------------------


@pytest.fixture
def fresh_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("SNN_VOICE_CACHE", str(tmp_path / "cache"))
    kernels._load.cache_clear()
    yield tmp_path / "cache" / "native"
    kernels._load.cache_clear()


def test_the_kernels_are_built_once_and_kept(fresh_cache: Path) -> None:
    first = kernels.load_kernels()
    assert first.seconds > 0
    assert first.path.parent == fresh_cache
    assert sorted(p.suffix for p in fresh_cache.iterdir()) == [".sha256", ".so"]
    assert stat.S_IMODE(fresh_cache.stat().st_mode) == 0o700
    kernels._load.cache_clear()
    again = kernels.load_kernels()
    assert again.seconds == 0
    assert again.path == first.path


@pytest.mark.slow
def test_a_damaged_library_is_built_again(fresh_cache: Path) -> None:
    # In another process, since the loader does not look twice at a file that this one has open.
    code = "from snn_voice_hub.native.kernels import load_kernels; print(load_kernels().path)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    path = Path(told.strip())
    path.write_bytes(path.read_bytes()[:1000])
    assert kernels.load_kernels().seconds > 0
    assert kernels.load_kernels().path == path


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("/nowhere/c++", "can't be run"),
        ("false", "fails"),
        ("true", "can't be loaded"),
        pytest.param("c++ -DX=) ", "", marks=pytest.mark.slow),
    ],
)
def test_a_compiler_that_fails_leaves_the_work_to_torch(
    compiler: str, reason: str, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", compiler)
    model = sv.SnnVoice.from_pretrained("m5-snn", engine="native")
    info = model.engine_info()
    if reason:
        assert info["engine"] == "torch"
        assert reason in info["reasons"]["native"]
        assert "\n" not in info["reasons"]["native"]
    assert not [p for p in fresh_cache.iterdir() if p.stat().st_size == 0]
    assert model.classify("examples/yes.wav")[0].label == "yes"


def test_no_compiler_and_switched_off(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(fresh_cache))
    with pytest.raises(build.BuildError, match=r"no C\+\+ compiler"):
        kernels.load_kernels()
    monkeypatch.setenv("SNN_VOICE_NATIVE", "0")
    with pytest.raises(build.BuildError, match="SNN_VOICE_NATIVE=0"):
        kernels.load_kernels()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_cache_that_others_may_write_is_not_used(fresh_cache: Path) -> None:
    fresh_cache.mkdir(parents=True)
    fresh_cache.chmod(0o777)
    with pytest.raises(build.BuildError, match="written by others"):
        kernels.load_kernels()


def test_a_cache_that_can_not_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SNN_VOICE_CACHE", str(tmp_path / "file"))
    kernels._load.cache_clear()
    with pytest.raises(build.BuildError, match="no cache folder"):
        kernels.load_kernels()
