"""`snn-voice train`, as a user types it."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import yaml

import snn_voice_hub as sv
from snn_voice_hub.cli import main
from tests.training.helpers import tones

pytest.importorskip("lightning")

WORDS = {"lumos": 300.0, "nox": 900.0}


def write(folder: Path, count: int, seed: int = 0) -> Path:
    """A folder of folders of tones."""
    clips = tones(count, seed, WORDS)
    for name, row in zip(clips.names, clips.waveforms, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, row, 16_000)
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "my_words", 10)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of the program."""
    monkeypatch.setattr(sys, "argv", ["snn-voice", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("network.num_steps=[]", "num_steps=[] is not legal"),
        ("network.nope=1", "no argument network.nope"),
        ("network.num_classes=7", "network.num_classes is no choice"),
        ("features.kind=logmel", "kind"),
    ],
)
def test_a_network_that_can_not_be_is_refused_before_clips_are_read(
    change: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--model", "m5-snn", "--data", tmp_path / "nowhere", "--out", tmp_path / "out", "--set", change]
    assert run(monkeypatch, "train", *given) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_words_from_a_trained_model(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (words / "nox" / "broken.wav").write_bytes(b"RIFF")
    out = tmp_path / "mine"
    given = ["--from", "tcy-snn", "--data", words, "--out", out, "--epochs", 8, "--set", "lr=0.02"]
    assert run(monkeypatch, "train", *given) == 0
    (words / "nox" / "broken.wav").unlink()
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: epoch ")
    assert "of 2 words to learn from" in said.err
    assert "epoch 8 of 8: loss" in said.err
    assert "1 files could not be used:\n  nox/broken.wav: " in said.err
    assert "Traceback" not in said.err
    voice = sv.SnnVoice.from_pretrained(out)
    assert voice.labels == ["lumos", "nox"]
    assert voice.config.name == "mine"
    assert voice.config.training["start"] == "tcy-snn"
    new = tones(5, seed=9, pitches=WORDS)
    heard = [voice.classify(row / np.float32(32768), sample_rate=16_000)[0].label for row in new.waveforms]
    assert np.mean([word == label for word, label in zip(heard, new.labels, strict=True)]) > 0.7
    # Once more is a mistake.
    assert run(monkeypatch, "train", *given) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_negatives_give_a_class_for_other_words(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    (other / "noise").mkdir(parents=True)
    rng = np.random.default_rng(0)
    time = np.arange(32_000) / 16_000
    for n in range(8):
        sf.write(other / f"{n}.wav", 0.3 * np.sin(2 * np.pi * 1600 * time) * rng.uniform(0.5, 1), 16_000)
    sf.write(other / "noise" / "hiss.wav", 0.1 * rng.standard_normal(32_000), 16_000)
    out = tmp_path / "mine"
    given = [
        "--model",
        "tcy-snn",
        "--data",
        words,
        "--epochs",
        4,
        "--set",
        "lr=0.05",
        "--set",
        "batch_size=10",
    ]
    given += ["--set", "unknown=0.3", "--set", "mixture.speech=5", "--out", out, "--val-share", 0.3]
    assert run(monkeypatch, "train", *given, "--negatives", other, "--synthetic", words) == 0
    voice = sv.SnnVoice.from_pretrained(out)
    assert voice.labels == ["lumos", "nox", "_unknown_"]
    names = [source["name"] for source in voice.config.data]
    assert any(name.startswith("other (") for name in names)
    assert names[-1] == "synthetic words, my_words (20 training clips)"
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert all(0 <= row["val_unknown"] <= 1 for row in rows)
    assert voice.config.metrics["validation"]["no_word"]["clips"] > 0
    capsys.readouterr()
    # What is not there is told before anything is decoded.
    assert run(monkeypatch, "train", *given, "--negatives", tmp_path / "nowhere") == 2
    assert "nowhere does not exist" in capsys.readouterr().err


@pytest.mark.slow
def test_feedback_of_what_was_heard_wrongly_and_not_heard(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feedback, out = tmp_path / "feedback", tmp_path / "better"
    false = tones(6, 1, {"false": 1700.0})
    missed = tones(4, 2, {"nox": 1300.0})
    for clips, place in ((false, "false"), (missed, "missed/nox")):
        (feedback / place).mkdir(parents=True)
        for n, row in enumerate(clips.waveforms):
            sf.write(feedback / place / f"{n}.wav", row, 16_000)
    given = ["--data", words, "--epochs", 4, "--set", "lr=0.05", "--set", "batch_size=10", "--threads", 1]
    learned = ["--from", "tcy-snn", *given, "--out", out, "--feedback", feedback]
    assert run(monkeypatch, "train", *learned) == 0
    voice = sv.SnnVoice.from_pretrained(out)
    assert sorted(voice.labels) == ["_unknown_", "lumos", "nox"]
    assert voice.config.data[-1] == {"name": "feedback (6 false alarms, 4 missed words)"}
    heard = {
        word: [voice.classify(row, sample_rate=16_000, top_k=1)[0].label for row in clips.waveforms]
        for word, clips in (("_unknown_", false), ("nox", missed))
    }
    assert all(labels.count(word) > len(labels) / 2 for word, labels in heard.items()), heard
    capsys.readouterr()
    assert run(monkeypatch, "train", "--model", "tcy-snn", *given, *learned[-4:]) == 2
    assert "--feedback goes with --from" in capsys.readouterr().err
    # What is not there is told before anything is decoded.
    learned[-1] = words
    assert run(monkeypatch, "train", *learned, "--data", tmp_path / "nowhere") == 2
    assert "my_words has neither false/ nor missed/" in capsys.readouterr().err


def test_one_word_is_enough_where_other_speech_is_a_class(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "word").mkdir()
    (tmp_path / "word" / "lumos").symlink_to(words / "lumos")
    out = tmp_path / "mine"
    given = [
        "--model",
        "tcy-snn",
        "--data",
        tmp_path / "word",
        "--epochs",
        1,
        "--out",
        out,
        "--val-share",
        0.3,
    ]
    given += ["--set", "batch_size=5"]
    assert run(monkeypatch, "train", *given, "--negatives", words / "nox") == 2
    assert "one word only, 'lumos' (a folder for each" in capsys.readouterr().err
    given += ["--set", "unknown=0.4"]
    assert run(monkeypatch, "train", *given) == 2
    assert "--negatives" in capsys.readouterr().err
    assert run(monkeypatch, "train", *given, "--negatives", words / "nox") == 0
    assert sv.SnnVoice.from_pretrained(out).labels == ["lumos", "_unknown_"]


def test_a_recipe_of_ones_own(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ["train", "--model", "tcy-snn", "--num-steps", 2, "--learn-beta", "--show-recipe"]
    assert run(monkeypatch, *shown) == 0
    text = capsys.readouterr().out
    recipe = yaml.safe_load(text)
    assert recipe["network"] == {"num_steps": 2, "learn_beta": True}
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    given = ["--model", "tcy-snn", "--recipe", path, "--set", "batch_size=4", "--epochs", 1, "--name", "two"]
    assert run(monkeypatch, "train", *given, "--data", words, "--out", tmp_path / "run") == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["name"], config["network"]["num_steps"], config["training"]["batch_size"]) == ("two", 2, 4)


def test_the_paper(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", "tcy-snn", "--recipe", "paper", "--epochs", 2, "--set", "batch_size=4"]
    assert run(monkeypatch, "train", *given, "--data", words, "--out", tmp_path / "run") == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["network"]["reset"] == "subtract-before-decay"
    assert config["features"]["normalization"] == "fixed"
    assert config["features"]["waveform_std"] != 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to train"),
        (["--model", "m5-snn"], "--data and --out"),
        (["--model", "m6-snn", "--data", "x", "--out", "y"], "no model 'm6-snn'"),
        (["--from", "no/such/folder", "--data", "x", "--out", "y"], "no/such/folder"),
        (["--model", "m5-cnn", "--num-steps", "5", "--data", "x", "--out", "y"], "no time steps"),
        (["--model", "m5-snn", "--set", "lr=fast", "--data", "x", "--out", "y"], "lr='fast'"),
        (["--model", "m5-snn", "--epochs", "0", "--data", "x", "--out", "y"], "epochs=0"),
        (["--model", "m5-snn", "--recipe", "none.yaml", "--data", "x", "--out", "y"], "none.yaml"),
        (["--from", "m5-snn", "--recipe", "paper", "--data", "x", "--out", "y"], "nothing further"),
        (["--model", "m5-snn", "--data", "no_such_folder", "--out", "y"], "no_such_folder"),
        (["--model", "m5-snn", "--threads", "0", "--data", "x", "--out", "y"], "--threads 0"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "train", *arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("snn-voice: error: ")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "y").exists()


def test_a_missing_extra_is_named(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    given = ["--model", "tcy-snn", "--data", words, "--out", tmp_path / "run"]
    assert run(monkeypatch, "train", *given) == 2
    assert "snn-voice-hub[train]" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_files_that_nobody_expected_to_fail_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")

    monkeypatch.setattr(sys.modules["snn_voice_hub.cli.train"], "use_threads", full)
    assert run(monkeypatch, "train", "--model", "tcy-snn", "--data", "x", "--out", "y") == 2
    assert capsys.readouterr().err == "snn-voice: error: /somewhere: No space left on device\n"
