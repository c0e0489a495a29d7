"""`snn-voice enroll`: a folder of clips -> a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import snn_voice_hub as sv
from tests.cli.helpers import invoke, refused
from tests.cli.test_train import write
from tests.training.helpers import tones

MODEL = ("--model", "resmel-snn")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write(tmp_path / "my_words", 4)


def test_a_folder_becomes_a_checkpoint(words: Path, tmp_path: Path) -> None:
    (words / "_background_noise_").mkdir()
    sf.write(words / "_background_noise_" / "hiss.wav", np.full(16_000, 0.1), 16_000)
    (words / "README.txt").write_text("mine")
    (words / "lumos" / "notes.txt").write_text("mine")
    (words / ".trash").mkdir()
    out = tmp_path / "runs" / "mine"
    done = invoke("enroll", str(words), *MODEL, "--out", str(out))
    assert done.stdout.startswith(f"{out}: lumos, nox from 8 clips, in ")
    assert "% of 8 clips are right, each heard without itself" in done.stderr
    voice = sv.SnnVoice.from_pretrained(out)
    assert voice.labels == ["lumos", "nox", "_silence_", "_unknown_"]
    assert voice.config.name == "mine"
    assert (out / "README.md").exists()
    new = tones(4, 9, {"lumos": 300.0, "nox": 900.0})
    sf.write(tmp_path / "nox.wav", new.waveforms[-1], 16_000)
    told = invoke("classify", "--model", str(out), str(tmp_path / "nox.wav"), "--json")
    assert json.loads(told.stdout)["predictions"][0]["label"] == "nox"


def test_the_old_words_may_stay(words: Path, tmp_path: Path) -> None:
    invoke("enroll", str(words), *MODEL, "--out", str(tmp_path / "more"), "--keep", "--name", "spells")
    voice = sv.SnnVoice.from_pretrained(tmp_path / "more")
    assert voice.config.name == "spells"
    assert len(voice.labels) == 39
    assert {"yes", "lumos", "nox"} < set(voice.labels)


def test_mistakes_are_told(words: Path, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "mine"))
    assert "nowhere does not exist" in refused("enroll", str(tmp_path / "nowhere"), *MODEL, *out)
    assert "is no folder" in refused("enroll", str(words / "lumos" / "0.wav"), *MODEL, *out)
    assert "holds no folder of a word" in refused("enroll", str(words / "lumos"), *MODEL, *out)
    assert "exists and is not an empty folder" in refused("enroll", str(words), *MODEL, "--out", str(words))
    (words / "accio").mkdir()
    assert "accio holds no sound files" in refused("enroll", str(words), *MODEL, *out)
    (words / "accio" / "broken.wav").write_bytes(b"RIFF")
    assert "clip 1 of 'accio': " in refused("enroll", str(words), *MODEL, *out)
    sf.write(words / "accio" / "broken.wav", np.zeros(16_000), 16_000)
    assert "accio/broken.wav: there is no sound in it" in refused("enroll", str(words), *MODEL, *out)
    (words / "accio").rename(words / "_accio_")
    assert "'_accio_' is no word" in refused("enroll", str(words), *MODEL, *out)
    (words / "_accio_").rename(words / "yes")
    assert "'yes' is a word of the model already" in refused("enroll", str(words), *MODEL, "--keep", *out)
    assert not (tmp_path / "mine").exists()
