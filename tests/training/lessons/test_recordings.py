"""Recordings of people, as a folder or a zip: which word is said, and where."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.lessons.recordings import read_recordings

RATE = 16_000


def said(path: Path, seconds: float = 0.5, before: float = 1.0, rate: int = RATE, level: float = 0.3) -> None:
    """Somebody says something, with quiet around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    quiet = np.zeros(round(before * rate))
    soundfile.write(path, np.concatenate([quiet, level * np.sin(2 * np.pi * 300 * time), quiet]), rate)


def read(source: Path, *words: str) -> tuple[list[str], list[tuple[str, str]]]:
    clips = read_recordings([source], words, sample_rate=RATE, num_samples=RATE)
    return clips.labels, clips.skipped


def test_folders_are_called_by_the_words(tmp_path: Path) -> None:
    said(tmp_path / "Hey_Robot" / "anna_nohash_1.wav")
    said(tmp_path / "mine" / "lumos" / "ben_nohash_1.wav", rate=44_100)
    clips = read_recordings([tmp_path], ["hey robot", "lumos"], sample_rate=RATE, num_samples=RATE)
    assert clips.names == ["hey robot/anna_nohash_1.wav", "lumos/ben_nohash_1.wav"]
    assert clips.waveforms.shape == (2, RATE)
    assert not clips.skipped


def test_a_clip_begins_shortly_before_its_word(tmp_path: Path) -> None:
    said(tmp_path / "lumos" / "a.wav", seconds=0.5, before=2.0)
    clips = read_recordings([tmp_path], ["lumos"], sample_rate=RATE, num_samples=RATE)
    (heard,) = (np.flatnonzero(np.abs(wave) > 1000) for wave in clips.waveforms)
    assert 0.05 * RATE < heard[0] < 0.15 * RATE
    assert abs((heard[-1] - heard[0]) / RATE - 0.5) < 0.02


def test_a_word_as_long_as_the_window_fills_it(tmp_path: Path) -> None:
    said(tmp_path / "lumos" / "a.wav", seconds=0.98)
    said(tmp_path / "lumos" / "b.wav", seconds=1.1)
    clips = read_recordings([tmp_path], ["lumos"], sample_rate=RATE, num_samples=RATE)
    for wave in clips.waveforms:
        heard = np.flatnonzero(np.abs(wave) > 1000)
        assert heard[0] < 0.05 * RATE
        assert heard[-1] > 0.95 * RATE


def test_one_word_needs_no_folder(tmp_path: Path) -> None:
    said(tmp_path / "a.wav")
    said(tmp_path / "b.wav")
    assert read(tmp_path, "hey robot") == (["hey robot"] * 2, [])
    with pytest.raises(SnnVoiceError, match="nothing says which word"):
        read(tmp_path, "hey robot", "lumos")


def test_a_folder_of_another_word_is_refused(tmp_path: Path) -> None:
    said(tmp_path / "nox" / "a.wav")
    with pytest.raises(SnnVoiceError, match="folder 'nox', and that is none of the words"):
        read(tmp_path, "lumos")


def test_a_zip_is_read_without_unpacking(tmp_path: Path) -> None:
    said(tmp_path / "clips" / "lumos" / "a.wav")
    target = tmp_path / "lumos.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(tmp_path / "clips" / "lumos" / "a.wav", "../../lumos/a.wav")
        archive.write(tmp_path / "clips" / "lumos" / "a.wav", "__MACOSX/lumos/._a.wav")
        archive.writestr("lumos/readme.txt", "no sound")
    assert read(target, "lumos") == (["lumos"], [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "lumos.zip"]


def test_what_can_t_be_used_is_told(tmp_path: Path) -> None:
    said(tmp_path / "lumos" / "good.wav")
    said(tmp_path / "lumos" / "long.wav", seconds=2.0)
    said(tmp_path / "lumos" / "mute.wav", level=0.0)
    (tmp_path / "lumos" / "text.wav").write_text("no sound")
    labels, skipped = read(tmp_path, "lumos")
    assert labels == ["lumos"]
    reasons = {name.rpartition("/")[2]: reason for name, reason in skipped}
    assert "2.0 s are said in it, more than the 1 s" in reasons["long.wav"]
    assert reasons["mute.wav"] == "it is silent"
    assert "text.wav" in reasons


def a_zip_with(old: bytes, new: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("lumos/\u00e4.wav", b"RIFF")
    assert old in file.getvalue()
    return file.getvalue().replace(old, new)


BROKEN = {
    "nothing": b"",
    "something else": b"no zip",
    "a beginning": b"PK\x03\x04 but no more",
    "a name that is no text": a_zip_with("\u00e4".encode(), b"\xff\xff"),
    "a file behind the end": a_zip_with(bytes(4) + b"lumos", b"\xff\xff\xff\0lumos"),
    "a patch": a_zip_with(b"PK\x01\x02\x14\x03\x14\0\0\x08", b"PK\x01\x02\x14\x03\x14\0\x20\x08"),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_zip_is_told(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "takes.zip"
    target.write_bytes(content)
    with pytest.raises(SnnVoiceError, match="is no zip that can be read"):
        read(target, "lumos")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SnnVoiceError, match="does not exist"):
        read(tmp_path / "nowhere", "lumos")
    with pytest.raises(SnnVoiceError, match="holds no sound"):
        read(tmp_path, "lumos")
