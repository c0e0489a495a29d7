"""A run of training: that it learns, that it can be cut off anywhere, and what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import snn_voice_hub as sv
from snn_voice_hub.training.fitting.fit import Fitted, Job, fit
from tests.nursery import USUAL, Ran, nursery
from tests.places import ROOT
from tests.slowness import mostly_slow
from tests.training.helpers import dataset, recipe, tones

pytest.importorskip("lightning")


# What took how long differs from run to run.
MEASURED = ("seconds", "clips_per_second")


def curve(fitted: Fitted) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in fitted.history]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A run that nobody disturbs."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return fit(Job(name="tones", recipe=recipe(silence=0.2), seed=3), dataset(), out, accelerator="cpu")


def test_a_run_learns_and_opens(whole: Fitted) -> None:
    assert [row["epoch"] for row in whole.history] == [1, 2]
    assert whole.history[1]["train_loss"] < whole.history[0]["train_loss"]
    assert whole.history[whole.best_epoch - 1]["val_top1"] > 0.6  # a third by chance
    assert min(row["val_loss"] for row in whole.history) == whole.history[whole.best_epoch - 1]["val_loss"]
    voice = sv.SnnVoice.from_pretrained(whole.folder)
    assert voice.labels == ["no", "up", "yes", "_silence_"]
    config = voice.config
    assert (config.name, config.data) == ("tones", [{"name": "tones"}])
    assert config.temperature != 1.0
    assert config.metrics["validation"]["clips"] == 15
    assert (config.training["clips"], config.training["split"]) == (60, "as the test says")
    rows = [json.loads(line) for line in (whole.folder / "log.jsonl").read_text().splitlines()]
    assert rows == whole.history
    wave = tones(1, seed=5).batch(slice(0, 3))
    words = [voice.classify(row.numpy(), sample_rate=16_000)[0].label for row in wave]
    assert sum(word == right for word, right in zip(words, ("yes", "no", "up"), strict=True)) >= 2
    assert list(whole.folder.glob("logs/csv/metrics.csv"))
    other = whole.folder / "other"
    other.touch()
    for name in ("model.safetensors", "config.json"):
        assert (whole.folder / name).stat().st_mode == other.stat().st_mode
    other.unlink()


def test_the_same_seed_is_the_same_run(whole: Fitted, tmp_path: Path) -> None:
    job = Job(name="tones", recipe=recipe(silence=0.2), seed=3)
    again = fit(job, dataset(), tmp_path / "again", accelerator="cpu")
    assert curve(again) == curve(whole)
    assert same(weights(again.folder), weights(whole.folder))
    other = fit(Job(name="tones", recipe=recipe(silence=0.2), seed=4), dataset(), tmp_path / "other")
    assert curve(other) != curve(whole)


# In a process of its own, which ends itself in the way that is asked for, before a step.
SCRIPT = """
import os, signal
from pathlib import Path
import torch
from tests.training.helpers import dataset, recipe
from snn_voice_hub.training.fitting import sampling
from snn_voice_hub.training.fitting.fit import Job, fit
threads, out, how, at, changes = {given!r}
torch.set_num_threads(threads)  # each bit is to be equal
get = sampling.Steps.__getitem__
def watched(self, key):
    if key == at:
        os.kill(os.getpid(), getattr(signal, how))
    return get(self, key)
