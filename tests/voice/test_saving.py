"""What is saved can be opened, or is not saved; what is opened is what it seems."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

import snn_voice_hub as sv
from snn_voice_hub.errors import CheckpointError, ConfigError, SnnVoiceError
from snn_voice_hub.export.nir.files import export_nir
from snn_voice_hub.export.whole import export_torch
from snn_voice_hub.hub.checkpoints import resolve, write_checkpoint
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.saving import unwrapped
from snn_voice_hub.registry import check_checkpoint
from tests.cli.helpers import invoke, refused
from tests.places import ROOT

WORDS = ["yes", "no", "_silence_"]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"


def made(architecture: str = "TcySNN") -> sv.SnnVoice:
    voice = sv.SnnVoice(getattr(sv, architecture)(num_classes=3), labels=WORDS, name="mine", engine="torch")
    return voice.eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made().save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


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


def set_to(value: float, name: str = "fc.weight") -> Callable[[Any], None]:
    def change(voice: Any) -> None:
        voice.network.state_dict()[name].view(-1)[1] = value

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


BROKEN = {
    "nan": (lambda t: t * float("nan"), r"model\.safetensors: fc\.weight holds [\d,]+ NaN of"),
    "infinite": (lambda t: t / 0, r"fc\.weight holds"),
    "int8": (lambda t: t.char(), r"fc\.weight is int8 \(legal is float32, float16, bfloat16, float64"),
    "int64": (lambda t: t.long(), r"fc\.weight is int64"),
    "bool": (lambda t: t > 0, r"fc\.weight is bool"),
    "float8": (lambda t: t.to(torch.float8_e4m3fn), r"fc\.weight is float8_e4m3fn"),
}


@pytest.mark.parametrize(("change", "said"), BROKEN.values(), ids=BROKEN)
def test_files_of_broken_weights_are_refused_by_name(
    change: Callable[[torch.Tensor], torch.Tensor], said: str, folder: Path
) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file(weights | {"fc.weight": change(weights["fc.weight"])}, path)
    for door in (sv.SnnVoice.from_pretrained, sv.TcySNN.from_pretrained, check_checkpoint):
        with pytest.raises(CheckpointError, match=said):
            door(folder)


def test_the_commands_say_which_weights_are_no_numbers(folder: Path, tmp_path: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file(weights | {"fc.bias": torch.full((3,), float("nan"))}, path)
    sound = str(ROOT / "examples" / "yes.wav")
    for command in (
        ["classify", "--model", str(folder), sound],
        ["export", str(folder), "--out", str(tmp_path / "x.onnx")],
        ["push", str(folder), "me/broken"],
    ):
        assert "fc.bias holds 3 NaN of 3 values" in refused(*command)


def test_float64_becomes_float32_and_says_so(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    voice = made().double()
    voice.save_pretrained(tmp_path / "double")
    assert "mine: weights in float64 are taken as float32" in caplog.text
    assert {t.dtype for t in load_file(tmp_path / "double" / "model.safetensors").values()} == {
        torch.float32,
        *{t.dtype for t in voice.network.state_dict().values() if not t.is_floating_point()},
    }
    caplog.clear()
    weights = {
        key: t.double() if t.is_floating_point() else t for key, t in voice.network.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors")
    assert sv.SnnVoice.from_pretrained(folder).dtype == torch.float32
    assert "weights in float64 are taken as float32" in caplog.text
    weights["fc.bias"][0] = 1e300
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"fc\.bias has values past the range of float32"):
        sv.SnnVoice.from_pretrained(folder)


def test_weights_that_float16_can_not_hold_are_not_made_infinite(tmp_path: Path) -> None:
    voice = made()
    set_to(1e6)(voice)
    voice.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"fc\.weight has values past the range of float16"):
        sv.SnnVoice.from_pretrained(tmp_path, dtype="float16")


@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_a_broken_network_is_not_blamed_on_the_sound(on_error: str) -> None:
    voice = made()
    wave = torch.randn(16_000)
    set_to(float("nan"), "fc.bias")(voice)
    for clips in (wave, [wave, wave]):
        with pytest.raises(CheckpointError, match=r"mine: fc\.bias holds 1 NaN of 3 values"):
            voice.classify(clips, sample_rate=16_000, on_error=on_error)
    with pytest.raises(CheckpointError, match=r"mine: fc\.bias holds 1 NaN"):
        voice.warm_up()
    # All weights are finite, and no sound is heard in them.
    voice = made("M5CNN")
    voice.network.state_dict()["cnn.0.bn.running_var"].fill_(-1)
    with pytest.raises(CheckpointError, match="no score is finite, not even for silence"):
        voice.warm_up()
    with pytest.raises(CheckpointError, match="no score is finite, not even for silence"):
        voice.classify(wave, sample_rate=16_000, on_error=on_error)


def test_a_sound_network_is_not_blamed_for_the_sound() -> None:
    voice = sv.SnnVoice(sv.M5CNN(num_classes=3), {"kind": "waveform"}, WORDS, engine="torch").eval()
    voice.network.half()
    quiet, loud = torch.randn(16_000), torch.randn(16_000) * 1e11
    voice.warm_up()
    for clips in (loud, [quiet, loud]):
        with pytest.raises(sv.AudioError, match="is so loud that its scores are not finite"):
            voice.classify(clips, sample_rate=16_000, function_to_apply="sigmoid")
    good, bad = voice.classify([quiet, loud], sample_rate=16_000, on_error="return")
    assert isinstance(good, list)
    assert isinstance(bad, sv.AudioError)
    assert str(bad).startswith("clip 1: ")
    assert bad.code == "not_finite"


# --- what stands in the place of a file -----------------------------------------------------------


STRANGERS = {
    "pointer": (POINTER, "is a Git LFS pointer, not the file itself .*git lfs pull"),
    "pointer of windows": (b"\xef\xbb\xbf" + POINTER.replace(b"\n", b"\r\n"), "is a Git LFS pointer"),
    "page": (b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>", "is a web page"),
    "empty": (b"", "is empty"),
    "cut": (b"\x80", "JSON|cut off"),
}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize(("content", "said"), STRANGERS.values(), ids=STRANGERS)
def test_strangers_are_called_what_they_are(content: bytes, said: str, name: str, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(SnnVoiceError, match=said):
        sv.SnnVoice.from_pretrained(folder)


def test_a_header_may_begin_as_a_pickle_does(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    padded = 0x10280  # of such a length the first bytes are those of a pickle
    assert length < padded
    header = data[8 : 8 + length] + b" " * (padded - length)
    path.write_bytes(padded.to_bytes(8, "little") + header + data[8 + length :])
    assert path.read_bytes().startswith(b"\x80\x02")
    assert sv.SnnVoice.from_pretrained(folder).labels == WORDS


def test_a_network_in_memory_is_not_exported_with_weights_that_are_no_numbers(tmp_path: Path) -> None:
    voice = made()
    set_to(float("nan"), "fc.bias")(voice)
    for export in (export_nir, export_torch):
        with pytest.raises(SnnVoiceError, match=r"TcySNN can't be exported: fc\.bias holds 1 NaN of 3"):
            export(voice.network, voice.config, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_strangers_in_the_place_of_weights(folder: Path, tmp_path: Path) -> None:
    path = folder / "model.safetensors"
    path.unlink()
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"it is a pickle of torch\.save .*save_file"):
        sv.SnnVoice.from_pretrained(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        sv.SnnVoice.from_pretrained(folder)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        sv.SnnVoice.from_pretrained(folder)
    (tmp_path / "paper.ckpt").write_bytes(POINTER)
    with pytest.raises(CheckpointError, match="is a Git LFS pointer"):
        sv.SnnVoice.from_pretrained(tmp_path / "paper.ckpt")


# --- what a name means ----------------------------------------------------------------------------


@pytest.fixture
def run_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What training leaves, as `runs/x` of the current folder."""
    target = folder.parent / "runs" / "x"
    target.parent.mkdir()
    folder.rename(target)
    (target / "job.json").write_text("{}")
    (target / "state").mkdir()
    (target / "state" / "last.ckpt").write_bytes(b"state")
    (target / "logs").mkdir()
    (target / "logs" / "metrics.csv").write_text("epoch\n")
    monkeypatch.chdir(folder.parent)
    return target


