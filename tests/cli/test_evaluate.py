"""`snn-voice evaluate`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner, Result

import snn_voice_hub as sv
from snn_voice_hub.cli import app
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.training.measuring.evaluate import evaluate
from tests.places import EXAMPLES

COUNT = len(list(EXAMPLES.glob("*.wav")))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The examples as a folder of folders, with a mistake, a broken file and a word nobody knows."""
    folder = tmp_path / "data"
    for path in EXAMPLES.glob("*.wav"):
        (folder / path.stem).mkdir(parents=True)
        shutil.copy(path, folder / path.stem / path.name)
    shutil.copy(EXAMPLES / "no.wav", folder / "yes" / "wrong.wav")
    (folder / "yes" / "broken.wav").write_bytes(b"")
    (folder / "zebra").mkdir()
    shutil.copy(EXAMPLES / "no.wav", folder / "zebra" / "z.wav")
    return folder


def run(*arguments: str | Path, columns: int = 80) -> Result:
    runner = CliRunner(env={"COLUMNS": str(columns), "NO_COLOR": "1"})
    return runner.invoke(app, ["evaluate", *map(str, arguments)])


def refusal(*arguments: str | Path) -> str:
    done = run(*arguments)
    assert isinstance(done.exception, sv.SnnVoiceError), done.output
    assert done.stdout == ""
    return str(done.exception)


def own(folder: Path, name: str = "m5-snn") -> Path:
    shutil.copytree(bundled_root() / name, folder)
    return folder