sampling.Steps.__getitem__ = watched
job = Job(name="tones", recipe=recipe(**changes), seed=3)
# Who is asked to end keeps the state; who is killed goes on from where it was kept last.
fit(job, dataset(), Path(out), accelerator="cpu", keep_every=0.0 if how == "SIGKILL" else 1e9)
"""
PLAIN: dict[str, Any] = {"silence": 0.2}
# How it ends, before which step of which epoch, and what is trained.
CUTS: dict[str, tuple[str, tuple[int, int], dict[str, Any]]] = {
    "killed in an epoch": ("SIGKILL", (0, 4), PLAIN),
    "killed between epochs": ("SIGKILL", (1, 0), PLAIN),
    "before an epoch's last step": ("SIGTERM", (0, 5), PLAIN),  # it is validated first
    "by Ctrl-C": ("SIGINT", (1, 2), PLAIN),
    # Dropout draws, the running statistics of batch norm remember, and each clip comes once.
    "dropout": ("SIGTERM", (0, 1), {"architecture": "PiczakSNN", "network": {"num_steps": 1}, "epochs": 1}),
    "batch norm": ("SIGTERM", (1, 1), {"architecture": "HjhSNN", "class_power": 1.0, "augmentation": None}),
}


def asks_for(item: Any, fixture: str) -> bool:
    return item.path == Path(__file__) and fixture in item.fixturenames


@pytest.fixture(scope="module")
def cut_off(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Ran]]:
    """All of the runs that end too early, of the tests that were chosen, at the same time."""
    asked = [item.callspec.params["name"] for item in request.session.items if asks_for(item, "cut_off")]
    folders = {name: tmp_path_factory.mktemp("cut") / "run" for name in asked}
    snippets = [
        SCRIPT.format(given=(torch.get_num_threads(), str(folders[name]), *CUTS[name])) for name in asked
    ]
    environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'server'}"}
    ended = nursery((*USUAL, "lightning")).run(snippets, environment)
    return {name: (folders[name], ran) for name, ran in zip(asked, ended, strict=True)}


@pytest.mark.parametrize("name", mostly_slow(CUTS, "killed between epochs", "by Ctrl-C"))
def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(
    name: str, cut_off: dict[str, tuple[Path, Ran]], whole: Fitted, tmp_path: Path
) -> None:
    how, _, changes = CUTS[name]
    out, ran = cut_off[name]
    job = Job(name="tones", recipe=recipe(**changes), seed=3)
    if changes != PLAIN:
        whole = fit(job, dataset(), tmp_path / "whole", accelerator="cpu")
    if how == "SIGKILL":
        assert ran.code == -signal.SIGKILL
    else:
        assert "KeyboardInterrupt" in ran.err
    assert (out / "state" / "last.ckpt").exists()
    again = fit(job, dataset(), out, resume=True, accelerator="cpu")
    assert curve(again) == curve(whole)
    assert again.best_epoch == whole.best_epoch
    assert same(weights(out), weights(whole.folder))
    assert sv.SnnVoice.from_pretrained(out).config == sv.SnnVoice.from_pretrained(whole.folder).config
    # A run that is over stays as it is.
    shutil.rmtree(out / "state")  # as the documentation allows
    assert fit(job, dataset(), out, resume=True, accelerator="cpu") == again
    assert same(weights(out), weights(whole.folder))


def test_a_full_disk_is_an_error_and_costs_no_more_than_the_last_steps(whole: Fitted, tmp_path: Path) -> None:
    job = Job(name="tones", recipe=recipe(silence=0.2), seed=3)
    out = tmp_path / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(row: dict[str, float]) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))

    try:
        with pytest.raises(sv.SnnVoiceError, match=r"run can't be written: File too large \(make room, then"):
            fit(job, dataset(), out, accelerator="cpu", keep_every=0.0, on_epoch=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (out / "state").glob("last*")] == ["last.ckpt"]
    again = fit(job, dataset(), out, resume=True, accelerator="cpu")
    assert curve(again) == curve(whole)
    assert same(weights(out), weights(whole.folder))


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("dear")
    with pytest.raises(sv.SnnVoiceError, match="can't be written: Not a directory"):
        fit(Job(name="tones", recipe=recipe()), dataset(), tmp_path / "file" / "run")


TWO = """
    import sys
    from pathlib import Path
    sys.path[:0] = [sys.argv[1]]
    import torch
    torch.set_num_threads(1)
    from tests.training.helpers import dataset, recipe
    from snn_voice_hub.training.fitting.fit import Job, fit
    job = Job(name="tones", recipe=recipe(silence=0.2), seed=3)
    fit(job, dataset(), Path(sys.argv[2]), accelerator="cpu", devices=2)