@pytest.mark.parametrize("name", ["runs/x/state/last.ckpt", "runs/x/state"])
def test_the_state_of_a_run_names_the_run(name: str, run_folder: Path) -> None:
    for source in (name, Path(name)):
        with pytest.raises(CheckpointError, match=r"is the state of a training run.*\(open runs/x\)"):
            sv.SnnVoice.from_pretrained(source)
    with pytest.raises(CheckpointError, match=f"open {run_folder}"):
        sv.SnnVoice.from_pretrained(run_folder / name.removeprefix("runs/x/"))
    with pytest.raises(CheckpointError, match="state of a training run"):
        sv.SnnVoice.from_pretrained("runs/x", filename="state/last.ckpt")
    # It is no second checkpoint of the folder of all runs.
    assert resolve("runs").weights == Path("runs/x/model.safetensors")
    (run_folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="runs/x has a checkpoint after its first epoch"):
        sv.SnnVoice.from_pretrained(name)


@pytest.mark.parametrize(
    "name",
    ["runs/x/logs/metrics.csv", "runs/x/logs", "runs/x/job.json", "runs/x/config.json", "runs/x/best.ckp"],
)
@pytest.mark.usefixtures("run_folder")
def test_a_wrong_file_names_the_nearest_checkpoint(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"\(open its folder runs/x\)"):
        sv.SnnVoice.from_pretrained(name)


