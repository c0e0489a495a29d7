"""A run that was cut off anywhere, or killed at any write, ends as it would have without that."""

from __future__ import annotations

import csv
import dataclasses
import io
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning")
pytest.importorskip("tensorboard")

from tests.training.fitting.test_damaged_runs import JOB, SMALL, Cut, Runs, cut, outcome, run, runs

__all__ = ["runs"]


def test_the_table_has_each_row_once_wherever_a_run_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snn_voice_hub.training.fitting.keeping._LOG_EVERY", 1)
    wanted = outcome(run(tmp_path / "whole").folder)
    rows = list(csv.DictReader(io.StringIO(wanted[3])))
    assert [(row["epoch"], row["step"]) for row in rows] == [
        (str(epoch), str(step)) for epoch, step in ((0, 0), (0, 1), (0, 1), (1, 2), (1, 3), (1, 3))
    ]
    out = tmp_path / "cut"
    for at in ((0, 1), (1, 0), (1, 1)):
        shutil.rmtree(out, ignore_errors=True)
        cut(out, at)
        with (out / "logs/csv/metrics.csv").open("a") as file:
            file.write("1,7,half of a ro")
        run(out, resume=True)
        assert outcome(out) == wanted


def test_a_run_that_ended_early_is_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = dataclasses.replace(JOB, recipe=dataclasses.replace(SMALL, epochs=6, lr=1e-12, patience=1, ema=0.0))
    whole = run(tmp_path / "whole", job)
    assert len(whole.history) < 6

    def killed(*_: Any) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr("snn_voice_hub.training.fitting.fit._finish", killed)
        with pytest.raises(Cut):
            run(tmp_path / "cut", job)
    again = run(tmp_path / "cut", job, resume=True)
    assert (again.stopped, again.best_epoch) == (whole.stopped, whole.best_epoch)
    assert outcome(again.folder) == outcome(whole.folder)


def test_a_run_goes_on_after_a_kill_at_any_write(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, out = Path.replace, tmp_path / "run"
    left = [0]

    def watched(self: Path, target: Path) -> Path:
        if left[0] == 0:
            raise Cut
        left[0] -= 1
        return replace(self, target)

    def killed(path: Path, missing_ok: bool = False) -> None:
        raise Cut  # who is killed puts nothing right

    for number in range(30):
        shutil.rmtree(out, ignore_errors=True)
        left[0] = number
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", watched)
            patch.setattr(Path, "unlink", killed)
            try:
                run(out)
                break
            except Cut:
                pass
        run(out, resume=True)
        assert outcome(out) == runs.wanted, number
    assert number > 12
    assert not list(out.rglob("*.part"))
