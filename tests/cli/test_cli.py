"""`snn-voice` as a program: what it prints, and what it says of mistakes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import snn_voice_hub as sv
from snn_voice_hub.cli import app
from tests.places import EXAMPLES

PROGRAM = Path(sys.executable).with_name("snn-voice")


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
    )


def one_line(done: subprocess.CompletedProcess[bytes]) -> str:
    assert done.returncode == 2, done
    text = done.stderr.decode()
    assert text.startswith("snn-voice: error: ")
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_classify_files_and_folders() -> None:
    done = run("classify", str(EXAMPLES / "yes.wav"), str(EXAMPLES), "--top-k", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    count = len(list(EXAMPLES.glob("*.wav")))
    assert len(lines) == 1 + count
    for line in lines:
        path, label, score = line.split()
        assert Path(path).stem == label
        assert 0.5 < float(score) <= 1
    assert done.stderr == b""


def test_classify_json_and_stdin() -> None:
    data = (EXAMPLES / "no.wav").read_bytes()
    done = run("classify", "-", str(EXAMPLES / "yes.wav"), "--json", "--top-k", "2", stdin=data)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["file"] for row in rows] == ["-", str(EXAMPLES / "yes.wav")]
    assert [row["predictions"][0]["label"] for row in rows] == ["no", "yes"]
    assert all(len(row["predictions"]) == 2 for row in rows)


@pytest.mark.slow
def test_a_bad_file_among_good_ones_is_named_and_the_others_answered(tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    done = run("classify", str(EXAMPLES / "yes.wav"), str(bad), str(EXAMPLES / "no.wav"))
    assert len(done.stdout.splitlines()) == 2
    assert "bad.wav" in one_line(done)


@pytest.mark.slow
def test_mistakes_are_one_line(tmp_path: Path) -> None:
    assert "nope.wav" in one_line(run("classify", "nope.wav"))
    assert "holds no sound files" in one_line(run("classify", str(tmp_path)))
    assert "did you mean 'm5-snn'" in one_line(run("classify", "--model", "m5-sn", str(EXAMPLES / "yes.wav")))
    assert "device" in one_line(run("classify", "--device", "gpu", str(EXAMPLES / "yes.wav")))
    assert "no bundled model matches" in one_line(run("models", "xyz*"))
    assert "does not exist" in one_line(run("evaluate", "m5-snn", "--data", "nowhere.tar"))
    assert "--top-k" in one_line(run("classify", "--top-k", "0", str(EXAMPLES / "yes.wav")))


def test_misunderstood_arguments_are_one_line_as_well() -> None:
    assert "Missing argument 'model' (see `snn-voice export --help`)" in one_line(run("export"))
    assert "Did you mean 'export'? (see `snn-voice --help`)" in one_line(run("exprt"))
    assert "--top-k" in one_line(run("classify", "--top-k", "many", str(EXAMPLES / "yes.wav")))
    assert "No such option: --nosuch" in one_line(run("train", "--nosuch"))
    alone = run()
    assert alone.returncode == 2
    assert "classify" in alone.stdout.decode()


def test_models_and_version() -> None:
    assert run("--version").stdout.decode().strip() == f"snn-voice {sv.__version__}"
    table = run("models").stdout.decode()
    for info in sv.list_models():
        assert info.name in table
    rows = json.loads(run("models", "--json", "m5*").stdout)
    assert {row["name"] for row in rows} == {"m5-cnn", "m5-snn"}


@pytest.mark.slow
def test_models_as_csv() -> None:
    rows = list(csv.DictReader(run("models", "--csv").stdout.decode().splitlines()))
    assert [row["model"] for row in rows] == [info.name for info in sv.list_models()]
    for row, info in zip(rows, sv.list_models(), strict=True):
        assert float(row["top1"]) == info.accuracy
        assert row["num_steps"] == ("" if info.num_steps is None else str(info.num_steps))
    assert "--csv goes alone" in one_line(run("models", "m5*", "--csv"))


def test_serve_is_a_command() -> None:
    done = run("serve", "--help")
    assert done.returncode == 0
    assert "--port" in done.stdout.decode()


def test_a_terminal_of_any_width_wraps_the_paragraphs_of_help() -> None:
    commands = typer.main.get_command(app).commands
    for name in commands:
        said = commands[name].help
        assert said, name
        assert "\n" not in said.replace("\n\n", ""), name
