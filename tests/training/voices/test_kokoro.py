"""A synthesiser of somebody else: what it is asked, and that it is the one that was pinned."""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import soundfile

from snn_voice_hub.errors import CheckpointError, MissingExtraError, SnnVoiceError
from snn_voice_hub.training.voices import kokoro as module
from snn_voice_hub.training.voices.kokoro import Kokoro, KokoroModel, kokoro_folder, tokens
from snn_voice_hub.training.voices.pronouncing import Phrase

GO = ("G", "OW1")


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
        styles = np.arange(16 * 256, dtype="<f4").reshape(16, 1, 256) + 10_000 * i
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
    assert tokens([GO]) == [92, 156, 31]
    # A schwa has a symbol of its own; so has the R after it.
    assert tokens([("B", "AH0", "T", "AH1", "ER0")]) == [44, 83, 62, 156, 138, 83, 123]
    assert tokens([GO, GO]) == [92, 156, 31, 16, 92, 156, 31]
    with pytest.raises(SnnVoiceError, match="'QQ1' is no phoneme"):
        tokens([("QQ1",)])


@pytest.mark.usefixtures("runtime")
def test_a_word_is_asked_of_its_voice_and_comes_without_the_quiet(voices: Path) -> None:
    kokoro = KokoroModel(voices.parent / "model.onnx", voices)
    assert kokoro.voices == ["af_two", "am_one"]
    wave = kokoro([GO], "af_two", 1.25)
    assert Session.asked["tokens"].tolist() == [[0, 92, 156, 31, 4, 0]]
    # The style depends on how many symbols are said.
    assert Session.asked["style"].shape == (1, 256)
    assert Session.asked["style"][0, 0] == 10_000 + 3 * 256
    assert Session.asked["speed"].tolist() == [1.25]
    assert 0.55 < len(wave) / module.SAMPLE_RATE < 0.65
    kokoro([GO], "af_two+am_one")
    assert Session.asked["style"][0, 0] == 5_000 + 3 * 256


@pytest.mark.usefixtures("runtime")
def test_as_one_of_the_synthesisers(voices: Path, tmp_path: Path) -> None:
    (voices.parent / "model.onnx").rename(voices.parent / "kokoro.onnx")
    kokoro = Kokoro(voices.parent)
    said = Phrase("go hard", ((GO,), (("HH", "AA1", "R", "D"), ("HH", "AA1", "D"))))
    assert kokoro.here
    assert kokoro.can_say(said) == ""
    assert kokoro.can_say(Phrase("go xyzzy", ((GO,), ()))) == kokoro.can_say(Phrase("go"))
    assert "how it is said" in kokoro.can_say(Phrase("go"))
    drawn = [kokoro.draw(said, random.Random(n)) for n in range(40)]
    assert {voice.name for voice in drawn} == {"af_two", "am_one", "af_two+am_one"}
    assert {voice.settings["sounds"] for voice in drawn} == {"G OW1 | HH AA1 R D", "G OW1 | HH AA1 D"}
    assert drawn[0] == kokoro.draw(said, random.Random(0))
    kokoro.say(said, drawn[0], tmp_path / "said.wav")
    wave, rate = soundfile.read(tmp_path / "said.wav")
    assert rate == module.SAMPLE_RATE
    assert Session.asked["speed"][0] == pytest.approx(drawn[0].settings["speed"])
    assert np.abs(wave).max() > 0.9


def test_its_folder_is_named_or_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNN_VOICE_KOKORO", raising=False)
    monkeypatch.setenv("SNN_VOICE_CACHE", str(tmp_path / "cache"))
    assert not Kokoro(kokoro_folder(None)).here
    (tmp_path / "cache" / "kokoro").mkdir(parents=True)
    (tmp_path / "cache" / "kokoro" / "kokoro.onnx").touch()
    assert kokoro_folder(None) == tmp_path / "cache" / "kokoro"
    monkeypatch.setenv("SNN_VOICE_KOKORO", str(tmp_path))
    assert kokoro_folder(None) == tmp_path
    assert kokoro_folder(tmp_path / "b") == tmp_path / "b"


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("changed", ["model.onnx", "voices/am_one.bin"])
def test_other_files_than_the_pinned_ones_are_refused(voices: Path, changed: str) -> None:
    path = voices.parent / changed
    path.write_bytes(path.read_bytes() + bytes(256 * 4))
    with pytest.raises(CheckpointError, match="SHA-256") as caught:
        KokoroModel(voices.parent / "model.onnx", voices)
    assert "snn-voice voices" in str(caught.value.hint)


@pytest.mark.usefixtures("runtime")
def test_a_folder_without_voices_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not that of Kokoro's voices"):
        KokoroModel(tmp_path / "model.onnx", tmp_path / "none")


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, voices: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"\[synth\]"):
        KokoroModel(voices.parent / "model.onnx", voices)
