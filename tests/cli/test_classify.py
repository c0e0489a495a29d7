"""`snn-voice classify` on folders, and the forms of its answers."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

import snn_voice_hub as sv
from snn_voice_hub.cli.answers import Json, Part, Text
from tests.audio.helpers import tone
from tests.cli.helpers import invoke, partly, refused
from tests.places import EXAMPLES

MODEL = ("--model", "tcy-snn")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips, one by a link, and five things that are none."""
    folder = tmp_path / "clips"
    (folder / "yes").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    shutil.copy(EXAMPLES / "yes.wav", folder / "yes")
    shutil.copy(EXAMPLES / "no.wav", tmp_path / "other")
    (folder / "linked").symlink_to(tmp_path / "other")
    (folder / "twice").symlink_to(tmp_path / "other")
    (folder / "yes" / "._yes.wav").write_bytes(b"x")
    (folder / "yes" / "memo.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (folder / "yes" / "gone.wav").symlink_to("nowhere")
    return folder


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_folder_is_answered_and_the_rest_named(clips: Path) -> None:
    done = partly("classify", str(clips), "--top-k", "1", *MODEL)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        [f"{clips}/yes/yes.wav", "yes"],
        [f"{clips}/linked/no.wav", "no"],
    ]
    note, *failures, closing = done.stderr.splitlines()
    assert note.startswith(f"snn-voice: {clips}/twice: the same folder as {clips}/linked")
    assert [line.startswith("snn-voice: error: ") for line in failures] == [True, True]
    assert "gone.wav: does not exist" in failures[0]
    assert "it looks like MP4 or M4A" in failures[1]
    named = f"{clips}/yes/gone.wav, {clips}/yes/memo.m4a"
    assert closing == f"snn-voice: error: 2 of 4 files have no answer: {named}"


def test_json_has_a_row_for_every_file_in_order(clips: Path) -> None:
    stdin = (EXAMPLES / "no.wav").read_bytes()
    asked = [str(clips), "-", str(clips / "nowhere.wav"), str(EXAMPLES / "yes.wav")]
    done = partly("classify", *asked, "--json", "--top-k", "1", *MODEL, stdin=stdin)
    rows = rows_of(done.stdout)
    inside = ["yes/gone.wav", "yes/memo.m4a", "yes/yes.wav", "linked/no.wav"]
    assert [row["file"] for row in rows] == [*(f"{clips}/{name}" for name in inside), *asked[1:]]
    assert [row["error"]["code"] if "error" in row else row["predictions"][0]["label"] for row in rows] == [
        *("not_found", "not_audio", "yes", "no"),
        *("no", "not_found", "yes"),
    ]
    assert all(row["error"]["message"] for row in rows if "error" in row)


def test_json_of_stdin_that_is_no_sound() -> None:
    (row,) = rows_of(partly("classify", "-", "--json", *MODEL, stdin=b"words").stdout)
    assert (row["file"], row["error"]["code"]) == ("-", "not_audio")
    assert row["error"]["message"] == "the audio stream is not sound in a known format"


