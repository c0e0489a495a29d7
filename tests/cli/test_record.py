"""`snn-voice record`: a file in place of the microphone, and a microphone that is none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from snn_voice_hub.cli import app, record
from tests.cli.helpers import invoke, refused
from tests.cli.test_listen import StubSound
from tests.lacking import lack
from tests.training.clips.test_takes import RATE, room, said


def tape(folder: Path, *takes: Any, rate: int = RATE) -> str:
    path = folder / "tape.wav"
    wave = np.concatenate([np.repeat(take, rate // RATE) for take in takes])
    sf.write(path, wave, rate)
    return str(path)


def test_takes_are_kept_and_refused(tmp_path: Path) -> None:
    out = tmp_path / "own"
    sound = tape(tmp_path, said(0.3), room(2.0), said(0.7), said(0.5))
    told = invoke("record", "hey robot", "--out", str(out), "--count", "3", "--wav", sound).output
    names = sorted(path.name for path in (out / "hey robot").iterdir())
    assert names == [f"me_nohash_{n}.wav" for n in (1, 2, 3)]
    assert told.count("kept as") == 3
    assert told.count("not kept: too quiet") == 1
    assert "3 of them new" in told
    for path in (out / "hey robot").iterdir():
        info = sf.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
        assert 0.4 < info.duration < 1.1


def test_what_is_there_is_not_recorded_again(tmp_path: Path) -> None:
    out = tmp_path / "own"
    arguments = ("record", "lumos", "nox", "--out", str(out), "--count", "2")
    message = refused(*arguments, "--wav", tape(tmp_path, said(), said(), said()))
    assert "has no more sound" in message
    assert len(list(out.rglob("*.wav"))) == 3
    told = invoke(*arguments, "--wav", tape(tmp_path, said())).stdout
    assert "1 of them new" in told
    assert len(list((out / "nox").iterdir())) == 2
    told = invoke(*arguments, "--wav", tape(tmp_path, said())).stdout
    assert "0 of them new" in told
    other = invoke(*arguments, "--speaker", "anna", "--wav", tape(tmp_path, *[said()] * 4)).stdout
    assert "4 of them new" in other


def test_another_rate(tmp_path: Path) -> None:
    sound = tape(tmp_path, said(0.3), rate=48_000)
    invoke("record", "lumos", "--out", str(tmp_path), "--count", "1", "--wav", sound)
    assert sf.info(tmp_path / "lumos/me_nohash_1.wav").samplerate == RATE


def test_after_some_tries_it_gives_up(tmp_path: Path) -> None:
    sound = tape(tmp_path, *[room(2.0, seed=n) for n in range(9)])
    message = refused("record", "lumos", "--out", str(tmp_path), "--wav", sound)
    assert "5 takes, and none could be kept: too quiet" in message


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["../etc"], "'../etc' is not legal"),
        (["_unknown_"], "'_unknown_' is not legal"),
        ([" "], "' ' is not legal"),
        (["lumos", "--count", "0"], "--count 0 is not legal (1 to 1000)"),
        (["lumos", "--seconds", "60"], "--seconds 60 is not legal"),
        (["lumos", "--longest", "5"], "--longest 5 is not legal (0.2 to 2)"),
        (["lumos", "--speaker", "a/b"], "--speaker: 'a/b' is not legal"),
        (["lumos", "--wav", "a.wav", "--device", "1"], "do not go together"),
        (["lumos", "--wav", "nowhere.wav"], "nowhere.wav"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: list[str], said: str) -> None:
    assert said in refused("record", *arguments, "--out", str(tmp_path / "own"))
    assert not list(tmp_path.rglob("*.wav"))


def test_a_microphone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub = StubSound()
    heard: list[tuple[int, int]] = []
    stub.play = lambda wave, rate, blocking: heard.append((len(wave), rate))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sounddevice", stub)
    monkeypatch.setattr(record, "_BEAT", 0.0)
    arguments = ("record", "yes", "--out", str(tmp_path), "--count", "1", "--seconds", "1.5")
    told = invoke(*arguments).output
    assert "now!" in told
    clip = sf.info(tmp_path / "yes/me_nohash_1.wav")
    assert (clip.samplerate, clip.frames) == (RATE, heard[0][0])
    invoke(*arguments, "--speaker", "ben", "--no-play")
    assert len(heard) == 1


def test_without_a_microphone_nobody_counts_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", StubSound(devices=0))
    arguments = ("record", "yes", "--out", str(tmp_path))
    done = CliRunner().invoke(app, list(arguments))
    assert "the microphone can't be used" in str(done.exception)
    assert "3" not in done.output
    lack(monkeypatch, "sounddevice")
    assert "[listen]" in refused(*arguments)
