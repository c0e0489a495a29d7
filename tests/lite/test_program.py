"""`snn-voice-lite`: answers on stdout; a mistake is one line on stderr, and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.lacking import lack
from tests.places import EXAMPLES

YES, GO = (str(EXAMPLES / f"{word}.wav") for word in ("yes", "go"))


def invoke(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "snn_voice_lite", *arguments], input=stdin, capture_output=True, check=False
    )


def lines(*arguments: str, stdin: bytes | None = None) -> list[str]:
    done = invoke(*arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


def test_classify() -> None:
    one, other = lines("classify", YES, GO)
    assert one.split()[:3] == [YES, "yes", "1.00"]
    assert other.split()[1] == "go"
    (row,) = map(json.loads, lines("classify", "-", "--json", "--top-k", "1", stdin=Path(YES).read_bytes()))
    assert row["file"] == "-"
    assert [p["label"] for p in row["predictions"]] == ["yes"]
    (window,) = map(json.loads, lines("classify", YES, "--json", "--windows", "--model", "tempo-snn"))
    assert window["start"] == 0


def test_files_without_an_answer_are_told_and_the_others_answered(tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_text("no sound")
    done = invoke("classify", str(tmp_path / "no.wav"), YES, "--json")
    assert done.returncode == 2
    failed, answered = map(json.loads, done.stdout.splitlines())
    assert failed["error"]["code"] == "not_audio"
    assert answered["predictions"][0]["label"] == "yes"
    (told,) = done.stderr.decode().splitlines()
    assert told.startswith("snn-voice-lite: error: ")


def test_listen() -> None:
    (line,) = lines("listen", "--file", YES)
    assert line.split()[1:3] == ["s", "yes"]
    wave, _ = sf.read(YES, dtype="int16")
    sound = np.concatenate([0 * wave, wave, 0 * wave]).tobytes()
    for model in ("resmel-snn", "tempo-snn"):
        (event,) = map(json.loads, lines("listen", "-", "--json", "--model", model, stdin=sound))
        assert (event["label"], set(event)) == ("yes", {"label", "score", "start", "end", "time"})
    assert lines("listen", "-", "--words", "no,stop", "--threshold", "stop=0.8", stdin=sound) == []


def test_models() -> None:
    assert lines("models") == ["resmel-snn", "tempo-snn"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required"),
        (("clasify", YES), "invalid choice"),
        (("classify",), "required"),
        (("classify", YES, "--top-k", "0"), "top_k=0 is not legal"),
        (("classify", YES, "--min-score", "2"), "min_score=2.0 is not legal"),
        (("classify", YES, "--model", "hjh"), "there is no model hjh"),
        (("classify", "nowhere.wav"), "'nowhere.wav' does not exist"),
        (("classify", str(EXAMPLES)), "is a folder"),
        (("listen", "--file", YES, "--sample-rate", "8000"), "--sample-rate does not go with --file"),
        (("listen", "-", "--file", YES), "- and --file do not go together"),
        (("listen", "--file", "nowhere.wav"), "does not exist"),
        (("listen", "--file", YES, "--words", "tea"), "'tea' is no word"),
        (("listen", "--file", YES, "--threshold", "high"), "--threshold high is not legal"),
        (("listen", "-", "--encoding", "mp3"), "encoding='mp3' is not legal"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: tuple[str, ...], said: str) -> None:
    done = invoke(*arguments, stdin=b"")
    assert done.returncode == 2
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("snn-voice-lite: error: ")
    assert said in line


def test_a_microphone_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from snn_voice_lite.errors import MissingExtraError
    from snn_voice_lite.shell.live import of_microphone

    lack(monkeypatch, "sounddevice")
    with pytest.raises(MissingExtraError, match=r"\[listen\]"):
        of_microphone(None, None)