"""


@pytest.mark.slow
def test_two_processes_share_a_run(whole: Fitted, tmp_path: Path) -> None:
    script = tmp_path / "two.py"  # a file, which Lightning can start again
    script.write_text(textwrap.dedent(TWO))
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, str(script), str(ROOT), str(out)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["val_top1"] > 0.6
    alone = sv.SnnVoice.from_pretrained(whole.folder).config
    config = sv.SnnVoice.from_pretrained(out).config
    assert (config.labels, config.training["clips"]) == (alone.labels, alone.training["clips"])


def test_what_a_folder_holds_is_not_mixed_up(whole: Fitted, tmp_path: Path) -> None:
    job = Job(name="tones", recipe=recipe(silence=0.2), seed=3)
    with pytest.raises(sv.SnnVoiceError, match="holds a run already"):
        fit(job, dataset(), whole.folder)
    other = Job(name="tones", recipe=recipe(silence=0.2, lr=0.01), seed=3)
    with pytest.raises(sv.SnnVoiceError, match="has another recipe"):
        fit(other, dataset(), whole.folder, resume=True)
    with pytest.raises(sv.SnnVoiceError, match="has another clips"):
        fit(job, dataset(train=21), whole.folder, resume=True)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(sv.SnnVoiceError, match="not empty"):
        fit(job, dataset(), tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_a_run_that_failed_does_not_bar_the_corrected_one(tmp_path: Path) -> None:
    out, data = tmp_path / "run", dataset()
    for argument in ("kernel", "colour"):
        wrong = recipe(network=recipe().network | {argument: 1})
        with pytest.raises(sv.SnnVoiceError, match=argument):
            fit(Job(name="tones", recipe=wrong), data, out)
    wild = recipe(lr=1e38, gradient_clip=0.0, ema=0.0)
    with pytest.raises(sv.SnnVoiceError, match="diverged"):
        fit(Job(name="tones", recipe=wild), data, out)
    job = Job(name="tones", recipe=recipe(epochs=1))
    assert len(fit(job, data, out).history) == 1
    assert json.loads((out / "job.json").read_text())["recipe"]["lr"] == job.recipe.lr
    with pytest.raises(sv.SnnVoiceError, match="holds a run already"):
        fit(job, data, out)


def test_two_commands_do_not_train_in_one_folder(tmp_path: Path) -> None:
    job = Job(name="tones", recipe=recipe(silence=0.2, epochs=2), seed=3)
    seen: list[float] = []

    def meanwhile(row: dict[str, float]) -> None:
        with pytest.raises(sv.SnnVoiceError, match="another process trains in"):
            fit(job, dataset(), tmp_path / "run", resume=True)
        seen.append(row["epoch"])

    fitted = fit(job, dataset(), tmp_path / "run", on_epoch=meanwhile)
    assert seen == [1, 2] == [row["epoch"] for row in fitted.history]


def test_training_ends_early(tmp_path: Path) -> None:
    # A rate of nearly nothing: no epoch is better than the first by more than chance.
    quick = recipe(epochs=6, lr=1e-12, patience=2, ema=0.0)
    fitted = fit(Job(name="tones", recipe=quick), dataset(), tmp_path / "run")
    assert len(fitted.history) < 6
    assert "2 epochs" in fitted.stopped


def test_a_run_that_diverges_says_so(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    wild = recipe(lr=1e38, gradient_clip=0.0, ema=0.0, epochs=5)
    with pytest.raises(sv.SnnVoiceError, match="diverged"):
        fit(Job(name="tones", recipe=wild), dataset(), tmp_path / "run", on_epoch=rows.append)
    assert len(rows) == 1  # the other epochs would be for nothing


def test_other_words_from_a_trained_model(whole: Fitted, tmp_path: Path) -> None:
    pitches = {"yes": 300.0, "seven": 600.0, "tree": 1300.0}
    data = dataset(tones(6, seed=7, pitches=pitches), tones(4, seed=8, pitches=pitches))
    for freeze in (True, False):
        job = Job(name="mine", recipe=recipe(epochs=12), start=whole.folder, freeze=freeze)
        fitted = fit(job, data, tmp_path / str(freeze))
        assert max(row["val_top1"] for row in fitted.history) > 0.6
        voice = sv.SnnVoice.from_pretrained(fitted.folder)
        assert voice.labels == ["seven", "tree", "yes"]
        assert voice.config.training["before"]["epochs"] == 2
        before, after = weights(whole.folder), weights(fitted.folder)
        kept = [name for name in before if not name.startswith("fc.")]
        assert kept
        assert all(torch.equal(before[name], after[name]) for name in kept) or not freeze


def test_frozen_layers_keep_their_statistics(tmp_path: Path) -> None:
    base = fit(
        Job(name="base", recipe=recipe(architecture="HjhCNN", network={})), dataset(), tmp_path / "base"
    )
    job = Job(name="mine", recipe=recipe(architecture="HjhSNN", ema=0.0), start=base.folder, freeze=True)
    mine = fit(job, dataset(), tmp_path / "mine")
    before, after = weights(base.folder), weights(mine.folder)
    statistics = [name for name in before if "running" in name]
    assert statistics
    for name in statistics:
        _, number, rest = name.split(".", 2)
        assert torch.equal(
            before[name], after[f"snn.{int(number) + 1}.{rest}"]
        )  # the first one is on the input
    assert not torch.equal(before["fc.weight"], after["fc.weight"])


def test_a_network_learns_from_another_one(whole: Fitted, tmp_path: Path) -> None:
    taught = Job(name="t", recipe=recipe(silence=0.2, distil=0.9), teachers=(whole.folder,), seed=3)
    fitted = fit(taught, dataset(), tmp_path / "taught")
    assert curve(fitted) != curve(whole)
    assert fitted.history[-1]["val_top1"] > 0.6
    pitches = {"sheila": 300.0, "no": 900.0}
    other = dataset(tones(5, pitches=pitches), tones(2, pitches=pitches))
    with pytest.raises(sv.SnnVoiceError, match="can't teach 'sheila'"):
        fit(taught, other, tmp_path / "not")


def test_bad_jobs() -> None:
    with pytest.raises(sv.ConfigError, match="precision"):
        Job(name="x", recipe=recipe(), precision="int8")
    with pytest.raises(sv.ConfigError, match="freeze"):
        Job(name="x", recipe=recipe(), freeze=True)


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_products_of_half_precision(precision: str, tmp_path: Path) -> None:
    fitted = fit(Job(name="half", recipe=recipe(), precision=precision), dataset(), tmp_path / "half")
    assert fitted.history[-1]["val_top1"] > 0.6
    assert all(value.dtype != torch.bfloat16 for value in weights(fitted.folder).values())


@pytest.mark.parametrize(
    "setting", [torch.device("meta"), torch.autocast("cpu", torch.bfloat16)], ids=["device", "autocast"]
)
def test_torchs_settings_change_no_training(setting: Any, tmp_path: Path) -> None:
    losses = []
    for context in (contextlib.nullcontext(), setting):
        with context:
            fitted = fit(Job(name="x", recipe=recipe(epochs=1)), dataset(), tmp_path / str(len(losses)))
        losses.append((fitted.history[0]["train_loss"], fitted.history[0]["val_loss"]))
    assert losses[0] == losses[1]
