"""`snn-voice energy`: what it prints, draws and writes, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

import snn_voice_hub as sv
from snn_voice_hub.cli import main
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.hub.bundled import bundled_root
from tests.cli.helpers import invoke, partly, refused
from tests.places import EXAMPLES

COUNT = len(list(EXAMPLES.glob("*.wav")))


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """The examples as a folder of words, with a broken file."""
    folder = tmp_path / "words"
    for path in EXAMPLES.glob("*.wav"):
        (folder / path.stem).mkdir(parents=True)
        shutil.copy(path, folder / path.stem / path.name)
    (folder / "yes" / "broken.wav").write_bytes(b"")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled_root() / "tcy-snn", tmp_path / "own"))


def test_it_prints_totals_and_layers_beside_the_twin() -> None:
    said = invoke("energy", "hjh-snn", "--data", str(EXAMPLES)).stdout
    assert f"the mean over {COUNT} windows of {COUNT} clips" in said
    assert "hjh-cnn" in said
    assert re.search(r"operations, nothing skipped +│ 38,132,080 │ +7,626,416 │", said)
    assert "snn.2.conv" in said
    assert "times the energy of hjh-cnn, if both skip zeros" in said
    assert "Left out: memory traffic" in " ".join(said.split())


def test_json_is_what_python_says() -> None:
    files = [EXAMPLES / "yes.wav", EXAMPLES / "no.wav"]
    options = [word for path in files for word in ("--data", str(path))]
    found = json.loads(invoke("energy", "tcy-snn", *options, "--json").stdout)
    assert found.pop("data") == [str(path) for path in files]
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    assert found == json.loads(json.dumps(voice.energy(files).to_dict()))
    assert (found["clips"], found["twin"]["model"]) == (2, "tcy-cnn")


def test_twins_by_name_and_none() -> None:
    yes = str(EXAMPLES / "yes.wav")
    found = json.loads(invoke("energy", "tcy-snn", "--data", yes, "--twin", "hjh-cnn", "--json").stdout)
    assert found["twin"]["model"] == "hjh-cnn"
    found = json.loads(invoke("energy", "tcy-snn", "--data", yes, "--twin", "none", "--json").stdout)
    assert "twin" not in found
    assert "share_of_twin" not in found


def test_labelled_clips_in_a_folder_or_a_tar(words: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "words.tar", "w") as tar:
        for path in words.rglob("*.wav"):
            tar.add(path, str(path.relative_to(words)))
    found = []
    for source in (words, tmp_path / "words.tar"):
        done = partly("energy", "tcy-cnn", "--data", str(source), "--json")
        assert "1 files could not be used:\n  yes/broken.wav: " in done.stderr
        found.append(json.loads(done.stdout))
    assert found[0]["clips"] == found[1]["clips"] == COUNT
    assert found[0]["synops"] == found[1]["synops"]
    # Plain files are the same clips.
    plain = json.loads(invoke("energy", "tcy-cnn", "--data", str(EXAMPLES), "--json").stdout)
    assert plain["synops"] == pytest.approx(found[0]["synops"], rel=1e-3)


def test_what_cannot_be_read_in_a_folder_is_named_and_the_rest_counted(tmp_path: Path) -> None:
    folder, other = tmp_path / "clips", tmp_path / "other"
    for path in (folder, other):
        path.mkdir()
    shutil.copy(EXAMPLES / "yes.wav", folder)
    shutil.copy(EXAMPLES / "no.wav", other)
    (folder / "linked").symlink_to(other)
    (folder / "._yes.wav").write_bytes(b"x")
    (folder / "memo.m4a").write_bytes(b"x")
    (folder / "gone.wav").symlink_to("nowhere")
    done = partly("energy", "tcy-cnn", "--data", str(folder), "--json")
    assert json.loads(done.stdout)["clips"] == 2
    closing = done.stderr.splitlines()[-1]
    assert closing.endswith(f"2 of 4 files have no answer: {folder}/gone.wav, {folder}/memo.m4a")
    (folder / "yes.wav").unlink()
    (folder / "linked").unlink()
    assert "no file can be read: " in refused("energy", "tcy-cnn", "--data", str(folder))


def test_of_many_clips_some_are_counted() -> None:
    arguments = ("energy", "tcy-cnn", "--data", str(EXAMPLES), "--json", "--clips")
    assert json.loads(invoke(*arguments, "3").stdout)["clips"] == 3
    assert json.loads(invoke(*arguments, "0").stdout)["clips"] == COUNT


def test_it_writes_into_its_own_checkpoint_and_draws(own: Path, tmp_path: Path) -> None:
    before = VoiceConfig.load(own / "config.json").metrics
    picture = tmp_path / "bars.png"
    invoke("energy", str(own), "--data", str(EXAMPLES), "--write", "--plot", str(picture))
    metrics = VoiceConfig.load(own / "config.json").metrics
    energy = metrics.pop("energy")
    assert metrics == {name: value for name, value in before.items() if name != "energy"}
    assert (energy["clips"], energy["windows"], energy["pj_a_mac"]) == (COUNT, COUNT, 4.6)
    assert energy["twin"]["model"] == "tcy-cnn"
    assert set(energy["share_of_twin"]) == {"effective", "dense", "effective_once", "dense_once"}
    assert "layers" not in energy
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| one window of sound | `tcy-snn` | `tcy-cnn` |" in invoke("card", str(own)).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere.wav"], "'nowhere.wav' does not exist"),
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--data", "{tmp}"], "holds no sound files"),
        (["--data", "{tmp}/a.wav"], "is not sound in a known format"),
        (["--data", "{examples}", "--twin", "nobody"], "no checkpoint 'nobody'"),
        (["--data", "{examples}", "--write"], "tcy-snn is bundled: its figures can't be written"),
        # Before anything is read: what comes last may come after minutes.
        (["--data", "nowhere.wav", "--plot", "{tmp}/none/x.png"], "x.png can't be written"),
        (["--data", "nowhere.wav", "--plot", "{tmp}/x.text"], ".text is no format"),
    ],
)
def test_refusals(arguments: list[str], said: str, tmp_path: Path) -> None:
    if "a.wav" in arguments[1]:
        (tmp_path / "a.wav").write_text("no sound")
    filled = [word.format(tmp=tmp_path, examples=EXAMPLES) for word in arguments]
    assert said in refused("energy", "tcy-snn", *filled)


def test_a_mistake_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["snn-voice", "energy", "tcy-snn", "--data", "nowhere.wav"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "snn-voice: error: 'nowhere.wav' does not exist\n"
