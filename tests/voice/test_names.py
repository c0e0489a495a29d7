"""Which checkpoint a name means, and what is next to one that is none."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.errors import CheckpointError, SnnVoiceError
from snn_voice_hub.hub.checkpoints import resolve, write_checkpoint
from tests.cli.helpers import invoke
from tests.places import ROOT
from tests.voice.saving_helpers import WORDS, contents, set_to


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
    assert set(re.findall(r"([a-z]+\)?) +\d", ran.stdout)) == {"yes", "no", "speaks)"}  # (nobody speaks)
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
        if data.startswith(b"{"):  # config.json; weights begin with a length
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
