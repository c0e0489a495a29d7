"""The report on the paper's grid: verdicts come out either way, and every run stands in it."""

from __future__ import annotations

import csv
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.machine import Machine
from snn_voice_hub.training.study.findings import (
    FAILS,
    HOLDS,
    NOT_MEASURED,
    UNDECIDED,
    Finding,
    costs,
    findings,
    grouped,
    points,
)
from snn_voice_hub.training.study.grid import FAILURE_FILE, folder_of, save_plan
from snn_voice_hub.training.study.report.text import markdown, rows_csv
from snn_voice_hub.training.study.report.write import write_report
from snn_voice_hub.training.study.results import RESULT_FILE, RunResult, write_json
from tests.training.study.helpers import HERE, result, run

COMPLEXITY = "dependence on complexity"


def cell(
    architecture: str, right: Sequence[int], steps: int | None = None, **more: object
) -> list[RunResult]:
    """One run a seed."""
    beta = bool(more.pop("beta", False))
    return [
        result(run(architecture, steps, beta, seed=seed), count, **more)  # type: ignore[arg-type]
        for seed, count in enumerate(right)
    ]


def asked(*cells: list[RunResult]) -> list[Finding]:
    return findings(grouped(one for several in cells for one in several))


# --- 1: below the CNN -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cnn", "twin", "verdict"),
    [
        ((60, 62), (50, 51), HOLDS),
        ((50, 51), (60, 62), FAILS),
        ((60, 62), (59, 61), UNDECIDED),  # a margin of 1, a doubt of 2.8
        ((60, 62), (58, 60), UNDECIDED),  # and of 2
        ((60,), (30,), UNDECIDED),  # however large: how far seeds lie apart is not known
    ],
)
def test_below_its_cnn(cnn: tuple[int, ...], twin: tuple[int, ...], verdict: str) -> None:
    found = asked(cell("HjhCNN", cnn), cell("HjhSNN", twin, 5))[0]
    assert found.verdicts["HJH"] == verdict
    assert len(found.rows) == 1


def test_the_best_twin_is_compared() -> None:
    found = asked(cell("TcyCNN", (60, 61)), cell("TcySNN", (30,), 1), cell("TcySNN", (61,), 5))[0]
    assert found.verdicts["TCY"] == UNDECIDED
    assert found.rows[0][4] == "5"


def test_the_doubt_is_borrowed_from_another_network() -> None:
    found = asked(
        cell("TcyCNN", (40,)),
        cell("TcySNN", (34,), 5),
        cell("HjhCNN", (60, 62)),
        cell("HjhSNN", (50,), 5),
    )[0]
    assert found.verdicts["TCY"] == HOLDS  # 6 is more than 4
    assert found.rows[-1][-1] == "4.0"


@pytest.mark.parametrize(
    ("margins", "verdict"),
    [((2, 8, 14), HOLDS), ((14, 8, 2), HOLDS), ((2, 14, 2), FAILS), ((5, 6, 5), UNDECIDED)],
)
def test_margin_and_complexity(margins: tuple[int, ...], verdict: str) -> None:
    cells = []
    for family, parameters, margin in zip(("Tcy", "Hjh", "M5"), (10, 20, 30), margins, strict=True):
        cells.append(cell(f"{family}CNN", (60, 61), parameters=parameters))
        cells.append(cell(f"{family}SNN", (60 - margin,), 5, parameters=parameters))
    assert asked(*cells)[0].verdicts[COMPLEXITY] == verdict
    assert asked(*cells[:4])[0].verdicts[COMPLEXITY] == NOT_MEASURED


# --- 2: more steps --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("few", "many", "verdict"),
    [
        (50, 50, HOLDS),  # still 10 below
        (50, 45, HOLDS),  # further away
        (50, 59, FAILS),  # came nearer
        (60, 60, UNDECIDED),  # there was no gap
        (57, 58, UNDECIDED),  # within the doubt
    ],
)
def test_more_steps(few: int, many: int, verdict: str) -> None:
    cells = cell("M5CNN", (59, 61)), cell("M5SNN", (few,), 1), cell("M5SNN", (many,), 15)
    found = asked(*cells)[1]
    assert found.verdicts["M5"] == verdict
    assert found.rows[0][1::2][:2] == ("1", "15")


