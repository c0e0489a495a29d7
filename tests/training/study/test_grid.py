"""The paper's grid: which runs there are, and how they are worked off."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.training.study.grid import (
    TRAINING,
    failure_of,
    folder_of,
    load_plan,
    plan,
    read_plan,
    run_grid,
)
from snn_voice_hub.training.study.results import RESULT_FILE, Run, RunResult, load_results, measure
from tests.training.study.helpers import LABELS, dataset, result, run, train_nothing

SMALL = [run("TcyCNN", epochs=2), run("TcySNN", 2, epochs=2), run("TcySNN", 3, True, epochs=2)]


# --- plan -----------------------------------------------------------------------------------------


def test_the_papers_grid() -> None:
    runs = plan()
    # 4 CNNs, and 4 twins with 4 numbers of steps and 2 betas
    assert len(runs) == len(set(runs)) == 4 + 4 * 4 * 2
    assert {r.epochs for r in runs} == {15}
    assert sum(r.twin == "cnn" for r in runs) == 4


def test_cheap_runs_come_first_and_seeds_last() -> None:
    runs = plan(["m5", "tcy"], num_steps=[5, 1], learn_beta=[False], seeds=[3, 1], epochs=4)
    assert [r.seed for r in runs] == [3] * 6 + [1] * 6
    assert [r.name for r in runs[:6]] == [
        "tcy-cnn-4epochs-seed3",
        "tcy-snn-t1-4epochs-seed3",
        "tcy-snn-t5-4epochs-seed3",
        "m5-cnn-4epochs-seed3",
        "m5-snn-t1-4epochs-seed3",
        "m5-snn-t5-4epochs-seed3",
    ]


def test_each_run_has_a_folder_of_its_own() -> None:
    runs = [*plan(seeds=[0, 1]), *plan(seeds=[0, 1], epochs=3)]
    assert len({r.name for r in runs}) == len(runs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"models": ["m6"]}, "m6"),
        ({"models": []}, "no runs"),
        ({"num_steps": [0]}, "num_steps=0"),
        ({"seeds": [-1]}, "seed=-1"),
        ({"epochs": 0}, "epochs=0"),
    ],
)
def test_plan_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**given)


def test_a_cnn_has_no_steps() -> None:
    with pytest.raises(ConfigError, match="no time steps"):
        Run(architecture="M5CNN", num_steps=5)
    with pytest.raises(ConfigError, match="needs num_steps"):
        Run(architecture="M5SNN")


def test_plan_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "runs:\n"
        "  - {architecture: M5SNN, num_steps: 5, seeds: [0, 1], epochs: 2}\n"
        "  - {architecture: HjhSNN, num_steps: [1, 5], learn_beta: true}\n"
        "  - {architecture: HjhCNN}\n"
    )
    pytest.importorskip("yaml")
    assert read_plan(path, epochs=7) == [
        run("M5SNN", 5, epochs=2),
        run("HjhSNN", 1, True, epochs=7),
        run("HjhSNN", 5, True, epochs=7),
        run("HjhCNN", epochs=7),
        run("M5SNN", 5, epochs=2, seed=1),
    ]
    assert read_plan(path)[1].epochs == 15


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs: []", "no runs"),
        ("models: [m5]", "models"),
        ("runs: [{architecture: M5SNN, steps: 5}]", "steps"),
        ("runs: [{architecture: M7SNN, num_steps: 5}]", "M7SNN"),
        ("runs: [{architecture: M5SNN, num_steps: five}]", "num_steps='five'"),
        ("runs: [{architecture: M5CNN, seeds: 3}]", "seeds=3"),
        ("runs: [{architecture: M5CNN, epochs: 0}]", "epochs=0"),
        ("runs: [", "YAML"),
    ],
)
def test_plan_file_errors_name_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_plan(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_plan_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SnnVoiceError, match=r"none\.yaml can't be read"):
        read_plan(tmp_path / "none.yaml")


# --- results --------------------------------------------------------------------------------------


def test_a_result_survives_json(tmp_path: Path) -> None:
    before = result(run("TcySNN", 5, True, seed=2), 61)
    path = tmp_path / RESULT_FILE
    before.save(path)
    assert RunResult.load(path) == before
    assert before.tested.recall == {**dict.fromkeys("abcdef", 1.0), "g": 0.1, "h": 0, "i": 0, "j": 0}
    assert before.train_clips == 3010
    assert before.seconds_per_epoch == 6.0
    assert before.best_row["epoch"] == 2
    assert before.recall_over(["a", "g"]) == (0.55, 20)
    assert before.recall_over(["yes"]) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("best_epoch", 3), ("best_epoch", "2"), ("parameters", None), ("more", 1), ("run", {"seed": 0})],
)
def test_reading_a_result_is_strict(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / RESULT_FILE
    path.write_text(json.dumps(dataclasses.asdict(result(run("TcyCNN"))) | {field: value}))
    with pytest.raises(SnnVoiceError, match=r"result\.json can't be read") as caught:
        RunResult.load(path)
    assert field in str(caught.value) or "architecture" in str(caught.value)


def test_half_a_result_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / RESULT_FILE
    path.write_text('{"run": ')
    with pytest.raises(SnnVoiceError, match="delete it"):
        RunResult.load(path)


def test_a_result_that_was_damaged_is_none(tmp_path: Path) -> None:
    path = tmp_path / RESULT_FILE
    one = result(run("TcySNN", 5), 61)
    one.save(path)
    text = path.read_text()
    assert '"parameters": ' in text
    number = f'"parameters": {one.parameters}'
    path.write_text(text.replace(number, number[:-1] + str((one.parameters + 1) % 10)))
    with pytest.raises(SnnVoiceError, match=r"not what was written \(delete it, and run again\)"):
        RunResult.load(path)
    # One of an earlier version has no digest.
    path.write_text(json.dumps(dataclasses.asdict(one)))
    assert RunResult.load(path) == one


def test_measuring_by_hand() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    found = measure(logits, ["no", "yes", "up", "dog"], LABELS, "test")
    assert found.labels == [*LABELS, "dog"]
    assert (found.top1, found.top2, found.top5, found.clips) == (0.25, 0.75, 0.75, 4)
    assert found.confusion == [[1, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert found.recall == {"no": 1.0, "up": 0.0, "yes": 0.0, "dog": 0.0}


# --- the grid -------------------------------------------------------------------------------------


def test_a_grid_is_trained_and_measured_once(tmp_path: Path) -> None:
    told: list[str] = []
    worked = run_grid(SMALL, dataset(), tmp_path, train=train_nothing, tell=told.append)
    assert worked.finished == [r.name for r in SMALL]
    assert not worked.failed
    assert not worked.interrupted
    found = {r.run: r for r in load_results(tmp_path)}
    assert set(found) == set(SMALL)
    for one in found.values():
        assert (one.tested.part, one.tested.clips, one.train_clips) == ("test", 7, 9)
        assert len(one.history) == 2
    # both twins have 100 weights and a bias a word; the membrane's decay and threshold come on top
    assert found[SMALL[0]].parameters == 303
    assert found[SMALL[2]].parameters >= found[SMALL[0]].parameters
    assert any("run 3 of 3" in line for line in told)
    assert not (folder_of(tmp_path, SMALL[0]) / TRAINING / "state").exists()

    def never(*_: Any) -> Any:
        raise AssertionError("it was finished")

    again = run_grid(SMALL, dataset(), tmp_path, train=never)
    assert again.kept == worked.finished
    assert not again.finished


def test_without_test_clips_the_validation_clips_are_measured(tmp_path: Path) -> None:
    run_grid(SMALL[:1], dataset(test=None), tmp_path, train=train_nothing)
    (found,) = load_results(tmp_path)
    assert (found.tested.part, found.tested.clips) == ("validation", 6)


@pytest.mark.slow
def test_a_failing_run_does_not_end_the_grid(tmp_path: Path) -> None:
    def training(what: Run, data: Any, folder: Path) -> Any:
        if what.num_steps == 2:
            raise RuntimeError("out of memory:\nfar too much")
        return train_nothing(what, data, folder)

    worked = run_grid(SMALL, dataset(), tmp_path, train=training)
    assert worked.failed == [SMALL[1].name]
    assert len(worked.finished) == 2
    failure = failure_of(tmp_path, SMALL[1])
    assert failure is not None
    assert failure.reason == "out of memory: far too much"
    assert "RuntimeError" in failure.details
    # the next call tries again, and what was wrong is forgotten
    again = run_grid(SMALL, dataset(), tmp_path, train=train_nothing)
    assert again.finished == [SMALL[1].name]
    assert failure_of(tmp_path, SMALL[1]) is None


@pytest.mark.slow
def test_interrupted_and_gone_on_with(tmp_path: Path) -> None:
    folders = []

    def interrupted(what: Run, data: Any, folder: Path) -> Any:
        folders.append(folder)
        if what == SMALL[1]:
            folder.mkdir(parents=True)
            (folder / "job.json").write_text("{}")
            raise KeyboardInterrupt
        return train_nothing(what, data, folder)

    worked = run_grid(SMALL, dataset(), tmp_path, train=interrupted)
    assert worked.interrupted
    assert worked.finished == [SMALL[0].name]
    assert load_plan(tmp_path) == SMALL
    assert failure_of(tmp_path, SMALL[1]) is None

    def going_on(what: Run, data: Any, folder: Path) -> Any:
        if what == SMALL[1]:
            assert folder == folders[1]
            assert (folder / "job.json").exists()
        return train_nothing(what, data, folder)

    again = run_grid(SMALL, dataset(), tmp_path, train=going_on)
    assert (again.kept, again.finished) == ([SMALL[0].name], [r.name for r in SMALL[1:]])


def test_runs_on_other_clips_do_not_mix(tmp_path: Path) -> None:
    run_grid(SMALL[:1], dataset(), tmp_path, train=train_nothing)
    with pytest.raises(SnnVoiceError, match=r"9 clips.*another --out"):
        run_grid(SMALL, dataset(train=12), tmp_path, train=train_nothing)
    with pytest.raises(SnnVoiceError, match="measured on 7"):
        run_grid(SMALL, dataset(test=8), tmp_path, train=train_nothing)
    other = dataset()
    other.train.waveforms[0, 0] += 1
    with pytest.raises(SnnVoiceError, match=r"other clips \(.*another --out"):
        run_grid(SMALL, other, tmp_path, train=train_nothing)
    assert len(load_results(tmp_path)) == 1


def test_without_lightning_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(SnnVoiceError, match=r"snn-voice-hub\[train\]"):
        run_grid(SMALL, dataset(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_papers_training(tmp_path: Path) -> None:
    """With Lightning, in two epochs of one step."""
    pytest.importorskip("lightning")
    told: list[str] = []
    wanted = run("TcySNN", 2, True, seed=3, epochs=2)
    worked = run_grid([wanted], dataset(), tmp_path, accelerator="cpu", tell=told.append)
    assert not worked.failed, told
    (found,) = load_results(tmp_path)
    assert found.epochs_run == [1, 2]
    assert found.recipe == "TcySNN as the paper trained it, T = 2"
    job = json.loads((folder_of(tmp_path, wanted) / TRAINING / "job.json").read_text())
    assert (job["seed"], job["recipe"]["epochs"]) == (3, 2)
    assert job["recipe"]["network"] | {"num_steps": 2, "learn_beta": True} == job["recipe"]["network"]
    assert sum("validation clips right" in line for line in told) == 2
