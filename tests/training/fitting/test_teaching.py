"""What training begins with and learns from is opened as every other checkpoint is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import snn_voice_hub as sv
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.training.fitting.fit import Job, fit
from snn_voice_hub.training.fitting.teaching import Teacher, TrainedModel
from tests.training.helpers import LOGMEL, dataset, recipe

LABELS = ["no", "up", "yes"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the weights of two epochs."""
    path = tmp_path / "earlier"
    for seed, name in ((1, "epoch3.safetensors"), (0, "model.safetensors")):
        torch.manual_seed(seed)
        sv.SnnVoice(sv.TcySNN(3, num_steps=3), LOGMEL, LABELS, name="earlier").save_pretrained(path)
        if name != "model.safetensors":
            (path / "model.safetensors").rename(path / name)
    return path


def test_of_several_files_the_one_that_was_named_is_read(folder: Path) -> None:
    waves = torch.randn(2, 16_000)
    answers = {}
    for name in ("epoch3.safetensors", "model.safetensors"):
        source = TrainedModel.of(str(folder / name))
        assert source.path == str(folder / name if name.startswith("epoch") else folder)
        wanted = sv.SnnVoice.from_pretrained(folder / name)
        weights = load_file(folder / name)
        assert all(torch.equal(weights[key], value) for key, value in wanted.network.state_dict().items())
        answers[name] = Teacher(source, LABELS)(waves)
        with torch.no_grad():
            assert torch.equal(answers[name], wanted(waves).softmax(1))
    assert not torch.equal(*answers.values())


def test_training_begins_with_the_file_that_was_named(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    job = Job(name="mine", recipe=recipe(epochs=1, ema=0.0), start=folder / "epoch3.safetensors", freeze=True)
    fitted = fit(job, dataset(4, 2), tmp_path / "mine")
    before, after = load_file(folder / "epoch3.safetensors"), load_file(fitted.folder / "model.safetensors")
    kept = [name for name in before if not name.startswith("fc.")]
    assert kept
    assert all(torch.equal(before[name], after[name]) for name in kept)
    config = json.loads((fitted.folder / "config.json").read_text())
    assert config["training"]["start"] == "earlier (epoch3.safetensors)"
    assert config["network"] == sv.TcySNN(3, num_steps=3).arguments()
    told = json.loads((fitted.folder / "job.json").read_text())
    assert told["start"] == str(folder / "epoch3.safetensors")


def test_what_a_source_is_called(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TrainedModel.of("m5-snn").name == "m5-snn"
    assert TrainedModel.of(folder).name == TrainedModel.of(folder / "model.safetensors").name == "earlier"
    monkeypatch.chdir(folder)
    assert TrainedModel.of(".").name == "earlier"
    assert TrainedModel.of(TrainedModel("x", folder)) == TrainedModel("x", folder)
    job = Job(name="x", recipe=recipe(), start="m5-snn", teachers=("m5-cnn", folder))
    assert (job.facts()["start"], job.facts()["teachers"]) == ("m5-snn", ["m5-cnn", "earlier"])
    assert dataclasses.replace(job, seed=1).begins_with == job.begins_with


def test_a_card_names_the_repository_that_training_began_with() -> None:
    config = sv.SnnVoice(sv.TcySNN(2), labels=["a", "b"]).config
    for start, base in (("me/words@v1.0", ["base_model: me/words"]), ("earlier (x.safetensors)", [])):
        card = str(make_card(dataclasses.replace(config, training={"start": start})))
        assert [line for line in card.splitlines() if line.startswith("base_model")] == base


@pytest.mark.parametrize("what", ["start", "teachers"])
def test_what_cant_be_opened_is_refused_at_once(folder: Path, what: str) -> None:
    missing = str(folder / "epoch4.safetensors")
    with pytest.raises(sv.CheckpointError, match=r"epoch4\.safetensors"):
        Job(name="x", recipe=recipe(), **{what: missing if what == "start" else (missing,)})
    weights = load_file(folder / "epoch3.safetensors")
    save_file(
        {name: value for name, value in weights.items() if name != "fc.bias"}, folder / "half.safetensors"
    )
    with pytest.raises(sv.CheckpointError, match=r"lacks fc\.bias"):
        TrainedModel.of(folder / "half.safetensors").open()


@pytest.mark.parametrize("option", ["--from", "--teacher"])
def test_the_command_refuses_it_before_it_reads_a_clip(folder: Path, tmp_path: Path, option: str) -> None:
    pytest.importorskip("lightning")
    from snn_voice_hub.cli import app

    command = ["train", "--model", "tcy-snn", option, str(folder / "epoch4.safetensors")]
    command += ["--data", str(tmp_path / "no-such-clips"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, sv.CheckpointError)
    assert "epoch4.safetensors" in str(result.exception)