# --- 3: cost --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rates", "verdict"), [((50, 20), HOLDS), ((51, 90), FAILS), ((49, 60), UNDECIDED)])
def test_cost(rates: tuple[float, float], verdict: str) -> None:
    cnn = cell("TcyCNN", (50,), rate=100.0)
    twins = [result(run("TcySNN", 5, seed=seed), rate=float(rate)) for seed, rate in enumerate(rates)]
    found = asked(cnn, twins, cell("TcySNN", (50,), 1, rate=100.0))[2]
    assert found.verdicts["TCY"] == verdict
    assert len(found.rows) == 2


def test_one_step_says_nothing_about_cost() -> None:
    found = asked(cell("TcyCNN", (50,), rate=100.0), cell("TcySNN", (50,), 1, rate=10.0))[2]
    assert found.verdicts["TCY"] == NOT_MEASURED


def test_times_of_other_machines_are_not_compared() -> None:
    other = Machine(cores=64, threads=64, torch="2.9", device="a GPU")
    cells = [*cell("TcyCNN", (50,)), *cell("TcySNN", (50,), 5, machine=other)]
    assert findings(grouped(cells))[2].verdicts["TCY"] == NOT_MEASURED
    assert costs(grouped(cells)[0]) == {}


@pytest.mark.parametrize("what", ["processor", "allocator"])
def test_times_of_another_processor_or_allocator_are_not_compared(what: str) -> None:
    slow, fast = (dataclasses.replace(HERE, **{what: name}) for name in ("slow", "fast"))
    cells = [
        *cell("TcyCNN", (50, 50), rate=100.0, machine=slow),
        *cell("TcyCNN", (50,), rate=400.0, machine=fast),
        *cell("TcySNN", (50,), 5, rate=10.0, machine=slow),
        *cell("TcySNN", (50,), 5, rate=1.0, machine=dataclasses.replace(HERE, threads=9)),  # no CNN's there
    ]
    assert costs(grouped(cells)[0])[5, False].mean == pytest.approx(10.0)
    row = findings(grouped(cells))[2].rows[0]
    assert float(row[-2]) == pytest.approx(10 * float(row[-1]), rel=0.01)
    assert Machine.here().processor


def test_networks_that_learned_nothing_are_named() -> None:
    groups = grouped([*cell("TcyCNN", (50,)), *cell("TcySNN", (15, 14), 5), *cell("TcySNN", (17,), 1)])
    text = markdown(groups, findings(groups), {}, {})
    assert "No better than the same answer for all clips, by two standard errors: tcy-snn-t5-5epochs." in text
    assert "No better than" not in markdown(grouped(cell("TcyCNN", (50,))), [], {}, {})


def test_nothing_is_no_negative_difference() -> None:
    assert [points(x, True) for x in (-0.0004, 0.0004, -0.0006, 0.012)] == ["+0.0", "+0.0", "-0.1", "+1.2"]
    assert points(-0.0004) == "0.0"


def test_the_allocator_is_kept_with_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_", "THP_", "LD_PRELOAD"))]:
        monkeypatch.delenv(name)
    assert Machine.here().allocator == ""
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libother.so:/usr/lib/libtcmalloc_minimal.so.4")
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    assert Machine.here().allocator == "libtcmalloc_minimal.so.4 MALLOC_TOP_PAD_=1"
    done = [result(run("TcyCNN"), machine=Machine.here())]
    assert ", allocator libtcmalloc_minimal.so.4 MALLOC_TOP_PAD_=1." in markdown(grouped(done), [], {}, {})
    assert "libtcmalloc_minimal.so.4 MALLOC_TOP_PAD_=1" in rows_csv(done, {})


# --- 4: learned beta ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fixed", "learned", "verdict"),
    [
        ((60, 61), (60, 61), HOLDS),
        ((60, 61), (65, 66), FAILS),
        ((60, 61), (55, 56), FAILS),
        ((60, 64), (60, 62), UNDECIDED),
        ((60,), (60,), UNDECIDED),
    ],
)
def test_learned_beta(fixed: tuple[int, ...], learned: tuple[int, ...], verdict: str) -> None:
    found = asked(cell("HjhSNN", fixed, 5), cell("HjhSNN", learned, 5, beta=True))[3]
    assert found.verdicts["HJH"] == verdict


def test_more_seeds_leave_less_doubt() -> None:
    doubts = []
    for times in (1, 2, 4):
        seeds = (60, 62) * times
        found = asked(cell("HjhSNN", seeds, 5), cell("HjhSNN", seeds, 5, beta=True))[3]
        doubts.append(float(found.rows[0][-1]))
        assert found.verdicts["HJH"] == (UNDECIDED if times == 1 else HOLDS)
    # Two standard errors: 2 s sqrt(2 / n), where s^2 = n / (n - 1) squared points.
    assert doubts == pytest.approx([2.8, 1.6, 1.1], abs=0.05)


