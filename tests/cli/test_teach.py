"""`snn-voice teach` and `negatives`, as far as they go without minutes of training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snn_voice_hub.cli import record, teach
from snn_voice_hub.cli.teach import LessonProgress
from snn_voice_hub.training.clips import debian
from snn_voice_hub.training.lessons import teach as lessons
from snn_voice_hub.training.lessons.teach import Step, Taught
from tests.cli.helpers import invoke, refused

FIGURES = {
    "missed": {"recordings": 0.125, "synthetic voices": 0.05},
    "clips": {"recordings": 8, "synthetic voices": 240},
    "times_said": {"recordings": 8, "synthetic voices": 1},
    "false_alarms": {"speech": 0.5},
    "hours": {"speech": 2.0},
    "threshold": 0.9,
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `teach` was asked for; it is done at once."""
    found: dict[str, Any] = {}

    def done(words: list[str], out: Path, *, report: Callable[[Step], None], **given: Any) -> Taught:
        found.update(given, words=words, out=out)
        for number in range(3):
            report(Step("train", "training", number, 2))
        return Taught(out, tuple(words), FIGURES, ("a note",), (("a.wav", "it is silent"),))

    monkeypatch.setattr(lessons, "teach", done)
    return found


def test_the_end_is_the_line_that_listens(tmp_path: Path, asked: dict[str, Any]) -> None:
    out = tmp_path / "my robot"
    done = invoke("teach", "hey robot", "--out", str(out), "--clips", str(tmp_path), "--synthetic-only")
    assert done.stdout.splitlines()[-1] == f"snn-voice listen --model '{out}'"
    assert "recordings (8 clips, said 8 times): missed in noise at 10 dB" in done.stdout
    assert "synthetic voices (240 clips): missed in noise at 10 dB" in done.stdout
    assert "12.5 %" in done.stdout
    assert done.stderr.splitlines()[:2] == ["training …", "a note"]
    assert "a.wav: it is silent" in done.stderr
    assert asked["clips"] == [tmp_path]
    assert asked["negatives"] is None


def test_programs_get_json(tmp_path: Path, asked: dict[str, Any]) -> None:
    done = invoke("teach", "lumos", "--out", str(tmp_path / "out"), "--json")
    *steps, last = map(json.loads, done.stdout.splitlines())
    assert steps[1] == {"step": "train", "text": "training", "done": 1, "of": 2}
    assert last["step"] == "done"
    assert last["figures"] == FIGURES
    assert last["listen"] == f"snn-voice listen --model {tmp_path / 'out'}"


def test_words_are_recorded_first(
    tmp_path: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[list[str], int]] = []

    def take(words: list[str], out: Path, *, count: int, **_: object) -> None:
        taken.append((words, count))
        out.mkdir(parents=True)

    monkeypatch.setattr(record, "record", take)
    out = tmp_path / "out"
    invoke("teach", "sheila=SH IY1 L AH0", "--out", str(out), "--record", "4")
    assert taken == [(["sheila"], 4)]
    assert asked["clips"] == [out / "lesson" / "recorded"]


def test_nobody_is_asked_where_nobody_sits(tmp_path: Path, asked: dict[str, Any]) -> None:
    assert not teach._wants_to_record(tmp_path / "none")
    invoke("teach", "lumos", "--out", str(tmp_path / "out"))
    assert asked["clips"] == []


def test_quiet_says_nothing_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    with LessonProgress(json=False, quiet=True) as progress:
        progress(Step("read", "reading"))
    assert capsys.readouterr() == ("", "")


def test_mistakes_are_told(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    assert "do not go together" in refused("teach", "up", *out, "--record", "2", "--synthetic-only")
    assert "--record 0" in refused("teach", "up", *out, "--record", "0")
    assert "no word or phrase" in refused("teach", "../up", *out, "--synthetic-only")
    assert "nothing to learn from" in refused("teach", "lumos", *out, "--count", "0")
    assert "does not exist" in refused("teach", "lumos", *out, "--clips", str(tmp_path / "none"))
    assert not (tmp_path / "out").exists()


def test_without_debian_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "--negatives" in refused("negatives", "--out", str(tmp_path / "set"))
    assert not (tmp_path / "set").exists()


def test_a_set_that_is_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [{"kind": "speech", "seconds": 90.0}, {"kind": "speech", "seconds": 30.0}]
    (tmp_path / "index.json").write_text(json.dumps({"items": items}))
    monkeypatch.setattr(debian, "default_negatives", lambda: tmp_path)
    assert invoke("negatives").stdout == f"{tmp_path}: speech 2 min\n"
    (tmp_path / "index.json").write_text("{")
    assert "can't be read" in refused("negatives")
