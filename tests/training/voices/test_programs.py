"""Debian's synthesisers, those that are installed."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.voices.engines import all_engines, chosen_engines
from snn_voice_hub.training.voices.programs import PROGRAMS, Espeak, Flite, SpeakingProgram
from snn_voice_hub.training.voices.pronouncing import Phrase
from snn_voice_hub.training.voices.sound import take
from snn_voice_hub.training.voices.synthesiser import ENGINES


def test_the_names_are_told_without_them() -> None:
    assert tuple(one.name for one in all_engines()) == ENGINES


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.name)
def test_each_says_a_phrase(program: SpeakingProgram, tmp_path: Path) -> None:
    if not program.here:
        pytest.skip(f"{program.name} is not installed")
    said = Phrase("hey robot")
    assert program.can_say(said) == ""
    assert bool(program.can_say(Phrase("go", ((("G", "OW1"),),), by_hand=True))) == (
        program.name != "espeak-ng"
    )
    drawn = program.draw(said, random.Random(0))
    assert drawn == program.draw(said, random.Random(0)) != program.draw(said, random.Random(1))
    waves = []
    for name in ("a.wav", "b.wav"):
        program.say(said, drawn, tmp_path / name)
        taken = take(tmp_path / name, 2.0)
        assert taken.reason == ""
        assert 0.4 < taken.seconds < 1.5
        waves.append(taken.wave)
    assert np.array_equal(*waves)


def test_those_that_are_here_speak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SNN_VOICE_KOKORO", raising=False)
    monkeypatch.setenv("SNN_VOICE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "shutil.which", lambda name: f"/bin/{name}" if name in ("espeak-ng", "flite") else None
    )
    assert [one.name for one in chosen_engines()] == ["espeak-ng", "flite"]
    assert [one.name for one in chosen_engines(["flite"])] == ["flite"]
    for name, says in (
        ("festival", r"festival is not here \(apt-get install"),
        ("kokoro", r"kokoro is not here \(snn-voice voices; or --kokoro FOLDER"),
        ("siri", r"no synthesiser 'siri' \(one of espeak-ng, flite"),
    ):
        with pytest.raises(SnnVoiceError, match=says):
            chosen_engines([name])
    with pytest.raises(SnnVoiceError, match=r"kokoro.onnx can't be read|voices is not that of"):
        chosen_engines([], tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SnnVoiceError, match="no speech synthesiser found"):
        chosen_engines()


def test_a_program_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(command: list[str], **options: Any) -> Any:
        if command[0] == "flite":
            raise subprocess.TimeoutExpired(command, 60)
        return subprocess.CompletedProcess(command, 3, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    for program, says in ((Espeak(), "espeak-ng failed with exit code 3"), (Flite(), "flite took over 60 s")):
        voice = program.draw(Phrase("go"), random.Random(0))
        with pytest.raises(SnnVoiceError, match=says):
            program.say(Phrase("go"), voice, tmp_path / "a.wav")
