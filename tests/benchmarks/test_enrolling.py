"""Whose clips are learned from, and whose are measured with."""

from __future__ import annotations

import pytest

from benchmarks import enrolling
from benchmarks.fine_tuning import few, told
from snn_voice_hub.training.clips.corpus import speaker
from tests.benchmarks.test_fine_tuning import clips


def test_nobody_is_measured_with_whom_was_learned_from() -> None:
    whole = clips(30, 2)
    pool, test = enrolling.held_back(whole)
    learned, measured = ({speaker(name) for name in part.names} for part in (pool, test))
    assert not learned & measured
    assert len(learned | measured) == 30
    assert 10 <= len(measured) <= 14
    assert len(pool) + len(test) == len(whole)


def test_clips_go_to_enroll_by_their_words() -> None:
    found = enrolling.by_words(few(clips(10, 2), 5, 0))
    assert {word: len(waves) for word, waves in found.items()} == {"bed": 5, "two": 5}


def test_one_speaker_is_none_to_hold_back(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        enrolling.held_back(clips(1, 4))
    assert "of one speaker" in capsys.readouterr().err


def test_what_is_told_of_several_draws() -> None:
    assert told([0.5]) == "50.0"
    assert told([]) == ""
    assert told([0.5, 0.7]) == "60.0 (50.0 to 70.0)"