def test_a_folder_named_as_a_bundled_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"there is no folder m5-snn .*'m5-snn' as text is the bundled"):
        resolve(Path("m5-snn"))
    folder.rename("m5-snn")
    assert sv.SnnVoice.from_pretrained(Path("m5-snn")).labels == WORDS
    assert not caplog.records
    assert sv.SnnVoice.from_pretrained("m5-snn").labels == WORDS
    assert "m5-snn is a folder here and a bundled model: the folder is taken" in caplog.text
    ran = invoke("classify", "--model", "m5-snn", str(ROOT / "examples" / "yes.wav"))
    assert set(ran.stdout.split()[1::2]) == set(WORDS)
    # The default and a bundled twin are bundled, whatever lies here.
    Path("m5-snn").rename("resmel-snn")
    assert len(sv.SnnVoice.from_pretrained().labels) > 3
    caplog.clear()
    Path("tcy-snn").mkdir()
    assert len(sv.SnnVoice.from_pretrained("tcy-snn").labels) == 35
    assert "tcy-snn here is no checkpoint: the bundled model of that name is taken" in caplog.text


def test_both_files_or_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder)
    voice = sv.SnnVoice.from_pretrained(folder)
    voice.config = dataclasses.replace(voice.config, temperature=2.0)
    set_to(3.0)(voice)
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if "config.json" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(SnnVoiceError, match="can't be written: No space left on device"):
            voice.save_pretrained(folder)
    assert contents(folder) == before
    (folder.parent / "file").write_text("")
    with pytest.raises(SnnVoiceError, match="file can't be written"):
        voice.save_pretrained(folder.parent / "file")


def test_describing_draws_no_random_numbers(folder: Path) -> None:
    network = sv.TcySNN.from_pretrained(folder)
    config, weights = network._to_checkpoint()
    before = torch.get_rng_state()
    described = sv.TcySNN.describe(config)
    write_checkpoint(folder, config, weights, described.state_dict())
    assert all(t.is_meta for t in described.state_dict().values())
    assert torch.equal(torch.get_rng_state(), before)
