"""The progress bar: on a terminal, for what takes long, and nowhere else."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import pytest

import snn_voice_hub as sv
from snn_voice_hub.cli.classify import classify
from snn_voice_hub.inference import progress
from tests.inference.helpers import make, samples
from tests.places import EXAMPLES

CLIPS = [samples(seed) for seed in range(20)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stderr a terminal and stdout a pipe; no fixture, because pytest would undo it before the test."""
    monkeypatch.setenv("TERM", "xterm")
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    return stderr


@pytest.fixture
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", -1)


def numbers(count: int) -> Generator[int, None, None]:
    yield from range(count)


def ticks(seconds: float) -> Any:
    now = iter(np.arange(0, 1e6, seconds))
    return lambda: next(now)


def test_what_takes_over_a_second_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    answers = progress.with_progress(numbers(10), 10, clock=ticks(0.3))
    seen = [(answer, bool(terminal.getvalue())) for answer in answers]
    assert [answer for answer, _ in seen] == list(range(10))
    # Four ticks are 1.2 s.
    assert [drawn for _, drawn in seen] == [False] * 3 + [True] * 7
    assert "Classifying" in terminal.getvalue()
    assert "10/10" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")  # and is wiped at the end


def test_what_is_done_sooner_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    assert list(progress.with_progress(numbers(10), 10, clock=ticks(0.09))) == list(range(10))
    assert terminal.getvalue() == ""
    assert list(progress.with_progress(numbers(1), 1, clock=ticks(5))) == [0]  # nothing is left to wait for
    assert terminal.getvalue() == ""


def test_a_number_that_is_not_known_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    assert list(progress.with_progress(numbers(3), None, clock=ticks(2))) == [0, 1, 2]
    assert "3/?" in terminal.getvalue()


def test_what_is_printed_meanwhile_stays_where_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    for answer in progress.with_progress(numbers(3), 3, clock=ticks(2)):
        print(answer)
    assert sys.stdout.getvalue() == "0\n1\n2\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_no_bar_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    for stderr in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stderr)
        assert list(progress.with_progress(numbers(3), 3, clock=ticks(2))) == [0, 1, 2]
        assert stderr is None or stderr.getvalue() == ""


def test_no_bar_on_a_terminal_that_cannot_move(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    assert list(progress.with_progress(numbers(3), 3, clock=ticks(2))) == [0, 1, 2]
    assert terminal.getvalue() == ""


def test_an_early_end_takes_the_bar_away_and_ends_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    source = numbers(9)
    answers = progress.with_progress(source, 9, clock=ticks(2))
    next(answers)
    assert "1/9" in terminal.getvalue()
    answers.close()  # type: ignore[attr-defined]
    assert terminal.getvalue().endswith("\x1b[2K")
    assert list(source) == []


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize(
    ("option", "listed", "drawn"),
    [(None, True, True), (None, False, False), (True, True, True), (True, False, True), (False, True, False)],
)
def test_who_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, option: bool | None, listed: bool, drawn: bool
) -> None:
    terminal = on_terminal(monkeypatch)
    wanted = [make().one(clip) for clip in CLIPS]
    assert list(make(progress=option).each(CLIPS if listed else iter(CLIPS))) == wanted
    assert bool(terminal.getvalue()) is drawn
    if drawn:
        assert ("20/20" if listed else "20/?") in terminal.getvalue()


@pytest.mark.usefixtures("_no_patience")
def test_the_doors_of_a_model_know_the_option(
    default_model: sv.SnnVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    files: list[Any] = sorted(EXAMPLES.glob("*.wav"))
    wanted = default_model.classify(files, progress=False)
    default_model.classify(files[0], progress=True)
    default_model.classify_windows(files[0], progress=True)
    assert terminal.getvalue() == ""
    assert default_model.classify(files) == wanted
    assert f"{len(files)}/{len(files)}" in terminal.getvalue()
    terminal.truncate(0)
    assert list(default_model.classify_each(iter(files), progress=True)) == wanted
    assert f"{len(files)}/?" in terminal.getvalue()
    with pytest.raises(sv.ConfigError, match="progress='yes' is not legal"):
        default_model.classify(files, progress="yes")  # type: ignore[call-overload]


def test_errors_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)

    def clips() -> Iterator[Any]:
        yield CLIPS[0]
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(make(progress=True).each(clips()))


@pytest.mark.usefixtures("_no_patience")
def test_the_command_draws_one_bar_and_prints_to_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    classify([str(EXAMPLES)], top_k=1)
    count = len(list(EXAMPLES.glob("*.wav")))
    assert f"{count}/{count}" in terminal.getvalue()
    assert terminal.getvalue().count("\x1b[?25l") == 1  # the cursor is hidden once a bar
    lines = sys.stdout.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[1] for line in lines] == sorted(path.stem for path in EXAMPLES.glob("*.wav"))
