"""`snn-voice listen --save`: the sound of what was heard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from snn_voice_lite.streaming.detector import Event

import snn_voice_hub as sv
from snn_voice_hub.cli.saving import SavedSound, folder_name
from tests.cli.helpers import invoke, refused
from tests.cli.test_listen import MODEL, YES, StubSound, microphone  # noqa: F401  (a fixture)
from tests.voice.stream_helpers import RATE, follower, talk


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "saved.jsonl").read_text().splitlines()]


def spoken(folder: Path) -> str:
    path = folder / "talk.wav"
    sf.write(path, talk(), RATE)
    return str(path)


def some(count: int, label: str = "yes") -> Iterator[Event]:
    for n in range(count):
        sound = np.full(RATE, n / 100, np.float32)
        yield Event(label, 0.987, float(n), n + 0.5, n + 1.0, sound)


def test_each_word_of_a_file_is_kept(tmp_path: Path) -> None:
    saved = tmp_path / "a" / "saved"
    done = invoke("listen", "--file", spoken(tmp_path), *MODEL, "--json", "--save", str(saved))
    told, kept = [json.loads(line) for line in done.stdout.splitlines()], lines(saved)
    assert [event["label"] for event in told] == ["yes", "go", "marvin"]
    assert [{name: line[name] for name in told[0]} for line in kept] == told
    heard = sv.SnnVoice.from_pretrained("resmel-snn").listen([talk()], sample_rate=RATE, sound=True)
    for line, event in zip(kept, heard, strict=True):
        assert line["model"] == "resmel-snn"
        assert line["file"].startswith(f"{line['label']}/")
        assert line["file"].endswith(f"_{line['score']:.2f}.wav")
        wave, rate = sf.read(saved / line["file"], dtype="float32")
        assert (rate, wave.shape, sf.info(saved / line["file"]).subtype) == (16_000, (16_000,), "PCM_16")
        np.testing.assert_allclose(wave, event.sound, atol=2e-4)  # that of the file itself was rounded before
    assert len(list(saved.glob("*/*.wav"))) == 3


def test_a_network_whose_steps_are_those_of_the_sound(tmp_path: Path) -> None:
    voice = follower()
    voice.save_pretrained(tmp_path / "follower")
    raw = (talk() * 32_767).astype("<i2")
    chosen = ("--model", str(tmp_path / "follower"), "--engine", "torch", "--save", str(tmp_path / "saved"))
    invoke("listen", "-", *chosen, stdin=raw.tobytes())
    wanted = list(voice.listen([raw], sample_rate=RATE, sound=True))
    kept = lines(tmp_path / "saved")
    assert [(line["label"], line["time"]) for line in kept] == [(e.label, round(e.time, 3)) for e in wanted]
    for line, event in zip(kept, wanted, strict=True):
        wave, _ = sf.read(tmp_path / "saved" / line["file"], dtype="float32")
        np.testing.assert_allclose(wave, event.sound, atol=1e-4)


def test_a_microphone(microphone: StubSound, tmp_path: Path) -> None:  # noqa: F811
    refused_at_its_end = refused_with_words("listen", *MODEL, "--save", str(tmp_path / "saved"))
    assert "the microphone gives no more sound" in refused_at_its_end
    (line,) = lines(tmp_path / "saved")
    wave, rate = sf.read(tmp_path / "saved" / line["file"])
    assert (line["label"], rate, len(wave)) == ("yes", 16_000, 16_000)
    assert np.abs(wave).max() > 0.05


def refused_with_words(*arguments: str) -> str:
    from typer.testing import CliRunner

    from snn_voice_hub.cli import app

    return str(CliRunner().invoke(app, list(arguments)).exception)


def test_when_there_is_enough_it_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = SavedSound(tmp_path, model="m", rate=RATE, most=3)
    for event in some(6):
        saved.keep(event)
    assert capsys.readouterr().err == f"snn-voice: {tmp_path} holds 3 clips: no more are kept (--save-most)\n"
    assert [line["start"] for line in lines(tmp_path)] == [0.0, 1.0, 2.0]
    # What is there counts for the next time, and what was moved elsewhere does not.
    first = tmp_path / lines(tmp_path)[0]["file"]
    again = SavedSound(tmp_path, model="m", rate=RATE, most=3)
    again.keep(next(some(1)))
    assert "no more are kept" in capsys.readouterr().err
    first.rename(tmp_path / "moved.wav")
    again = SavedSound(tmp_path, model="m", rate=RATE, most=3)
    for event in some(2):
        again.keep(event)
    assert len(lines(tmp_path)) == 4
    assert "no more are kept" in capsys.readouterr().err


def test_two_words_at_one_time_are_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snn_voice_hub.cli import saving

    class Stopped(saving.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls(2026, 11, 30, 20, 15, 30, 123_456, saving.UTC)

    monkeypatch.setattr(saving, "datetime", Stopped)
    saved = SavedSound(tmp_path, model="m", rate=RATE)
    for event in some(3):
        saved.keep(event)
    names = [Path(line["file"]).name for line in lines(tmp_path)]
    stem = names[0].removesuffix(".wav")
    assert stem.endswith(".123_0.99")
    assert names[1:] == [f"{stem}-2.wav", f"{stem}-3.wav"]
    levels = [sf.read(tmp_path / "yes" / name)[0][0] for name in names]
    np.testing.assert_allclose(levels, [0, 0.01, 0.02], atol=1e-3)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("../../etc", "______etc"),
        ("hey robot", "hey robot"),
        ("straße", "straße"),
        ("上海", "上海"),
        ("/", "_"),
        ("..", "__"),
        (" ", "_"),
        ("a\x1b[2J\n", "a__2J_"),
        ("x" * 500, "x" * 60),
    ],
)
def test_no_label_leads_out_of_the_folder(label: str, name: str, tmp_path: Path) -> None:
    assert folder_name(label) == name
    saved = tmp_path / "saved"
    SavedSound(saved, model="m", rate=RATE).keep(next(some(1, label)))
    (line,) = lines(saved)
    assert line["label"] == label
    assert (saved / line["file"]).parent == saved / name
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_mistakes_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    given = ("listen", "--file", YES, *MODEL)
    assert "--save-most goes with --save" in refused(*given, "--save-most", "5")
    assert "--save-most 0 is not legal" in refused(*given, "--save", str(tmp_path / "a"), "--save-most", "0")
    assert not (tmp_path / "a").exists()
    said = refused(*given, "--save", str(tmp_path / "file"))
    assert f"{tmp_path}/file can't be written" in said
    assert "another folder for --save" in said
