"""Clips that a user sorted: what was heard and not said, and what was said and not heard."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from snn_voice_hub.config import UNKNOWN
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.feedback import read_feedback, with_feedback
from tests.training.helpers import dataset, tones

LABELS = ["lumos", "nox", "_silence_", "_unknown_"]


def tone(path: Path, hertz: float, seconds: float = 1.0, rate: int = 16_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    sf.write(path, 0.3 * np.sin(2 * np.pi * hertz * time), rate)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "feedback"
    tone(found / "false" / "a.wav", 1000)
    tone(found / "false" / "lumos" / "b.wav", 1100)  # moved with its folder
    tone(found / "missed" / "nox" / "c.wav", 500, seconds=0.5, rate=8_000)
    tone(found / "missed" / "lumos" / "anna" / "d.wav", 700)
    (found / "saved.jsonl").write_text("{}\n")
    return found


def test_each_clip_has_the_label_of_what_was_said(folder: Path) -> None:
    clips = read_feedback(folder, LABELS)
    found = dict(zip(clips.names, clips.labels, strict=True))
    assert found == {
        "false/a.wav": UNKNOWN,
        "false/lumos/b.wav": UNKNOWN,
        "missed/nox/c.wav": "nox",
        "missed/lumos/anna/d.wav": "lumos",
    }
    assert clips.waveforms.shape == (4, 16_000)
    pitches = {"false/a.wav": 1000, "false/lumos/b.wav": 1100, "missed/nox/c.wav": 500}
    for name, wave in zip(clips.names, clips.waveforms, strict=True):
        if name in pitches:
            assert abs(int(np.abs(np.fft.rfft(wave)).argmax()) - pitches[name]) < 3
    assert clips.skipped == []


def test_one_of_the_two_is_enough_and_a_tar_as_well(folder: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "tar", folder)
    assert sorted(read_feedback(Path(packed), LABELS).labels) == [UNKNOWN, UNKNOWN, "lumos", "nox"]
    shutil.rmtree(folder / "missed")
    assert read_feedback(folder, LABELS).labels == [UNKNOWN] * 2
    shutil.rmtree(folder / "false")
    tone(folder / "missed" / "nox" / "c.wav", 500)
    assert read_feedback(folder, LABELS).labels == ["nox"]


def test_what_can_not_be_read_is_told(folder: Path) -> None:
    (folder / "false" / "broken.wav").write_bytes(b"RIFF")
    tone(folder / "missed" / "stray.wav", 500)
    clips = read_feedback(folder, LABELS)
    assert len(clips) == 4
    assert [name for name, _ in clips.skipped] == ["false/broken.wav", "missed/stray.wav"]
    assert clips.skipped[1][1] == "not in a folder named by its word"


def test_mistakes_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SnnVoiceError, match="nowhere does not exist"):
        read_feedback(tmp_path / "nowhere", LABELS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SnnVoiceError, match="empty has neither false/ nor missed/"):
        read_feedback(tmp_path / "empty", LABELS)
    (tmp_path / "empty" / "false").mkdir()
    with pytest.raises(SnnVoiceError, match="empty holds no readable clip"):
        read_feedback(tmp_path / "empty", LABELS)
    (tmp_path / "empty" / "false" / "a.wav").write_bytes(b"no")
    with pytest.raises(SnnVoiceError, match=r"holds no readable clip \(false/a.wav: "):
        read_feedback(tmp_path / "empty", LABELS)
    tone(folder / "missed" / "accio" / "x.wav", 500)
    with pytest.raises(SnnVoiceError, match="'accio' is none of the words") as caught:
        read_feedback(folder, LABELS)
    assert caught.value.hint == "lumos, nox"
    shutil.rmtree(folder / "missed" / "accio")
    tone(folder / "missed" / "_unknown_" / "x.wav", 500)
    with pytest.raises(SnnVoiceError, match="'_unknown_' is none of the words"):
        read_feedback(folder, LABELS)
    shutil.rmtree(folder / "missed" / "_unknown_")
    tone(folder / "lumos" / "x.wav", 500)
    with pytest.raises(SnnVoiceError, match=r"lumos/x\.wav is neither in false/ nor in missed/"):
        read_feedback(folder, LABELS)


def test_a_part_chooses_the_epoch_and_nothing_is_on_both_sides() -> None:
    whole = dataset(4, 2)
    false = tones(20, seed=3, pitches={UNKNOWN: 1500.0})
    more = with_feedback(whole, false, 0.1)
    assert more.train.labels.count(UNKNOWN) == 18
    assert more.val.labels.count(UNKNOWN) == 2
    assert not set(more.train.names) & set(more.val.names[len(whole.val) :])
    assert more.train.names[: len(whole.train)] == whole.train.names
    assert more.facts[-1] == {"name": "feedback (20 false alarms, 0 missed words)"}
    one = with_feedback(whole, tones(1, seed=3, pitches={"yes": 300.0}), 0.1)
    assert (len(one.train), len(one.val)) == (len(whole.train) + 1, len(whole.val))
