"""What is saved can be opened, or is not saved; what is opened is what it seems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

import snn_voice_hub as sv
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.saving import unwrapped
from snn_voice_hub.registry import check_checkpoint
from tests.voice.saving_helpers import WORDS, contents, made, set_to


def head(voice: Any) -> None:
    voice.network.fc = nn.Linear(voice.network.fc.in_features, 5)


def headless(voice: Any) -> None:
    voice.network.fc = nn.Identity()


def no_bias(voice: Any) -> None:
    voice.network.fc = nn.Linear(voice.network.fc.in_features, 3, bias=False)


def added(voice: Any) -> None:
    voice.network.adapter = nn.Linear(2, 2)


def spectral(voice: Any) -> None:
    parametrizations.spectral_norm(voice.network.fc)


def old_weight_norm(voice: Any) -> None:
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(voice.network.fc)


def becoming(dtype: torch.dtype) -> Callable[[Any], None]:
    def change(voice: Any) -> None:
        weight = voice.network.fc.weight.detach().to(dtype)
        voice.network.fc.weight = nn.Parameter(weight, requires_grad=False)

    return change


def labelled(voice: Any) -> None:
    voice.config.labels.append("maybe")


def another_class(voice: Any) -> None:
    voice.network = sv.TcyCNN(num_classes=3)


def more_steps(voice: Any) -> None:
    voice.network.num_steps = 2


def no_json(voice: Any) -> None:
    voice.config.training["when"] = object()


def on_meta(voice: Any) -> None:
    voice.network.to("meta")


def part_of(voice: Any, kind: type[nn.Module]) -> Any:
    return next(module for module in voice.network.modules() if isinstance(module, kind))


def strided(voice: Any) -> None:
    part_of(voice, nn.Conv1d).stride = (8,)


def otherwise_normed(voice: Any) -> None:
    part_of(voice, nn.BatchNorm1d).eps = 0.1


def another_pool(voice: Any) -> None:
    parent = next(m for m in voice.network.modules() if isinstance(getattr(m, "pool", None), nn.MaxPool1d))
    parent.pool = nn.AvgPool1d(4)


def other_neurons(voice: Any) -> None:
    part_of(voice, Lif).reset = "subtract-before-decay"


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 2


def doubled(voice: Any) -> None:
    voice.network.fc.__class__ = Doubled


REFUSED = {
    doubled: r"fc is a Doubled, not a Linear",
    head: r"fc\.weight has shape \[5, \d+\], the network wants \[3, \d+\] .*num_classes=5 and as many labels",
    headless: r"lacks fc\.weight, fc\.bias",
    no_bias: r"lacks fc\.bias",
    added: r"has unknown adapter\.weight, adapter\.bias \(.*register_architecture",
    lambda v: parametrizations.weight_norm(v.network.fc): r'remove_parametrizations\(network\.fc, "weight"\)',
    spectral: r'remove_parametrizations\(network\.fc, "weight"\)',
    old_weight_norm: r'torch\.nn\.utils\.remove_weight_norm\(network\.fc, "weight"\)',
    lambda v: prune.random_unstructured(v.network.fc, "bias", 1): r'prune\.remove\(network\.fc, "bias"\)',
    becoming(torch.int8): r"mine: fc\.weight is int8 \(legal is float32",
    becoming(torch.complex64): r"fc\.weight is complex64",
    becoming(torch.float8_e5m2): r"fc\.weight is float8_e5m2",
    on_meta: r"is on the meta device",
    set_to(float("nan")): r"mine: fc\.weight holds 1 NaN of [\d,]+ values",
    set_to(float("-inf"), "fc.bias"): r"mine: fc\.bias holds 1 infinite of 3 values",
    labelled: r"labels has 4 entries",
    another_class: r"the network is a snn_voice_hub\.models\.architectures\.tcy\.TcyCNN",
    more_steps: r"the network's num_steps is 2, its configuration says",
    no_json: r"configuration|can't be written|JSON",
}


@pytest.mark.parametrize(("change", "said"), REFUSED.items())
def test_what_could_not_be_opened_is_not_saved(
    change: Callable[[Any], None], said: str, folder: Path, tmp_path: Path
) -> None:
    voice = made()
    change(voice)
    before = contents(folder)
    for target in (folder, tmp_path / "new"):
        with pytest.raises((CheckpointError, ConfigError), match=said) as raised:
            voice.save_pretrained(target)
        assert "\n" not in str(raised.value)
    assert contents(folder) == before
    assert contents(tmp_path / "new") == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (strided, r"snn\.0\.conv\.stride is \(8,\), and \(4,\) where it is made new"),
        (otherwise_normed, r"snn\.0\.bn\.eps is 0\.1, and 1e-05"),
        (another_pool, r"snn\.0\.pool is a AvgPool1d, not a MaxPool1d"),
        (other_neurons, r"snn\.0\.lif\.reset is 'subtract-before-decay', and 'subtract'"),
    ],
)
def test_a_network_that_would_answer_otherwise_is_not_saved(
    change: Callable[[Any], None], said: str, tmp_path: Path
) -> None:
    voice = made("M5SNN")
    change(voice)
    with pytest.raises(ConfigError, match=said):
        voice.save_pretrained(tmp_path)
    assert contents(tmp_path) == {}


def test_what_was_refused_can_be_saved_as_the_message_says(tmp_path: Path) -> None:
    voice = made()
    wave = torch.randn(1, 16_000)
    parametrizations.weight_norm(voice.network.fc)  # type: ignore[arg-type]
    nn.utils.parametrize.remove_parametrizations(voice.network.fc, "weight")  # type: ignore[arg-type]
    voice.save_pretrained(tmp_path)
    with torch.inference_mode():
        assert torch.equal(sv.SnnVoice.from_pretrained(tmp_path, engine="torch")(wave), voice(wave))


WRAPPINGS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compile": torch.compile,  # type: ignore[dict-item]
    "parallel": nn.DataParallel,
    "synchronous": nn.SyncBatchNorm.convert_sync_batchnorm,
    "averaged": torch.optim.swa_utils.AveragedModel,
    "both": lambda network: torch.compile(nn.DataParallel(network)),  # type: ignore[dict-item, return-value]
}


@pytest.mark.parametrize("folder_of_none", ["", "a\0b"])
def test_a_path_that_is_none_is_refused(folder_of_none: str) -> None:
    with pytest.raises(ConfigError, match="save_directory"):
        made().save_pretrained(folder_of_none)


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_wrappers_are_left_behind(wrap: Callable[[nn.Module], nn.Module], tmp_path: Path) -> None:
    voice = made()
    network = voice.network
    voice.network = wrap(network)
    inner = unwrapped(voice.network)
    assert type(inner) is type(network)
    for name, model in (("assigned", voice), ("given", sv.SnnVoice(wrap(network), labels=WORDS))):
        model.save_pretrained(tmp_path / name)
        assert list(load_file(tmp_path / name / "model.safetensors")) == sorted(network.state_dict())
        again = sv.SnnVoice.from_pretrained(tmp_path / name).network.state_dict()
        assert all(torch.equal(again[key], value) for key, value in inner.state_dict().items())


def test_a_compiled_part_is_saved_and_a_parallel_network_answers(tmp_path: Path) -> None:
    voice = made()
    wave = torch.randn(2, 16_000)
    expected = voice.classify(list(wave), sample_rate=16_000)
    voice.network.fc = torch.compile(voice.network.fc)  # type: ignore[assignment, arg-type]
    assert "fc._orig_mod.weight" in voice.network.state_dict()
    voice.save_pretrained(tmp_path)
    again = sv.SnnVoice.from_pretrained(tmp_path, engine="torch")
    assert again.classify(list(wave), sample_rate=16_000) == expected
    again.network = nn.DataParallel(again.network)
    assert again.classify(list(wave), sample_rate=16_000) == expected
    with again.record_spikes() as rec:
        again.classify(wave[0], sample_rate=16_000)
    assert len(rec) == 1
    torch.compile(again.network).module.save_pretrained(tmp_path / "bare")  # type: ignore[attr-defined, operator]
    assert same_weights(tmp_path / "bare", tmp_path)


def same_weights(one: Path, other: Path) -> bool:
    left, right = (load_file(folder / "model.safetensors") for folder in (one, other))
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


PREFIXES = ("_orig_mod.", "module.", "network.", "_orig_mod.module.", "module._orig_mod.network.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_files_with_the_names_of_wrappers_open(prefix: str, folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file({prefix + key: value for key, value in weights.items()}, path)
    network = sv.SnnVoice.from_pretrained(folder).network.state_dict()
    assert all(torch.equal(network[key], value) for key, value in weights.items())
    check_checkpoint(folder)
    # One name twice: which of the two is meant?
    twice = {prefix + key: value for key, value in weights.items()} | {"fc.bias": torch.zeros(3)}
    save_file(twice, path)
    with pytest.raises(CheckpointError, match="does not fit its"):
        sv.SnnVoice.from_pretrained(folder)


class Module(sv.ConvNetwork):
    """A network of one's own with parts that are called as wrappers are."""

    def build(self) -> None:
        self.module = nn.Conv1d(1, 4, 9, 4)
        self.network = nn.Linear(4, self.num_classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.network(self.module(features).relu().mean(-1))
        return out


class Fixed(sv.ConvNetwork):
    """One whose head does not ask how many classes there are; its weights are tied, and it has a mask."""

    def build(self) -> None:
        self.one = nn.Linear(4, 4)
        self.other = nn.Linear(4, 4)
        self.other.weight = self.one.weight
        self.register_buffer("mask", torch.tensor([True, False, True, True]))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = features.unfold(-1, 4, 4).mean((1, 2))
        return self.other(self.one(x) * self.mask)  # type: ignore[no-any-return, operator]


@pytest.fixture
def registered() -> None:
    for cls in (Module, Fixed):
        sv.register_architecture(cls)


@pytest.mark.usefixtures("registered")
def test_own_networks(tmp_path: Path) -> None:
    for wrap in (lambda network: network, nn.DataParallel):
        sv.SnnVoice(wrap(Module(num_classes=2)), labels=["a", "b"]).save_pretrained(tmp_path / "m")
        assert "module.weight" in load_file(tmp_path / "m" / "model.safetensors")
        sv.SnnVoice.from_pretrained(tmp_path / "m")
    sv.SnnVoice(Fixed(num_classes=4), labels=list("abcd")).save_pretrained(tmp_path / "f")
    again = sv.SnnVoice.from_pretrained(tmp_path / "f")
    assert len(again.classify(torch.randn(16_000), sample_rate=16_000)) == 4
    with pytest.raises(ConfigError, match="Fixed gives 4 outputs for 3 labels"):
        sv.SnnVoice(Fixed(num_classes=3), labels=list("abc")).save_pretrained(tmp_path / "g")
    # A mask is a mask: what would have to be cast is refused.
    weights = load_file(tmp_path / "f" / "model.safetensors")
    save_file(weights | {"mask": weights["mask"].float()}, tmp_path / "f" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"mask is float32 \(legal is bool"):
        sv.SnnVoice.from_pretrained(tmp_path / "f")
