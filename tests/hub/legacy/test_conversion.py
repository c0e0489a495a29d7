"""From a Lightning checkpoint to a folder: whole or not at all, small in memory, the original's answers."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors import SafetensorError
from safetensors.torch import load_file
from typer.testing import CliRunner

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.cli.convert import convert
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.features import Features
from snn_voice_hub.hub.legacy import conversion
from snn_voice_hub.hub.legacy.conversion import convert_lightning
from snn_voice_hub.hub.legacy.lightning import read_lightning
from tests.hub.legacy.test_lightning import changed, equal
from tests.hub.legacy.writer import network, write
from tests.places import ROOT

SHARED = ROOT.parent / "shared"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_smaller_weights(dtype: str, tmp_path: Path) -> None:
    made = network("HjhSNN")
    out = convert_lightning(write(made, tmp_path / "x.ckpt"), tmp_path / "out", dtype=dtype, name="mine")
    kept = load_file(out / "model.safetensors")
    wanted = {
        k: v.to(getattr(torch, dtype)) if v.is_floating_point() else v for k, v in made.state_dict().items()
    }
    assert equal(kept, wanted)
    voice = sv.SnnVoice.from_pretrained(out)
    assert voice.config.name == "mine"
    assert torch.isfinite(voice(torch.zeros(1, 16_000))).all()


def test_weights_past_float16(tmp_path: Path) -> None:
    made = network("TcyCNN")
    state = changed(made, fc__bias=torch.full((35,), 70_000.0))
    path = write(made, tmp_path / "x.ckpt", changes=state)
    with pytest.raises(
        CheckpointError, match=r"fc\.bias has values past the range of float16 \(dtype bfloat16"
    ):
        convert_lightning(path, tmp_path / "out", dtype="float16")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match="dtype='int8'"):
        convert_lightning(path, tmp_path / "out", dtype="int8")


def test_entries_that_share_their_memory(tmp_path: Path) -> None:
    made = network("HjhCNN")
    shared = torch.rand(16 + 8)
    names = ("weight", "bias", "running_mean")
    state = changed(
        made,
        **{f"cnn__1__bn__{name}": shared[8 * (name == "bias") :][:16] for name in names},
    )
    out = convert_lightning(write(made, tmp_path / "x.ckpt", changes=state), tmp_path / "out")
    kept = load_file(out / "model.safetensors")
    assert torch.equal(kept["cnn.1.bn.weight"], shared[:16])
    assert torch.equal(kept["cnn.1.bn.bias"], shared[8:])
    assert torch.equal(kept["cnn.1.bn.running_mean"], shared[:16])


def test_convert_on_the_command_line(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(convert)
    path = write(network("TcySNN", num_steps=5), tmp_path / "x.ckpt", changes={"hyper_parameters": None})
    out = tmp_path / "deep" / "out"
    options = ["--num-steps", "5", "--dtype", "float16", "--name", "mine"]
    ran = CliRunner().invoke(app, [str(path), str(out), *options])
    assert ran.exit_code == 0, ran.output
    assert ran.output == f"{out}: mine, TcySNN, 5 steps, 35 labels, 0.0 MB\n"
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    card = (out / "README.md").read_text()
    assert "library_name: snn-voice-hub" in card
    assert "# mine" in card
    assert sv.SnnVoice.from_pretrained(out).config.network["num_steps"] == 5
    # A folder with something in it is not touched; an empty one is taken.
    again = CliRunner().invoke(app, [str(path), str(out), *options])
    assert isinstance(again.exception, CheckpointError)
    assert "exists and is not an empty folder" in str(again.exception)
    (tmp_path / "empty").mkdir()
    assert CliRunner().invoke(app, [str(path), str(tmp_path / "empty"), *options]).exit_code == 0
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file", tmp_path / "file" / "out"):
        refused = CliRunner().invoke(app, [str(path), str(bad), *options])
        assert isinstance(refused.exception, CheckpointError)


# --- whole or not at all --------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(network("TcySNN"), tmp_path / "x.ckpt")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_as_readable_as_any_other(small: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        out = convert_lightning(small, tmp_path / "out")
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o640}


def test_what_is_there_stays(small: Path, tmp_path: Path) -> None:
    out = convert_lightning(small, tmp_path / "out", name="first")
    other = write(network("TcyCNN"), tmp_path / "other.ckpt")
    assert convert_lightning(other, out, name="second") == out
    assert sv.VoiceConfig.load(out / "config.json").name == "first"
    assert names(tmp_path) == ["other.ckpt", "out", "x.ckpt"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(CheckpointError, match="exists and is no checkpoint folder"):
        convert_lightning(small, tmp_path / "mine")
    with pytest.raises(CheckpointError, match="exists and is no checkpoint folder"):
        convert_lightning(small, other)
    assert names(tmp_path / "mine") == ["notes.txt"]


def test_a_failed_conversion_leaves_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "save_file", full)
        with pytest.raises(OSError, match="No space left") as caught:
            convert_lightning(small, tmp_path / "deep" / "out")
        assert caught.value.errno == 28
    assert names(tmp_path / "deep") == []
    small.write_bytes(small.read_bytes()[:1000])
    with pytest.raises(CheckpointError):
        convert_lightning(small, tmp_path / "other" / "out")
    assert names(tmp_path) == ["deep", "x.ckpt"]


def test_the_slower_of_two_conversions_drops_its_copy(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_weights = conversion._save_weights

    def slow(*arguments: Any) -> None:
        save_weights(*arguments)
        with monkeypatch.context() as patch:
            patch.setattr(conversion, "_save_weights", save_weights)
            convert_lightning(small, tmp_path / "out", name="faster")

    monkeypatch.setattr(conversion, "_save_weights", slow)
    assert convert_lightning(small, tmp_path / "out", name="slower") == tmp_path / "out"
    assert sv.VoiceConfig.load(tmp_path / "out" / "config.json").name == "faster"
    assert names(tmp_path) == ["out", "x.ckpt"]


def test_a_conversion_that_ends_just_as_another_begins(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_complete = conversion._is_complete

    def meanwhile(folder: Path) -> bool:
        before = is_complete(folder)
        monkeypatch.setattr(conversion, "_is_complete", is_complete)
        convert_lightning(small, folder, name="faster")
        return before

    monkeypatch.setattr(conversion, "_is_complete", meanwhile)
    assert convert_lightning(small, tmp_path / "out", name="slower") == tmp_path / "out"
    assert sv.VoiceConfig.load(tmp_path / "out" / "config.json").name == "faster"
    assert names(tmp_path) == ["out", "x.ckpt"]


CONVERT = (
    "import sys; from pathlib import Path\n"
    "from snn_voice_hub.hub.legacy import conversion\n"
    "path, out, go = map(Path, sys.argv[1:4])\n"
)


@pytest.mark.slow
def test_several_processes_at_once(tmp_path: Path) -> None:
    made = network("M5SNN")
    path, out, go = write(made, tmp_path / "x.ckpt"), tmp_path / "cache" / "out", tmp_path / "go"
    code = CONVERT + (
        "print('ready', flush=True)\n"
        "while not go.exists(): pass\n"
        "for i in range(20): print(conversion.convert_lightning(path, out.with_name(str(i))))"
    )
    command = [sys.executable, "-c", code, str(path), str(out), str(go)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    for process in running:
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert printed.split() == [str(out.with_name(str(i))) for i in range(20)]
    assert names(out.parent) == sorted(str(i) for i in range(20))
    for folder in out.parent.iterdir():
        assert equal(load_file(folder / "model.safetensors"), made.state_dict())


@pytest.mark.slow
def test_a_killed_conversion_leaves_nothing_half(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "cache" / "out"
    code = CONVERT + (
        "import os, signal\n"
        "save_weights = conversion._save_weights\n"
        "def die(weights, path):\n"
        "    save_weights(weights, path)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "conversion._save_weights = die\n"
        "conversion.convert_lightning(path, out)"
    )
    for _ in range(2):
        ran = subprocess.run([sys.executable, "-c", code, str(small), str(out), "-"], check=False)
        assert ran.returncode == -9
    assert not out.exists()
    first, second = out.parent.iterdir()
    assert names(first) == ["config.json", "model.safetensors"]
    # The older one can only be of a process that is gone; the other may be at work.
    os.utime(first, (time.time() - 7200,) * 2)
    (out.parent / ".other.0123456789ab.part").mkdir()
    os.utime(out.parent / ".other.0123456789ab.part", (0, 0))
    convert_lightning(small, out)
    assert names(out.parent) == sorted([".other.0123456789ab.part", second.name, "out"])
    assert sv.SnnVoice.from_pretrained(out).config.architecture == "TcySNN"


# --- the original's own files ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared() -> Path:
    if not (SHARED / "legacy").is_dir():
        pytest.skip("the original's files are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Piczak SNN of 15 steps with its optimizer: 308 MB, a third of which are weights."""
    path = tmp_path_factory.mktemp("large") / "epoch=14-step=9945.ckpt"
    script = SHARED / "legacy" / "make_piczak_checkpoint.py"
    if script.is_file():
        subprocess.run([sys.executable, str(script), str(path)], check=True, capture_output=True)
    else:
        write(network("PiczakSNN", num_steps=15), path)
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_large_file_is_never_in_memory_twice(dtype: str, large: Path, small: Path, tmp_path: Path) -> None:
    code = CONVERT + (
        "def peak():\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 1000\n"
        "conversion.convert_lightning(path, out.with_name('small'), dtype=sys.argv[5])\n"
        "before = peak()\n"
        "conversion.convert_lightning(Path(sys.argv[4]), out, dtype=sys.argv[5])\n"
        "print(peak() - before)"
    )
    arguments = [str(small), str(tmp_path / "out"), "-", str(large), dtype]
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    megabytes = (tmp_path / "out" / "model.safetensors").stat().st_size / 1e6
    assert megabytes == pytest.approx(102.5 if dtype == "float32" else 51.3, abs=0.1)
    # The weights as they are mapped from the file, and once more where they change.
    assert float(ran.stdout) < 102.5 + (0 if dtype == "float32" else megabytes) + 25
    shutil.rmtree(tmp_path / "out")


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return float((found - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


def under_batch(folder: Path) -> sv.SnnVoice:
    """The paper's own way of standardising, under which its figures were made."""
    config = sv.VoiceConfig.load(folder / "config.json")
    features = dataclasses.replace(config.features, normalization="batch")
    dataclasses.replace(config, features=features).save(folder / "config.json")
    return sv.SnnVoice.from_pretrained(folder)


def test_a_real_checkpoint_answers_as_the_original(shared: Path, tmp_path: Path) -> None:
    folder = shared / "legacy" / "m5_snn_t5"
    expected = json.loads((folder / "expected.json").read_text())
    figures = load_file(folder / "expected.safetensors")
    path = shared / "legacy" / expected["checkpoint"]
    out = convert_lightning(path, tmp_path / "out", origin=expected["original_path"])
    voice = under_batch(out)
    assert type(voice.network).__name__ == expected["class_name"]
    assert voice.config.network["num_steps"] == expected["hparams"]["n_steps"]
    assert voice.config.training["lr"] == expected["hparams"]["lr"]
    # Its hyper-parameters say nothing that the file's path and state dict do not.
    wanted = {key: shape for key, shape in expected["state_dict"].items() if "reset_mechanism" not in key}
    _, weights = read_lightning(path)
    assert {key: list(value.shape) for key, value in weights.items()} == wanted
    clips = sorted((shared / "golden" / "wav").glob("[0-3]_*.wav"))
    waves = [audio.load(clip, target_rate=16_000) for clip in clips]
    batch = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    spikes: dict[str, torch.Tensor] = {}
    with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=False):
        logits = voice(batch)
        features = Features(voice.config.features)(batch)
        assert isinstance(voice.network, sv.SpikingNetwork)
        voice.network.forward_steps(features, tap=spikes.__setitem__)
        alone = torch.cat([voice(wave[None]) for wave in waves])
    assert torch.allclose(features, figures["features_b4"], atol=1e-5)
    assert close(logits, figures["logits_b4"])
    assert close(alone, figures["logits_b1"])
    assert logits.argmax(1).tolist() == expected["top1_b4"]
    for key, value in figures.items():
        if key.startswith("spikes_b4/"):
            assert torch.equal(spikes[key.removeprefix("spikes_b4/")].flatten(2).sum(-1).int(), value.int())


def test_the_large_checkpoint_answers_as_the_original(shared: Path, large: Path, tmp_path: Path) -> None:
    began = time.perf_counter()
    out = convert_lightning(large, tmp_path / "out")
    assert time.perf_counter() - began < 30
    model = sv.PiczakSNN.from_pretrained(out)
    assert model.num_steps == 15
    golden = load_file(shared / "golden" / "PiczakSNN.safetensors")
    with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=False):
        logits = model(load_file(shared / "golden" / "features.safetensors")["mel_b8"])
    assert close(logits, golden["t15/logits"])
    shutil.rmtree(out)
