"""The soak: what it counts as a failure, and a short one of a real service."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.soak.__main__ import main
from benchmarks.soak.seen import Sample, Soaked

pytest.importorskip("matplotlib")


def seen(*memory: float, **more: Counter[str]) -> Soaked:
    """Half a minute a sample."""
    samples = [Sample(30.0 * i, mib, 20 + i, 9) for i, mib in enumerate(memory)]
    answers = [(30.0 * i + 1, 10.0 + i) for i in range(len(memory))]
    return Soaked(60.0, answers, samples=samples, **more)


def test_memory_that_grows_is_a_failure_and_memory_that_settles_is_none() -> None:
    settles = seen(100, 180, 200, 202, 203, 204, 205, 205)
    assert settles.growth(60) == pytest.approx(205 / 201)
    assert settles.problems(60) == []
    leaks = seen(100, 180, 200, 200, 206, 209, 212, 215)
    assert leaks.problems(60) == ["memory grew by 6.0 %"]


def test_an_error_that_nobody_asked_for_is_a_failure() -> None:
    assert seen(200, 200, 200, asked=Counter({"HTTP 415": 7})).problems(0) == []
    assert seen(200, 200, 200, unasked=Counter({"HTTP 500": 1})).problems(0) == ["1 times HTTP 500"]
    silent = seen(200, 200, 200)
    silent.answers.clear()
    assert silent.problems(0) == ["there was no answer"]


def test_rows_are_minutes() -> None:
    rows = seen(200, 210, 220, 230, 240).rows()
    assert [row[:2] for row in rows] == [(1.0, 2), (2.0, 2)]
    assert rows[1][2:] == (12.0, 13.0, 225.0, 23, 9)


@pytest.mark.slow
def test_a_short_soak_of_a_real_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ("--minutes", "0.15", "--settle", "0.05", "--minute", "3", "--reload", "0.06", "--measure", "1")
    light = ("--rate", "10", "--streams", "2", "--clients", "2", "--model", "tcy-snn")
    code = main([*short, *light, "--seed", "3", "--write", "--out", str(tmp_path)])
    told = capsys.readouterr().out
    assert "the models were loaded again" in told
    # In seconds memory has not settled; everything else has to be as it is in half an hour.
    assert code == 0 or "**Failed**: memory grew by" in told, told
    assert (tmp_path / "soak.md").read_text().strip().startswith("# ")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