def test_csv_has_a_row_for_each_label_and_each_failure(clips: Path, tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    done = partly("classify", str(clips), "--csv", str(table), "--top-k", "2", *MODEL)
    assert done.stdout == f"{table}: 4 files\n"
    text = table.read_text()
    assert partly("classify", str(clips), "--csv", "-", "--top-k", "2", *MODEL).stdout == text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["file", "rank", "label", "score", "error"]
    assert [(Path(row["file"]).name, row["rank"], bool(row["error"])) for row in rows] == [
        ("gone.wav", "", True),
        ("memo.m4a", "", True),
        ("yes.wav", "1", False),
        ("yes.wav", "2", False),
        ("no.wav", "1", False),
        ("no.wav", "2", False),
    ]
    answer = sv.SnnVoice.from_pretrained("tcy-snn").classify(clips / "yes" / "yes.wav", top_k=2)
    assert [(row["label"], row["score"]) for row in rows[2:4]] == [
        (p.label, str(round(p.score, 6))) for p in answer
    ]


def test_csv_of_a_file_without_a_word_has_its_row(tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    invoke("classify", str(EXAMPLES / "yes.wav"), "--csv", str(table), "--min-score", "1", *MODEL)
    assert table.read_text() == f"file,rank,label,score,error\n{EXAMPLES / 'yes.wav'},,,,\n"


def test_words_only_in_every_form(tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    sf.write(silence, [0.0] * 16_000, 16_000)
    everything = sv.SnnVoice.from_pretrained().classify(silence, top_k=9)
    words = sv.SnnVoice.from_pretrained().classify(silence, top_k=2, words_only=True)
    assert [p.label for p in words] == [p.label for p in everything if p.label[0] != "_"][:2]
    asked = ("classify", str(silence), "--top-k", "2", "--words-only")
    assert invoke(*asked).stdout.split()[1::2] == [p.label for p in words]
    (row,) = rows_of(invoke(*asked, "--json").stdout)
    assert row["predictions"] == [{"label": p.label, "score": round(p.score, 6)} for p in words]
    table = csv.DictReader(io.StringIO(invoke(*asked, "--csv", "-", "--windows").stdout))
    assert [row["label"] for row in table] == [p.label for p in words]


def test_people_are_told_in_words_what_is_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    labels = [("_unknown_", 0.9), ("_silence_", 0.05), ("yes", 0.04), ("_noise_of_rain_", 0.01)]
    found = [sv.Prediction(label, score) for label, score in labels]
    Text(["a.wav"]).answer("a.wav", [Part(found), Part([])])
    said = "(none of the words) 0.90  (nobody speaks) 0.05  yes 0.04  (noise of rain) 0.01"
    assert capsys.readouterr().out.splitlines() == [f"a.wav  {said}", "a.wav  (no word)"]
    Json(steps=False).answer("a.wav", [Part(found)])
    assert [p["label"] for p in rows_of(capsys.readouterr().out)[0]["predictions"]] == [x for x, _ in labels]


def test_windows_are_those_of_python(tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    sf.write(long, tone(16_000, seconds=2.2), 16_000)
    short = EXAMPLES / "yes.wav"
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    expected = [
        (str(path), window.start, window.end, window.predictions[0].label)
        for path in (long, short)
        for window in voice.classify_windows(path)
    ]
    assert len(expected) > 3
    asked = ("classify", str(long), str(short), "--windows", "--top-k", "1", *MODEL)
    rows = rows_of(invoke(*asked, "--json").stdout)
    assert [(r["file"], r["start"], r["end"], r["predictions"][0]["label"]) for r in rows] == expected
    table = list(csv.DictReader(io.StringIO(invoke(*asked, "--csv", "-").stdout)))
    assert [(r["file"], float(r["start"]), float(r["end"]), r["label"]) for r in table] == expected
    lines = invoke(*asked).stdout.splitlines()
    assert [line.split()[1] for line in lines] == [f"{start:.2f}-{end:.2f}" for _, start, end, _ in expected]
    failed = rows_of(partly("classify", "nowhere.wav", str(short), "--windows", "--json", *MODEL).stdout)
    assert [("error" in row, "start" in row) for row in failed] == [(True, False), (False, True)]


def test_steps_are_told_where_they_may_end_early() -> None:
    asked = ("classify", str(EXAMPLES / "yes.wav"), "--early-exit", "0.5", "--top-k", "1", *MODEL)
    (row,) = rows_of(invoke(*asked, "--json").stdout)
    (cells,) = csv.DictReader(io.StringIO(invoke(*asked, "--csv", "-").stdout))
    assert cells["steps"] == str(row["steps"])
    assert f"after step {row['steps']}\n" in invoke(*asked).stdout


def test_a_folder_without_sound_does_not_keep_others_from_their_answer(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "sub").mkdir()
    done = partly("classify", str(tmp_path), str(EXAMPLES / "yes.wav"), "--top-k", "1", *MODEL)
    assert done.stdout.split()[1] == "yes"
    assert done.stderr.count("\n") == 1
    assert f"{tmp_path} holds no sound files" in done.stderr
    assert "there is notes.txt, sub" in done.stderr


def test_a_folder_of_files_that_cannot_be_read_says_which(tmp_path: Path) -> None:
    for name in ("a.m4a", "b.wma", "c.amr"):
        (tmp_path / name).write_bytes(b"\0" * 64)
    done = partly("classify", str(tmp_path), *MODEL)
    assert done.stdout == ""
    assert done.stderr.count("is not sound in a known format") == 3
    assert done.stderr.splitlines()[-1].endswith(
        f"3 of 3 files have no answer: {tmp_path}/a.m4a, {tmp_path}/b.wma, {tmp_path}/c.amr"
    )


def test_names_of_any_bytes_are_told_and_drive_no_terminal(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff\nfake.wav  no 1.00\x1b[31m.wav"
    Path(os.fsdecode(odd)).write_bytes((EXAMPLES / "yes.wav").read_bytes())
    done = invoke("classify", str(tmp_path), "--top-k", "1", *MODEL)
    assert done.stdout.count("\n") == 1
    assert "\\udcff\\nfake.wav  no 1.00\\x1b[31m.wav  yes" in done.stdout
    (row,) = rows_of(invoke("classify", str(tmp_path), "--json", *MODEL).stdout)
    assert os.fsencode(row["file"]) == odd
    table = invoke("classify", str(tmp_path), "--csv", "-", "--top-k", "1", *MODEL).stdout
    assert table.count("\n") == 2
    assert "\x1b" not in table


def test_what_does_not_go_together_and_scores_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = str(EXAMPLES / "yes.wav")
    assert "--json and --csv" in refused("classify", sound, "--json", "--csv", "x.csv")
    for option in (["--json"], ["--csv", "x.csv"], ["--windows"]):
        assert f"{option[0]} and --ray" in refused("classify", sound, "--ray", "out", *option)
    for wrong in ("2", "-1", "1.01", "nan", "inf"):
        assert "--min-score=" in refused("classify", sound, f"--min-score={wrong}")
    for wrong in ("0", "1.5", "nan"):
        assert "--early-exit=" in refused("classify", sound, f"--early-exit={wrong}")
    monkeypatch.chdir(tmp_path)
    assert "there is no folder nowhere" in refused("classify", sound, "--csv", "nowhere/x.csv", *MODEL)
    assert "it is a folder (--csv names" in refused("classify", sound, "--csv", str(tmp_path), *MODEL)
    table = tmp_path / "before.csv"
    table.write_text("of another run")
    assert "no checkpoint" in refused("classify", sound, "--csv", str(table), "--model", "nope")
    assert table.read_text() == "of another run"
    assert "no revision" in refused("classify", sound, "--model", "m5-snn", "--revision", "v1")
    assert "no revision" in refused("classify", sound, "--model", "m5-snn@v1")


def test_what_failed_is_told_where_the_run_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> Any:
        yield sv.AudioError("'a.wav' is broken")
        raise KeyboardInterrupt

    from snn_voice_hub.cli import main

    monkeypatch.setattr(sv.SnnVoice, "classify_each", interrupted)
    monkeypatch.setattr(sys, "argv", ["snn-voice", "classify", "a.wav", "b.wav", *MODEL])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "snn-voice: error: 'a.wav' is broken\n"


# --- without PyTorch --------------------------------------------------------------------------------------


_CHILD = """
import sys
from snn_voice_hub.cli import main

sys.argv[0] = "snn-voice"
try:
    main()
finally:
    print([name for name in ("torch", "torchaudio", "snntorch") if name in sys.modules])
"""


def test_the_lite_engine_answers_without_pytorch() -> None:
    arguments = ("classify", "--engine", "lite", str(EXAMPLES), "--json", "--top-k", "2")
    line = [sys.executable, "-c", _CHILD, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=120)
    *found, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    expected = rows_of(invoke("classify", str(EXAMPLES), "--json", "--top-k", "2").stdout)
    for row, wanted in zip(rows_of("\n".join(found)), expected, strict=True):
        assert row["file"] == wanted["file"]
        for one, other in zip(row["predictions"], wanted["predictions"], strict=True):
            assert one["label"] == other["label"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "m5-snn"), "there is no model m5-snn"),
        (("--device", "cuda"), "--device cuda and --engine lite"),
        (("--early-exit", "0.9"), "--early-exit and --engine lite"),
        (("--revision", "main"), "--revision and --engine lite"),
    ],
)
def test_what_does_not_go_with_the_lite_engine(arguments: tuple[str, ...], said: str) -> None:
    assert said in refused("classify", "--engine", "lite", str(EXAMPLES / "yes.wav"), *arguments)
