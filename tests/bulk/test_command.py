"""`snn-voice classify --ray` as a program: answers, kills, mistakes. A run starts Ray, so there are few."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray.data", reason="the extra [ray] is not installed")

from pyarrow import parquet as pq

import snn_voice_hub as sv
from snn_voice_hub.cli import main
from tests.places import EXAMPLES
from tests.server.on_ray.helpers import finish, inside, listening, network_of, run, start, those_of, wait_for

pytestmark = [
    pytest.mark.skipif(inside() is None, reason="no network namespace can be made (unshare -n)"),
    pytest.mark.timeout(900),
]


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def copies(folder: Path, count: int) -> list[Path]:
    """Clips under many names; links, so they cost nothing."""
    examples = sorted(EXAMPLES.glob("*.wav"))
    made = []
    for index in range(count):
        path = folder / f"{index % 7}" / f"{index:05}-{examples[index % len(examples)].name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(examples[index % len(examples)])
        made.append(path)
    return made


def table(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out).to_pylist()
    return found


def parts(out: Path) -> list[Path]:
    return sorted(out.glob("part-*.parquet"))


def one_line(text: str) -> str:
    assert text.startswith("snn-voice: error: "), text
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_rows_are_the_answers_of_classify_and_bad_files_are_rows(
    tmp_path: Path, default_model: sv.SnnVoice
) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out.parquet"
    good = copies(folder, 300)
    (folder / "bad.wav").write_text("no sound")
    (folder / "empty.flac").write_bytes(b"")
    (folder / "cut.wav").write_bytes((EXAMPLES / "yes.wav").read_bytes()[:3000])
    (folder / "notes.txt").write_text("no clip")
    done = run("classify", str(folder), "--ray", str(out), "--num-workers", "2", "--top-k", "2")
    assert done.returncode == 2
    assert "3 of 303 clips failed" in one_line(done.stderr)
    assert re.fullmatch(r"303 clips in [\d.]+ s \([\d,]+ clips/s\): .*\n", done.stdout), done.stdout
    rows = {row["path"]: row for row in table(out)}
    assert len(rows) == len(table(out)) == 303
    for path, answer in zip(good, default_model.classify(good, top_k=2, progress=False), strict=True):
        row = rows[str(path)]
        assert [p["label"] for p in row["predictions"]] == [p.label for p in answer]
        assert [p["score"] for p in row["predictions"]] == pytest.approx([p.score for p in answer], abs=1e-4)
        assert (row["label"], row["error_code"], row["error_message"]) == (answer[0].label, None, None)
    codes = {Path(path).name: row["error_code"] for path, row in rows.items() if row["error_code"]}
    assert codes == {"bad.wav": "not_audio", "empty.flac": "empty", "cut.wav": "truncated"}
    assert "bad.wav" in rows[str(folder / "bad.wav")]["error_message"]

    # Again: nothing to do, and what was wrong is not forgotten.
    again = run("classify", f"file://{folder}", "--ray", str(out), "--num-workers", "1", "--top-k", "2")
    assert again.returncode == 2
    assert again.stdout.startswith("0 clips in ")
    assert "3 of 303 clips failed" in one_line(again.stderr)
    assert len(table(out)) == 303


def test_a_run_that_is_killed_or_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out.parquet"
    expected = sorted(str(path) for path in copies(folder, 4000))
    call = ("classify", str(folder), "--ray", str(out), "--num-workers", "2", "--part-clips", "200")
    call += ("--engine", "loop")  # slow enough to be killed in the middle

    killed = start(*call)
    wait_for(lambda: len(parts(out)) >= 2, killed)
    network = network_of(killed)
    assert those_of(network) != []
    assert listening(killed) <= LOOPBACK  # nobody outside reaches Ray
    killed.send_signal(signal.SIGKILL)
    finish(killed)
    first = Counter(row["path"] for row in table(out))
    assert 400 <= len(first) < 4000
    end = time.monotonic() + 60
    while those_of(network) and time.monotonic() < end:
        time.sleep(0.2)
    assert those_of(network) == []
    assert Counter(row["path"] for row in table(out)) == first  # nobody was left to write

    stopped = start(*call)
    before = len(parts(out))
    wait_for(lambda: len(parts(out)) >= before + 2, stopped)
    network = network_of(stopped)
    stopped.send_signal(signal.SIGINT)
    done = finish(stopped)
    assert done.returncode == 130, done
    assert re.fullmatch(r"snn-voice: stopped; the rows so far are kept in .*\n", done.stderr), done.stderr
    second = Counter(row["path"] for row in table(out))
    assert len(first) + 400 <= len(second) < 4000
    assert those_of(network) == []

    done = run(*call)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(second):,} were there before" in done.stdout
    assert sorted(row["path"] for row in table(out)) == expected
    assert all(row["label"] == row["path"].rpartition("-")[2].removesuffix(".wav") for row in table(out))
    assert [path.name for path in out.iterdir() if not path.name.startswith("part-")] == ["_snn_voice.json"]


def test_a_clip_that_ends_its_worker_is_a_row(tmp_path: Path) -> None:
    folder, out, hook = tmp_path / "clips", tmp_path / "out.parquet", tmp_path / "hook"
    copies(folder, 40)
    (folder / "poison.wav").symlink_to(EXAMPLES / "yes.wav")
    hook.mkdir()
    # Whoever turns this clip's name into a path is gone: as if the decoder had crashed.
    (hook / "sitecustomize.py").write_text(
        "import os\n"
        "decode = os.fsdecode\n"
        "os.fsdecode = lambda name: os._exit(1) if b'poison' in os.fsencode(name) else decode(name)\n"
    )
    path = os.pathsep.join([str(hook), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).rstrip(
        os.pathsep
    )
    done = run("classify", str(folder), "--ray", str(out), "--num-workers", "1", PYTHONPATH=path)
    assert done.returncode == 2
    *_, last = done.stderr.splitlines(keepends=True)  # on a slow machine, after lines about the progress
    assert "1 of 41 clips failed" in one_line(last)
    rows = table(out)
    assert len({row["path"] for row in rows}) == len(rows) == 41
    assert [Path(row["path"]).name for row in rows if row["error_code"] == "crashed"] == ["poison.wav"]


def test_where_ray_dies_the_run_says_so_and_keeps_its_rows(tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out.parquet"
    copies(folder, 4000)
    call = ("classify", str(folder), "--ray", str(out), "--num-workers", "1", "--part-clips", "200")
    process = start(*call, "--engine", "loop")
    wait_for(lambda: parts(out), process)
    for raylet in those_of(network_of(process), b"raylet/raylet"):
        os.kill(raylet, signal.SIGKILL)
    done = finish(process)
    assert done.returncode == 2
    assert "Ray has died" in one_line(done.stderr)
    paths = [row["path"] for row in table(out)]
    assert len(set(paths)) == len(paths) >= 200


def test_mistakes_are_one_line_and_come_before_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was started"))
    clips = str(EXAMPLES)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "silent").mkdir()
    made = (clips, "--ray", str(tmp_path / "made"))
    new = str(tmp_path / "new.parquet")
    mistakes = {
        "is a file": (clips, "--ray", str(tmp_path / "file")),
        "has no _snn_voice.json": (clips, "--ray", str(tmp_path / "full")),
        "holds no sound files": (str(tmp_path / "silent"), "--ray", new),
        "nowhere does not exist": (clips, str(tmp_path / "nowhere"), "--ray", new),
        "did you mean 'm5-snn'": (clips, "--ray", new, "--model", "m5-sn"),
        "no Ray cluster answers at 127.0.0.1:1": (*made, "--top-k", "2", "--ray-address", "127.0.0.1:1"),
        "made with --top-k=2, this run has 3": made,
        "holds answers of model resmel-snn": (*made, "--top-k", "2", "--model", "tcy-snn"),
        "device": (clips, "--ray", new, "--device", "cuda:1"),
        "stdin": ("-", "--ray", new),
        "--json": (clips, "--ray", new, "--json"),
        "--num-workers goes with --ray": (clips, "--num-workers", "2"),
    }
    for message, arguments in mistakes.items():
        monkeypatch.setattr("sys.argv", ["snn-voice", "classify", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        out, err = capfd.readouterr()
        assert message in one_line(err)
        assert out == ""
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_model_that_cannot_run_on_the_workers_is_one_line(tmp_path: Path) -> None:
    """It is found out by a worker, far from the terminal."""
    out = tmp_path / "out.parquet"
    done = run("classify", str(EXAMPLES), "--ray", str(out), "--num-workers", "1", "--device", "mps")
    assert done.returncode == 2
    assert "mps" in one_line(done.stderr)
    assert json.loads((out / "_snn_voice.json").read_text())["model"] == "resmel-snn"
    assert parts(out) == []