def test_networks_that_guess_decide_nothing() -> None:
    # Ten words with ten clips each: 16 right are within two standard errors of one answer for all.
    cells = (
        cell("HjhCNN", (16, 16)),
        cell("HjhSNN", (10, 10), 1),
        cell("HjhSNN", (10, 10), 5),
        cell("HjhSNN", (10, 10), 1, beta=True),
    )
    below, steps, _, beta = asked(*cells)
    assert below.verdicts["HJH"] == steps.verdicts["HJH"] == beta.verdicts["HJH"] == UNDECIDED
    below, steps, _, _ = asked(cell("HjhCNN", (17, 17)), *cells[1:])
    assert below.verdicts["HJH"] == steps.verdicts["HJH"] == HOLDS


def test_without_runs_nothing_is_measured() -> None:
    for finding in findings([]):
        assert finding.verdict == NOT_MEASURED or set(finding.verdicts.values()) == {NOT_MEASURED}
    for finding in asked(cell("HjhSNN", (50,), 5))[:4]:
        assert finding.verdicts["HJH"] == NOT_MEASURED


def test_runs_of_other_lengths_are_not_compared() -> None:
    found = findings(grouped([result(run("TcyCNN", epochs=5)), result(run("TcySNN", 5, epochs=9))]))[0]
    assert found.verdicts["TCY (5 epochs)"] == found.verdicts["TCY (9 epochs)"] == NOT_MEASURED


# --- the report -----------------------------------------------------------------------------------


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """Four finished runs, one that failed, and one that is to come."""
    done = [*cell("TcyCNN", (60, 62), rate=300.0), *cell("TcySNN", (50, 51), 5)]
    failed, missing = run("HjhSNN", 5), run("M5SNN", 15)
    for one in done:
        one.save(folder_of(tmp_path, one.run) / RESULT_FILE)
    write_json(folder_of(tmp_path, failed) / FAILURE_FILE, {"reason": "it diverged", "details": "…"})
    save_plan(tmp_path, [*(one.run for one in done), failed, missing])
    return tmp_path


def test_report(grid: Path) -> None:
    pytest.importorskip("matplotlib")
    report = write_report(grid)
    text = report.path.read_text()
    assert (report.finished, len(report.missing), report.note) == (4, 2, "")
    assert "| TCY CNN |  |  | 5 | 2 | 61.0 (60.0 to 62.0) |" in text
    assert "| TCY SNN | 5 | fixed | 5 | 2 | 50.5 (50.0 to 51.0) |" in text
    assert "holds for TCY; not measured for dependence on complexity" in text
    assert "105,829" in text
    assert "3,010 clips of 11 words" in text
    assert "fewer than 100 training clips (1): yes." in text
    assert "- hjh-snn-t5-5epochs-seed0: failed: it diverged" in text
    assert "- m5-snn-t15-5epochs-seed0: not finished" in text
    assert "| TCY SNN | 5 | fixed | 1,000 | 6.0 | 100 | 3.00 |" in text
    pictures = [line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(pictures) == len(set(pictures)) == 5
    for picture in pictures:
        assert (grid / picture).read_bytes().startswith(b"\x89PNG")


def test_table_of_all_runs(grid: Path) -> None:
    write_report(grid)
    with (grid / "results.csv").open(newline="") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert [row["state"] for row in rows.values()] == ["finished"] * 4 + ["failed", "missing"]
    assert float(rows["tcy-snn-t5-5epochs-seed1"]["top1"]) == 0.51
    assert rows["hjh-snn-t5-5epochs-seed0"]["reason"] == "it diverged"


def test_without_matplotlib_the_report_says_so(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    report = write_report(grid)
    assert "snn-voice-hub[plots]" in report.note
    text = report.path.read_text()
    assert report.note in text
    assert "![" not in text


def test_nothing_finished_yet(tmp_path: Path) -> None:
    save_plan(tmp_path, [run("TcyCNN")])
    text = write_report(tmp_path).path.read_text()
    assert "nothing to report yet" in text
    assert text.count("not measured") >= 4


def test_no_grid_there(tmp_path: Path) -> None:
    with pytest.raises(SnnVoiceError, match="holds no runs"):
        write_report(tmp_path)


def test_results_of_other_data_are_not_mixed(grid: Path) -> None:
    other = result(run("HjhCNN"), train_words={"no": 1, "yes": 2})
    other.save(folder_of(grid, other.run) / RESULT_FILE)
    with pytest.raises(SnnVoiceError, match="same clips only"):
        write_report(grid)