def test_json_is_one_object_and_holds_everything(data: Path) -> None:
    done = run("resmel-snn", "--data", data, "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["model"] == "resmel-snn"
    assert figures["clips"] == COUNT + 2
    assert figures["skipped"] == 1
    assert figures["skipped_files"][0][0] == "yes/broken.wav"
    assert figures["top1"] == pytest.approx(COUNT / (COUNT + 2), abs=1e-4)
    assert figures["unknown_words"] == {"zebra": 1}
    assert figures["words"]["yes"] == {"precision": 1.0, "recall": 0.5, "f1": 0.6667, "clips": 2}
    assert figures["words"]["zebra"]["recall"] == 0
    assert figures["thin_clips"] == 3  # seven, marvin, zebra
    assert all(0 < rate < 1 for rate in figures["spike_rates"].values())
    assert np.sum(figures["confusion"]["counts"]) == COUNT + 2
    assert set(figures["robustness"]) == {"white_noise", "shift"}
    assert figures["robustness"]["shift"]["up_to_100_ms"] > 0.5
    assert figures["false_alarms"]["digital_silence"]["windows"] == 1
    assert figures["cpu_ms_one_clip"] > 0
    assert "does not know their words: zebra" in done.stderr
    assert "1 files could not be used:\n  yes/broken.wav: " in done.stderr


def test_the_table_fits_eighty_columns(data: Path) -> None:
    done = run("resmel-snn", "--data", data, "--words")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in done.stdout  # nothing is cut
    text = " ".join(done.stdout.split())
    for said in ("top-1 │", "top-2 │", "top-5 │", "(ECE), temperature 1 │", "white noise, 0 dB │", "F1"):
        assert said in text
    assert "words that the model does not know │ 1 │" in text


def test_quick_leaves_out_robustness(data: Path) -> None:
    model = sv.SnnVoice.from_pretrained("m5-snn", engine="torch")
    figures = evaluate(model, data, quick=True)
    assert "robustness" not in figures
    assert "words" not in figures
    again = evaluate(model, data, words=True)
    assert "robustness" in again
    assert "yes" in again["words"]
    assert again["top1"] == figures["top1"]


def test_out_holds_the_report(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "deep" / "report"
    done = run("m5-snn", "--data", data, "--quick", "--out", out)
    assert done.exit_code == 0, done.output
    names = {path.name for path in out.iterdir()}
    assert names == {"report.json", "words.csv", "confusion.csv", "confusion.png"}
    report = json.loads((out / "report.json").read_text())
    with (out / "words.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["word", "precision", "recall", "f1", "clips"]
    by_word = {row["word"]: row for row in rows}
    assert float(by_word["yes"]["recall"]) == report["words"]["yes"]["recall"]
    assert by_word["zebra"]["precision"] == ""  # never answered: not 0
    with (out / "confusion.csv").open(newline="") as file:
        counts = [list(map(int, row[1:])) for row in list(csv.reader(file))[1:]]
    assert counts == report["confusion"]["counts"]
    assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_rest_is_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out = tmp_path / "report"
    out.mkdir()
    (out / "confusion.png").write_bytes(b"of an earlier model")
    done = run("m5-snn", "--data", data, "--quick", "--out", out)
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == {"report.json", "words.csv", "confusion.csv"}
    (line,) = [line for line in done.stderr.splitlines() if "confusion.png" in line]
    assert 'the extra snn-voice-hub[plots]; in a clone: pip install ./lite ".[plots]"' in line


def test_write_fills_the_configuration_and_the_card(data: Path, tmp_path: Path) -> None:
    folder = own(tmp_path / "mine")
    before = VoiceConfig.load(folder / "config.json")
    done = run(folder, "--data", data, "--write", "--data-name", "examples of the package", "--json")
    assert done.exit_code == 0, done.output
    config = VoiceConfig.load(folder / "config.json")
    measured = json.loads(done.stdout)
    assert config.metrics["test"]["top1"] == measured["top1"]
    assert config.metrics["test"]["robustness"] == measured["robustness"]
    assert "confusion" not in config.metrics["test"]
    assert config.metrics["validation"] == before.metrics["validation"]
    assert config.temperature == before.temperature
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    (entry,) = [
        result
        for result in make_card(config).data.eval_results or []
        if result.metric_name == "Top-1 accuracy"
    ]
    assert entry.metric_value == measured["top1"]
    assert entry.dataset_name == f"examples of the package, {COUNT + 2} test clips"
    sv.SnnVoice.from_pretrained(folder)


def test_write_is_refused_where_the_folder_is_not_the_users(data: Path, tmp_path: Path) -> None:
    for name in ("m5-snn", str(bundled_root() / "m5-snn")):
        assert "is bundled" in refusal(name, "--data", data, "--write")
    assert "no folder on this disk" in refusal("someone/model", "--data", data, "--write")
    assert "config.json" in refusal(tmp_path, "--data", data, "--write")
    weights = own(tmp_path / "mine") / "model.safetensors"
    assert "is no folder with" in refusal(weights, "--data", data, "--write")


def test_a_write_that_fails_leaves_the_old_configuration(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own(tmp_path / "mine")
    before = (folder / "config.json").read_bytes()

    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:8])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    done = run(folder, "--data", data, "--quick", "--write")
    assert "No space left on device" in str(done.exception)
    assert (folder / "config.json").read_bytes() == before


def test_mistakes_are_told_before_measuring(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "--out" in refusal("m5-snn", "--data", data, "--out", tmp_path / "file")
    assert "does not exist" in refusal("m5-snn", "--data", data, "--noise", tmp_path / "none.tar")
    (tmp_path / "none").mkdir()
    assert "no readable recording" in refusal("m5-snn", "--data", data, "--noise", tmp_path / "none")
    only = tmp_path / "only" / "zebra"
    only.mkdir(parents=True)
    shutil.copy(EXAMPLES / "no.wav", only)
    assert "none of the clips" in refusal("m5-snn", "--data", only.parent)


def test_a_data_set_folder_gives_its_test_clips_and_its_noise(data: Path, tmp_path: Path) -> None:
    noise = data / "_background_noise_"
    noise.mkdir()
    rng = np.random.default_rng(0)
    sf.write(noise / "hum.wav", 0.1 * rng.standard_normal(4_000), 16_000)  # shorter than a window
    sf.write(noise / "mute.wav", np.zeros(20_000), 16_000)
    (data / "testing_list.txt").write_text("yes/yes.wav\nno/no.wav\n")
    model = sv.SnnVoice.from_pretrained("resmel-snn", engine="torch")
    figures = evaluate(model, data)
    assert figures["clips"] == 2
    assert figures["skipped"] == 0  # what is broken is not among the test clips
    assert figures["top1"] == 1
    assert set(figures["false_alarms"]) == {"digital_silence", "hum", "mute"}
    assert set(figures["robustness"]["recorded_noise"]) == {"20_db", "10_db", "0_db"}
    packed = tmp_path / "packed"
    packed.mkdir()
    with tarfile.open(packed / "test.tar", "w") as archive:
        archive.add(data / "left", "left")
    with tarfile.open(packed / "background_noise.tar", "w") as archive:
        archive.add(noise / "hum.wav", "_background_noise_/hum.wav")
    figures = evaluate(model, packed)
    assert figures["clips"] == 1
    assert set(figures["false_alarms"]) == {"digital_silence", "hum"}
    # Training on a corpus hears all of its recordings but two; what somebody names is taken whole.
    with tarfile.open(packed / "background_noise.tar", "w") as archive:
        for name in ("hum", "running_tap"):
            archive.add(noise / "hum.wav", f"_background_noise_/{name}.wav")
    for given, names in ((None, {"running_tap"}), (packed / "background_noise.tar", {"hum", "running_tap"})):
        figures = evaluate(model, packed, noise=given, quick=True)
        assert set(figures["false_alarms"]) == {"digital_silence", *names}


def test_a_manifest_gives_its_test_rows(data: Path, tmp_path: Path) -> None:
    rows = ["data/yes/yes.wav,yes,test", "data/no/no.wav,no,train", "data/yes/wrong.wav,yes,test"]
    listed = tmp_path / "clips.csv"
    listed.write_text("\n".join(["path,label,split", *rows]))
    model = sv.SnnVoice.from_pretrained("m5-snn", engine="torch")
    assert evaluate(model, listed, quick=True)["clips"] == 2
    listed.write_text("\n".join(["path,label", *(row.rpartition(",")[0] for row in rows)]))
    assert evaluate(model, listed, quick=True)["clips"] == 3


def test_speech_commands_is_found_where_training_finds_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "testing_list.txt").write_text("go/go.wav\n")
    (tmp_path / "SpeechCommands").mkdir()
    data.rename(tmp_path / "SpeechCommands" / "speech_commands_v0.02")
    model = sv.SnnVoice.from_pretrained("m5-snn", engine="torch")
    for name in (f"speech_commands:{tmp_path}", f"speech_commands:{tmp_path}/SpeechCommands"):
        assert evaluate(model, Path(name), quick=True)["clips"] == 1
    monkeypatch.setenv("SNN_VOICE_DATA", str(tmp_path))
    assert evaluate(model, Path("speech_commands"), quick=True)["clips"] == 1
    monkeypatch.setenv("SNN_VOICE_DATA", str(tmp_path / "elsewhere"))
    assert "does not exist" in refusal("m5-snn", "--data", "speech_commands")


def test_a_cnn_has_no_spike_rates(data: Path) -> None:
    figures = evaluate(sv.SnnVoice.from_pretrained("tcy-cnn"), data)
    assert "spike_rates" not in figures
    assert 0 <= figures["robustness"]["white_noise"]["20_db"] <= 1


@pytest.mark.slow
def test_negatives_add_words_missed_and_false_alarms_an_hour(data: Path, tmp_path: Path) -> None:
    negatives = tmp_path / "negatives"
    (negatives / "noise").mkdir(parents=True)
    (negatives / "words").mkdir()
    hiss = np.random.default_rng(0).standard_normal(5 * 16_000) * 0.01
    sf.write(negatives / "noise" / "hiss.wav", hiss, 16_000)
    sf.write(negatives / "hum.wav", np.sin(np.arange(4 * 16_000) / 20) * 0.1, 16_000)
    shutil.copy(EXAMPLES / "no.wav", negatives / "words" / "nope.wav")
    out = tmp_path / "report"
    done = run("m5-snn", "--data", data, "--negatives", negatives, "--quick", "--json", "--out", out)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    # A window of four seconds each, and the word; m5-snn takes "no" for one.
    alarms = report["false_alarms"]["other_speech"]
    assert (alarms["windows"], alarms["score_95"] > 0.5, alarms["below_half"] < 1) == (5, True, True)
    listening = report["listening"]
    assert listening["hours"] == {"speech": 0.001, "noise": 0.001}
    assert listening["single_words"] == 1
    assert set(listening["words"]["missed"]) == {"20_db", "10_db", "5_db"}
    assert set(listening["words"]["false_alarms"]) == {"speech", "noise"}
    assert listening["commands"]["single"] == 1.0  # somebody says "no" in it, whatever the file is called
    with (out / "listening.csv").open() as file:
        rows = list(csv.DictReader(file))
    missed = [float(row["missed_20_db"]) for row in rows]
    assert missed[0] < missed[-1]  # in between, an event may stand in the way of the next
    table = run("m5-snn", "--data", data, "--negatives", negatives, "--quick", columns=120).stdout
    assert "the ten commands: false alarms an hour of speech" in table
    assert "does not exist" in refusal("m5-snn", "--data", data, "--negatives", tmp_path / "nowhere")
