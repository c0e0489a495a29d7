"""Speech Commands as torchaudio unpacks it: found, divided, downloaded on demand."""

from __future__ import annotations

from pathlib import Path

import pytest

from snn_voice_hub.errors import SnnVoiceError
from tests.training.clips.source_helpers import load, packed, write


def corpus(root: Path) -> Path:
    """What torchaudio unpacks."""
    below = root / "SpeechCommands" / "speech_commands_v0.02"
    names = [f"{word}/{n:08x}_nohash_0.wav" for word in ("yes", "no") for n in range(6)]
    write(below, *names, "_background_noise_/hum.wav", "yes/._00000000_nohash_0.wav")
    (below / "validation_list.txt").write_text("yes/00000000_nohash_0.wav\nno/00000001_nohash_0.wav\n")
    (below / "testing_list.txt").write_text("yes/00000002_nohash_0.wav\n")
    return below


def test_speech_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNN_VOICE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SnnVoiceError, match=r"Speech Commands under \. is not there"):
        load("speech_commands")
    below = corpus(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for _ in range(2):
        found = load("speech_commands", cache=tmp_path / "cache")
        assert found.test is not None
        assert (len(found.train), len(found.val), len(found.test)) == (9, 2, 1)
        assert found.rule == "by the lists of Speech Commands"
        assert list(found.noises) == ["hum"]
        assert found.facts[0]["name"] == "Speech Commands v0.02 (9 training clips)"
        assert found.facts[0]["attribution"].startswith("Pete Warden")
    # The last clip to learn from becomes the first to validate with: the order of all stays as it is.
    before = (below / "validation_list.txt").read_text()
    (below / "validation_list.txt").write_text(f"yes/00000005_nohash_0.wav\n{before}")
    assert len(load("speech_commands", cache=tmp_path / "cache").val) == 3
    (below / "validation_list.txt").write_text("yes/00000000_nohash_0.wav\n")
    assert len(load("speech_commands", cache=tmp_path / "cache").val) == 1
    monkeypatch.chdir(elsewhere)
    assert len(load(f"speech_commands:{tmp_path}").train) == 10
    assert len(load(f"speech_commands:{tmp_path / 'SpeechCommands'}").train) == 10
    monkeypatch.setenv("SNN_VOICE_DATA", str(tmp_path))
    assert len(load("speech_commands").train) == 10
    assert load(below).facts[0]["license"] == "CC-BY-4.0"  # the same files as a folder of folders
    (below / "testing_list.txt").unlink()
    with pytest.raises(SnnVoiceError, match=r"can't be read: .*testing_list.txt"):
        load("speech_commands")


def test_speech_commands_is_downloaded_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchaudio.datasets.speechcommands as theirs

    tar = packed(corpus(tmp_path / "made"), tmp_path / "corpus.tar.gz", "w:gz")
    fetched: list[str] = []

    def fetch(url: str, target: str, hash_prefix: str) -> None:
        fetched.append(url)
        Path(target).write_bytes(tar.read_bytes())

    monkeypatch.setattr(theirs, "download_url_to_file", fetch)
    root = tmp_path / "new" / "root"
    assert len(load(f"speech_commands:{root}", download=True).train) == 9
    assert len(load(f"speech_commands:{root}", download=True).train) == 9
    assert len(fetched) == 1

    def fail(url: str, target: str, hash_prefix: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(theirs, "download_url_to_file", fail)
    with pytest.raises(SnnVoiceError, match="could not be downloaded: no route to host"):
        load(f"speech_commands:{tmp_path / 'third'}", download=True)
