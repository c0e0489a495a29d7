"""A run whose folder was damaged or moved: it goes on, or says why not."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from safetensors.torch import load_file

import snn_voice_hub as sv
from snn_voice_hub.cli import main
from snn_voice_hub.training.clips.sources import Dataset
from snn_voice_hub.training.fitting import sampling
from snn_voice_hub.training.fitting.fit import Fitted, Job, fit
from tests.training.helpers import dataset, recipe, tones

pytest.importorskip("lightning")
pytest.importorskip("tensorboard")

DATA = dataset(2, 1)
SMALL = recipe(batch_size=3, augmentation=None, network={"num_steps": 2})
JOB = Job(name="tiny", recipe=SMALL, seed=3)
STATES = ("state/last.ckpt", "state/before.ckpt")
FILES = ("config.json", "model.safetensors", "job.json", "log.jsonl", "logs/csv/metrics.csv", *STATES)


class Cut(BaseException):
    """Ends a run as a kill would: nothing of it is caught, and nothing is put right."""


def run(out: Path, job: Job = JOB, data: Dataset = DATA, **more: Any) -> Fitted:
    return fit(job, data, out, accelerator="cpu", **more)


def cut(out: Path, at: tuple[int, int], job: Job = JOB) -> Path:
    """A run that ended before a step; its state was kept after each one."""
    get = sampling.Steps.__getitem__

    def watched(self: sampling.Steps, key: tuple[int, int]) -> dict[str, Any]:
        if key == at:
            raise Cut
        return get(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling.Steps, "__getitem__", watched)
        with pytest.raises(Cut):
            run(out, job, keep_every=0.0)
    return out


def outcome(out: Path) -> tuple[Any, ...]:
    """All that a run leaves, but for what it measured of time."""
    weights = {name: value.tolist() for name, value in load_file(out / "model.safetensors").items()}
    curve = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    for row in curve:
        del row["seconds"], row["clips_per_second"]
    config = json.loads((out / "config.json").read_text())
    return weights, config, curve, (out / "logs/csv/metrics.csv").read_text()


@dataclasses.dataclass(frozen=True)
class Runs:
    """Folders to copy from: a whole run, one that was cut off, one of another seed; and what comes out."""

    whole: Path
    cut: Path
    other: Path
    wanted: tuple[Any, ...]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    root = tmp_path_factory.mktemp("runs")
    whole = run(root / "whole", keep_every=0.0).folder
    other = cut(root / "other", (1, 0), dataclasses.replace(JOB, seed=4))
    return Runs(whole, cut(root / "cut", (1, 1)), other, outcome(whole))


def flipped(place: float) -> Callable[[Path, Path], None]:
    def flip(path: Path, _: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 4
        path.write_bytes(content)

    return flip


def halved(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def folder_in_its_place(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


def unreadable(path: Path, _: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)  # not even root can read it


def pipe(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


WAYS: dict[str, Callable[[Path, Path], Any]] = {
    "cut to half": halved,
    "emptied": lambda path, _: path.write_bytes(b""),
    "deleted": lambda path, _: path.unlink(),
    "a byte inside": flipped(0.6),
    "last byte": flipped(1.0),
    "another file": lambda path, _: path.write_text('{"dear": "reader"}\n'),
    "of another run": shutil.copy,
    "a folder": folder_in_its_place,
    "unreadable": unreadable,
    "a pipe": pipe,
}


def damaged(runs: Runs, source: Path, out: Path, way: str, *names: str) -> Path:
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out, symlinks=True)
    for name in names:
        if way == "of another run":
            shutil.copy(runs.other / name, out / name)
        else:
            WAYS[way](out / name, out)
    return out


@pytest.fixture(autouse=True)
def _listening(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.WARNING, logger="snn_voice_hub")
    yield
    assert not any("\n" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("way", WAYS)
def test_no_damaged_file_changes_what_a_run_becomes(
    way: str, runs: Runs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in FILES:
        caplog.clear()
        out = damaged(runs, runs.cut, tmp_path / "run", way, name)
        if way == "a folder" or (way, name) == ("of another run", "job.json"):
            with pytest.raises(
                sv.SnnVoiceError, match=r"is a folder|Is a directory|has another seed: 4, not 3"
            ):
                run(out, resume=True)
            continue
        run(out, resume=True)
        assert outcome(out) == runs.wanted, name
        said = caplog.text
        if name == STATES[0]:
            assert "going on from" in said
            assert "step 2" in said
        else:
            assert ("job.json is damaged or missing; going on from last.ckpt" in said) == (name == "job.json")
        assert json.loads((out / "job.json").read_text())["made"]["best_epoch"]


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("deleted", "of another run", "a pipe")])
def test_without_a_whole_state_a_run_says_what_can_be_done(way: str, runs: Runs, tmp_path: Path) -> None:
    out = damaged(runs, runs.cut, tmp_path / "run", way, *STATES)
    with pytest.raises(
        sv.SnnVoiceError, match=r"can't be gone on with: state/last\.ckpt .*; state/before\.ckpt .*\(delete"
    ):
        run(out, resume=True)
    damaged(runs, out, tmp_path / "job", "emptied", "job.json")
    with pytest.raises(sv.SnnVoiceError, match=r"job\.json is damaged or missing; state/last\.ckpt"):
        run(tmp_path / "job", resume=True)


def test_what_the_line_advises_works(runs: Runs, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = damaged(runs, runs.cut, tmp_path / "run", "emptied", *STATES)
    shutil.rmtree(out / "state")
    run(out, resume=True)
    assert "training begins from the start" in caplog.text
    assert outcome(out) == runs.wanted


@pytest.mark.parametrize(
    "way", ["cut to half", "deleted", "a byte inside", "of another run", "a folder", "a pipe"]
)
def test_a_run_that_is_over_does_not_pass_for_whole(way: str, runs: Runs, tmp_path: Path) -> None:
    for name in FILES:
        out = damaged(runs, runs.whole, tmp_path / "run", way, name)
        if way == "of another run" and name == "job.json":
            continue
        try:
            run(out, resume=True)
        except sv.SnnVoiceError as error:
            assert "is damaged or was changed (move it away and resume" in str(error) or way == "a folder"
            kept = out / name
            assert os.path.lexists(kept)
            kept.rmdir() if kept.is_dir() else kept.unlink()
            run(out, resume=True)
        assert outcome(out) == runs.wanted, name


def test_a_run_that_is_over_needs_no_state(runs: Runs, tmp_path: Path) -> None:
    out = damaged(runs, runs.whole, tmp_path / "run", "deleted", *STATES)
    assert run(out, resume=True).best_epoch
    assert outcome(out) == runs.wanted
    damaged(runs, out, tmp_path / "flipped", "a byte inside", "model.safetensors")
    with pytest.raises(sv.SnnVoiceError, match=r"model\.safetensors is damaged.*another folder"):
        run(tmp_path / "flipped", resume=True)
    (out / "model.safetensors").unlink()
    with pytest.raises(sv.SnnVoiceError, match=r"has made is missing, and its state too"):
        run(out, resume=True)


def test_the_command_line_says_it_in_one_line(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, row in zip(DATA.train.names, DATA.train.waveforms, strict=True):
        (tmp_path / "words" / name).parent.mkdir(parents=True, exist_ok=True)
        sf.write(tmp_path / "words" / name, row, 16_000)
    out = damaged(runs, runs.cut, tmp_path / "run", "a byte inside", *STATES)
    job = tmp_path / "run" / "job.json"
    given = [
        "--model",
        "tcy-snn",
        "--data",
        str(tmp_path / "words"),
        "--epochs",
        "1",
        "--set",
        "batch_size=3",
    ]
    for file in (out / STATES[0], job):
        monkeypatch.setattr(sys, "argv", ["snn-voice", "train", *given, "--out", str(out), "--resume"])
        file.write_bytes(b"?" * 100)
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr().err.splitlines()
        assert end.value.code == 2
        assert said[-1].startswith("snn-voice: error: the run in ")
        assert len(said) == 2  # what there is to learn from, and the error


# --- what must be the same -----------------------------------------------------------------------


def changed(data: Dataset, **parts: Any) -> Dataset:
    return dataclasses.replace(data, **parts)


@pytest.mark.parametrize(
    ("job", "data", "more", "what"),
    [
        (JOB, changed(DATA, train=tones(2, seed=9)), {}, "6 clips to learn from have other sound"),
        (JOB, changed(DATA, val=tones(1, seed=9)), {}, "3 clips to validate with have other sound"),
        (JOB, dataset(3, 1), {}, "6 clips to learn from, not 9"),
        (JOB, DATA, {"synthetic": tones(1)}, "0 clips synthetic, not 3"),
        (JOB, changed(DATA, noises={"tap": torch.ones(9)}), {}, "other background recordings"),
        (
            dataclasses.replace(JOB, recipe=dataclasses.replace(SMALL, lr=0.01)),
            DATA,
            {},
            r"recipe: lr=0\.05, not 0",
        ),
        (dataclasses.replace(JOB, precision="bfloat16"), DATA, {}, "precision: float32, not bfloat16"),
        (dataclasses.replace(JOB, start="tcy-snn"), DATA, {}, "start: the weights of None are not those"),
        (dataclasses.replace(JOB, teachers=("tcy-snn",)), DATA, {}, r"teacher: none are not \S*tcy-snn"),
    ],
)
def test_another_run_is_refused_by_what_differs(
    job: Job, data: Dataset, more: Any, what: str, runs: Runs, tmp_path: Path
) -> None:
    out = damaged(runs, runs.cut, tmp_path / "run", "a folder")
    for way in ("as it is", "deleted"):  # without job.json, the state knows as well
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        with pytest.raises(sv.SnnVoiceError, match=f"has another .*{what}"):
            run(out, job, data, resume=True, **more)
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
        if way == "as it is":
            (out / "job.json").unlink()


def test_other_words_for_the_same_sound_are_another_run(runs: Runs, tmp_path: Path) -> None:
    out = damaged(runs, runs.cut, tmp_path / "run", "a folder")
    clips = dataclasses.replace(DATA.train, labels=[*DATA.train.labels[:-1], DATA.train.labels[0]])
    with pytest.raises(sv.SnnVoiceError, match="6 clips to learn from have other words"):
        run(out, JOB, changed(DATA, train=clips), resume=True)


def test_a_run_goes_on_where_it_was_moved_to(runs: Runs, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new" / "place"
    for folder in ("base", "teacher"):
        shutil.copytree(runs.whole, old / folder)

    def job(root: Path) -> Job:
        start, teachers = root / "base", (root / "teacher",)
        return dataclasses.replace(JOB, start=start, teachers=teachers, name=root.name, recipe=taught)

    taught = dataclasses.replace(SMALL, distil=0.5)
    whole = run(old / "whole", job(old)).folder
    cut(old / "run", (1, 1), job(old))
    shutil.move(old, new)
    names = [f"elsewhere/{name}" for name in DATA.train.names]
    moved = changed(DATA, train=dataclasses.replace(DATA.train, names=names), rule="as another folder says")
    run(new / "run", job(new), moved, resume=True)
    assert outcome(new / "run")[0] == outcome(new / "whole")[0]
    assert json.loads((new / "run" / "job.json").read_text())["start"] == str(new / "base")
    assert not whole.exists()
    weights = load_file(new / "base" / "model.safetensors")
    assert weights
    (new / "base" / "model.safetensors").write_bytes((runs.other / "model.safetensors").read_bytes())
    with pytest.raises(sv.SnnVoiceError, match="has another start: the weights of"):
        run(new / "run", job(new), resume=True)


def test_arrays_in_another_order_are_other_clips() -> None:
    from snn_voice_hub.training.fitting.job import told

    other = dataclasses.replace(DATA.train, waveforms=np.ascontiguousarray(DATA.train.waveforms[::-1]))
    one, two = (told(JOB, data, None)["content"]["train"] for data in (DATA, changed(DATA, train=other)))
    assert one["sound"] != two["sound"]
    assert one["words"] == two["words"]
