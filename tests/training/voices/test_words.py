"""`make words`: a test set that anybody can make, and its row of a table."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import snn_voice_hub as sv
from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.training.measuring.held_out import load_test
from snn_voice_hub.training.measuring.logits import clip_logits
from snn_voice_hub.training.voices import words
from snn_voice_hub.training.voices.programs import Espeak
from tests.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([\w-]+)` \| ([\d.]+) % \| ([\d.]+) % \|$", re.MULTILINE)

needs_espeak = pytest.mark.skipif(not Espeak().here, reason="espeak-ng is not installed")


@needs_espeak
def test_the_set_reproduces_its_rows(tmp_path: Path) -> None:
    (table, release) = re.findall(
        r"<!-- words -->\n(.*?espeak-ng ([\d.]+).*?)<!-- /words -->", README, re.DOTALL
    )[0]
    said = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout
    # Another release speaks a little differently; another processor may turn a clip that lies on the edge.
    tolerance = 1.2 if f": {release} " in said else 8.0
    path = tmp_path / "words.tar"
    assert words.write_words(path) == len(SPEECH_COMMANDS) * words.EACH
    rows = ROW.findall(table)
    assert len(rows) == 2
    for name, *figures in rows:
        voice = sv.SnnVoice.from_pretrained(name)
        clips, _ = load_test(path, None, sample_rate=voice.sample_rate, num_samples=16_000)
        order = clip_logits(voice, clips).argsort(dim=-1, descending=True)
        best = [[voice.labels[i] for i in row[:5]] for row in order.tolist()]
        for top, wanted in zip((1, 5), figures, strict=True):
            right = sum(label in found[:top] for label, found in zip(clips.labels, best, strict=True))
            assert 100 * right / len(clips) == pytest.approx(float(wanted), abs=tolerance), (name, top)


@needs_espeak
def test_the_same_set_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "SPEECH_COMMANDS", ("yes", "no"))
    for name in ("a.tar", "b.tar"):
        words.write_words(tmp_path / name)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert {member.name.partition("/")[0] for member in tar} == {"yes", "no"}


@pytest.mark.slow
def test_a_missing_synthesiser_is_named_with_its_package(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "snn_voice_hub.training.voices.words", str(tmp_path / "words.tar")]
    done = subprocess.run(line, capture_output=True, text=True, env={"PATH": str(tmp_path)}, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("error: espeak-ng is not installed (apt-get install espeak-ng)\n")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
