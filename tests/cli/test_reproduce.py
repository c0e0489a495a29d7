"""`snn-voice reproduce`: what it prints, and what it says of mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from snn_voice_hub.cli.reproduce import reproduce
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips import sources
from snn_voice_hub.training.study import grid
from snn_voice_hub.training.study.grid import folder_of
from snn_voice_hub.training.study.results import RESULT_FILE
from tests.training.study.helpers import dataset, result, run, train_nothing

app = typer.Typer()
app.command()(reproduce)


def call(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_help() -> None:
    text = call("--help")
    assert "--report-only" in text
    assert "--plan" in text


def test_show_plan_trains_nothing(tmp_path: Path) -> None:
    out = tmp_path / "grid"
    one = result(run("TcyCNN"))
    one.save(folder_of(out, one.run) / RESULT_FILE)
    text = call(
        *("--out", out, "--models", "tcy", "--num-steps", "1,5", "--fixed-beta", "--epochs", 5, "--show-plan")
    )
    assert text.splitlines() == [
        "tcy-cnn-5epochs-seed0  finished",
        "tcy-snn-t1-5epochs-seed0  to do",
        "tcy-snn-t5-5epochs-seed0  to do",
    ]
    assert [path.name for path in out.iterdir()] == ["runs"]


def test_learned_beta_comes_beside_the_fixed_one(tmp_path: Path) -> None:
    text = call("--out", tmp_path, "--models", "hjh", "--num-steps", "5", "--learn-beta", "--show-plan")
    assert [line.split()[0] for line in text.splitlines()] == [
        "hjh-cnn-15epochs-seed0",
        "hjh-snn-t5-15epochs-seed0",
        "hjh-snn-t5-learn-beta-15epochs-seed0",
    ]


@pytest.mark.slow
def test_report_only(tmp_path: Path) -> None:
    for right, what in ((60, run("TcyCNN")), (62, run("TcyCNN", seed=1)), (40, run("TcySNN", 5))):
        result(what, right).save(folder_of(tmp_path, what) / RESULT_FILE)
    text = call("--out", tmp_path, "--report-only")
    assert "holds for TCY" in text
    assert "report.md: 3 runs, 0 missing" in text
    assert (tmp_path / "report.md").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--data"),
        (("--models", "m6"), "m5, piczak, hjh, tcy"),
        (("--num-steps", "1;5"), "1,5,15"),
        (("--seeds", "a"), "--seeds a"),
        (("--epochs", "0"), "epochs=0"),
        (("--data", "x", "--threads", "0"), "--threads 0"),
        (("--data", "x", "--accelerator", "tpu"), "one of auto"),
        (("--plan", "p.yaml", "--models", "m5"), "--plan names the runs"),
        (("--plan", "none.yaml"), "none.yaml can't be read"),
        (("--report-only",), "holds no runs"),
    ],
)
def test_errors(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(SnnVoiceError) as caught:
        call("--out", tmp_path, *arguments)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


# --- with training ----------------------------------------------------------------------------------


def trained(monkeypatch: pytest.MonkeyPatch, out: Path, train: grid.Train) -> Any:
    """The command on made-up clips, with a stand-in for training."""
    monkeypatch.setattr(sources, "load_dataset", lambda data, **_: dataset(), raising=False)
    monkeypatch.setattr(grid, "_paper_training", lambda accelerator, tell: train)
    given = ["--models", "tcy", "--num-steps", "2", "--fixed-beta", "--epochs", "2"]
    return CliRunner().invoke(app, ["--out", str(out), "--data", "made up", *given])


def test_trains_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = trained(monkeypatch, tmp_path, train_nothing)
    assert done.exit_code == 0, done.output
    assert "2 runs; 9 clips to learn from, 6 to validate with, 7 to test with (by speaker)" in done.output
    assert "report.md: 2 runs, 0 missing" in done.output


@pytest.mark.slow
def test_an_interrupted_grid_has_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(what: Any, data: Any, folder: Path) -> Any:
        if what.twin == "snn":
            raise KeyboardInterrupt
        return train_nothing(what, data, folder)

    done = trained(monkeypatch, tmp_path, train)
    assert done.exit_code == 130
    assert "report.md: 1 runs, 1 missing" in done.output


@pytest.mark.slow
def test_a_failed_run_is_an_error_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(what: Any, data: Any, folder: Path) -> Any:
        if what.twin == "cnn":
            raise ValueError("no room")
        return train_nothing(what, data, folder)

    done = trained(monkeypatch, tmp_path, train)
    assert isinstance(done.exception, SnnVoiceError)
    assert "1 of 2 runs failed: tcy-cnn-2epochs-seed0" in str(done.exception)
    assert "failed: no room" in (tmp_path / "report.md").read_text()
