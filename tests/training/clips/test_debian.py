"""Recordings out of packages, with packages that are none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips import debian
from snn_voice_hub.training.clips.debian import Package, fetch_negatives
from snn_voice_hub.training.clips.negatives import read_negatives

SPEECH = Package("prompts", "usr/sounds", "CC BY 3.0", "speech", "Anna", "fr", "prompts-text")
WORDS = Package("game", "usr/game", "GPL-2+", "words")
MUSIC = Package("music", "usr/moh", "CC BY 3.0", "music")


def tone(path: Path, seconds: float = 0.5, level: float = 0.3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(8_000 * seconds)) / 8_000
    wave = level * np.sin(2 * np.pi * 300 * time)
    if path.suffix == ".gsm":
        soundfile.write(path, wave, 8_000, format="RAW", subtype="GSM610")
    else:
        soundfile.write(path, wave, 8_000)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was fetched."""
    fetched: list[str] = []

    def unpacked(name: str, work: Path) -> Path:
        fetched.append(name)
        root = work / name
        if name == SPEECH.name:
            tone(root / SPEECH.folder / "fr_CA" / "hello.wav")
            tone(root / SPEECH.folder / "fr_CA" / "digits" / "1.gsm")
            tone(root / SPEECH.folder / "fr_CA" / "silence" / "1.wav")
            tone(root / SPEECH.folder / "fr_CA" / "mute.wav", level=0)
            (root / SPEECH.folder / "fr_CA" / "broken.wav").write_text("no sound")
            (root / SPEECH.folder / "fr_CA" / "again.wav").symlink_to("hello.wav")
        elif name == SPEECH.texts:
            text = root / "usr/share/doc/prompts/sounds.txt.gz"
            text.parent.mkdir(parents=True)
            text.write_bytes(gzip.compress(b"; about\nhello: bonjour\ndigits/1: un\ndigits/1: une\n"))
        elif name == WORDS.name:
            tone(root / WORDS.folder / "en" / "moon_Star.ogg")
            tone(root / WORDS.folder / "de" / "moon_Star.ogg")
        else:
            tone(root / MUSIC.folder / "song.wav", 2.0)
        return root

    monkeypatch.setattr(debian, "PACKAGES", (SPEECH, WORDS, MUSIC))
    monkeypatch.setattr(debian, "_unpacked", unpacked)
    monkeypatch.setattr(debian.shutil, "which", lambda name: name)
    return fetched


def test_packages_become_negatives(tmp_path: Path, packages: list[str]) -> None:
    minutes = fetch_negatives(tmp_path / "set")
    assert {kind: round(60 * spent, 1) for kind, spent in minutes.items()} == {
        "speech": 1.0,
        "words": 1.0,
        "music": 2.0,
    }
    found = {sound.name: sound for sound in read_negatives([tmp_path / "set"]).sounds}
    assert set(found) == {
        *("prompts/fr_CA/hello.flac", "prompts/fr_CA/digits/1.flac", "music/song.flac"),
        *("game/en/moon_Star.flac", "game/de/moon_Star.flac"),
    }
    hello = found["prompts/fr_CA/hello.flac"]
    assert (hello.text, hello.speaker, hello.licence) == ("bonjour", "Anna", "CC BY 3.0")
    assert len(hello.wave) == 8_000
    assert found["prompts/fr_CA/digits/1.flac"].text == ""  # two are told
    assert found["game/en/moon_Star.flac"].text == "star"
    assert found["game/de/moon_Star.flac"].text == ""
    assert found["game/de/moon_Star.flac"].speaker == "game/de"
    # What is complete is not fetched again.
    count = len(packages)
    assert fetch_negatives(tmp_path / "set") == minutes
    assert len(packages) == count


def test_what_was_cut_off_is_not_complete(tmp_path: Path, packages: list[str]) -> None:
    def stop(items: object, total: int) -> list[object]:
        next(items)  # type: ignore[call-overload]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_negatives(tmp_path / "set", show=stop)  # type: ignore[arg-type]
    assert not debian.is_complete(tmp_path / "set")
    fetch_negatives(tmp_path / "set")
    assert debian.is_complete(tmp_path / "set")
    assert json.loads((tmp_path / "set" / "index.json").read_text())["items"]


def test_a_package_that_can_t_be_had_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in (
        ("apt-get", "echo 'E: Unable to locate package' >&2; exit 100"),
        ("dpkg-deb", "exit 0"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    with pytest.raises(SnnVoiceError, match="E: Unable to locate package") as caught:
        fetch_negatives(tmp_path / "set")
    assert caught.value.hint == "apt-get update"
