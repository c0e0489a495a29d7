"""Kokoro-82M (hexgrad, Apache-2.0): a network with 54 voices that sound like people.

The model is kokoro-onnx's export with 8-bit weights; docs/training.md says which packages hold it and the
voices. Arrays are all that is loaded, and only those that were pinned. Needs the extra `[synth]`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from snn_voice_hub.errors import SnnVoiceError, needs_extra
from snn_voice_hub.training.clips.pinned import check, read_file
from snn_voice_hub.training.voices.phonemes import Sounds, parse, written
from snn_voice_hub.training.voices.pronouncing import Phrase
from snn_voice_hub.training.voices.sound import as_wav, without_quiet
from snn_voice_hub.training.voices.synthesiser import Speaker
from snn_voice_hub.user_cache import user_cache
from snn_voice_hub.writing import write_whole

SAMPLE_RATE = 24_000

MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
# Of all voices, one after the other by name.
VOICES_SHA256 = "b89b16e8843463c5a16d45f3904df4c7d0d2a2fdb3997acfb1adc443ec4b4417"

FOLDER_VARIABLE = "SNN_VOICE_KOKORO"
MODEL_FILE, VOICES_FOLDER = "kokoro.onnx", "voices"

_HINT = "remove that folder; snn-voice voices fetches it again"
_STYLE = 256
# The phonemes of English as Kokoro numbers them (its config.json, `vocab`), by those of CMUdict. Its
# diphthongs are one symbol.
_PHONEMES: Mapping[str, tuple[int, ...]] = {
    **{"AA": (69,), "AE": (72,), "AH": (138,), "AO": (76,), "AW": (39,), "AY": (25,), "B": (44,)},
    **{"CH": (133,), "D": (46,), "DH": (81,), "EH": (86,), "ER": (87, 123), "EY": (24,), "F": (48,)},
    **{"G": (92,), "HH": (50,), "IH": (102,), "IY": (51,), "JH": (82,), "K": (53,), "L": (54,)},
    **{"M": (55,), "N": (56,), "NG": (112,), "OW": (31,), "OY": (41,), "P": (58,), "R": (123,)},
    **{"S": (61,), "SH": (131,), "T": (62,), "TH": (119,), "UH": (135,), "UW": (63,), "V": (64,)},
    **{"W": (65,), "Y": (52,), "Z": (68,), "ZH": (147,)},
}
_SCHWA = 83  # an AH or ER without stress
_STRESS = {"1": 156, "2": 157}
_SPACE, _FULL_STOP = 16, 4


def tokens(words: Sequence[Sounds]) -> list[int]:
    """Kokoro's numbers for words in the phonemes of CMUdict, such as `[("G", "OW1")]`.

    Raises:
        SnnVoiceError: One holds what is no phoneme of English.
    """
    found: list[int] = []
    for word in words:
        found += [_SPACE] * bool(found)
        for sound in word:
            name, stress = sound.rstrip("012"), sound[-1]
            if name not in _PHONEMES:
                raise SnnVoiceError(f"{sound!r} is no phoneme of CMUdict", hint="Y EH1 S")
            plain = _PHONEMES[name]
            if stress == "0" and name in ("AH", "ER"):
                plain = (_SCHWA, *plain[1:])
            found += [*([_STRESS[stress]] if stress in _STRESS else []), *plain]
    return found


class KokoroModel:
    """The network.

    Args:
        model: The ONNX file.
        voices: Folder of voices, `name.bin` each.
        threads: Of the CPU.

    Attributes:
        voices: Names of the voices: language, then `f` or `m`, then a name.

    Raises:
        CheckpointError: A file is not there, or is not what it was when it was pinned.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(self, model: Path, voices: Path, threads: int = 1) -> None:
        with needs_extra("Kokoro", "synth", "ONNX Runtime", ("onnxruntime",)):
            import onnxruntime
        paths = sorted(voices.glob("*.bin"))
        content = [read_file(path, _HINT) for path in paths]
        check(b"".join(content), VOICES_SHA256, voices, "Kokoro's voices", _HINT)
        self._styles = {
            path.stem: np.frombuffer(data, "<f4").reshape(-1, _STYLE)
            for path, data in zip(paths, content, strict=True)
        }
        self.voices = list(self._styles)
        weights = read_file(model, _HINT)
        check(weights, MODEL_SHA256, model, "Kokoro", _HINT)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session: Any = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, words: Sequence[Sounds], voice: str, speed: float = 1.0) -> npt.NDArray[np.float32]:
        """A waveform `[N]` at 24 kHz, without the quiet around what is said.

        Args:
            words: In the phonemes of CMUdict.
            voice: One of `voices`, or several, joined by "+": someone between them.
            speed: 2 is twice as fast.
        """
        said = [*tokens(words), _FULL_STOP]
        styles = [self._styles[name][len(said) - 1] for name in voice.split("+")]
        given = {
            "tokens": np.array([[0, *said, 0]], np.int64),
            "style": np.stack(styles).mean(0, dtype=np.float32, keepdims=True),
            "speed": np.array([speed], np.float32),
        }
        (wave,) = self._session.run(None, given)
        return without_quiet(np.asarray(wave, np.float32).reshape(-1), SAMPLE_RATE)


class Kokoro:
    """Kokoro as one of the synthesisers.

    Args:
        folder: Holds `kokoro.onnx` and the folder `voices`; None where the user has none.
    """

    name: ClassVar[str] = "kokoro"
    # Its voices sound most like people, and there are many.
    share: ClassVar[int] = 6

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @property
    def here(self) -> bool:
        """Whether the user said where it is."""
        return self.folder is not None

    @cached_property
    def model(self) -> KokoroModel:
        """The network, loaded at the first need.

        Raises:
            SnnVoiceError: As `KokoroModel`.
        """
        assert self.folder is not None
        return KokoroModel(self.folder / MODEL_FILE, self.folder / VOICES_FOLDER)

    def prepare(self) -> None:
        """Load the network.

        Raises:
            SnnVoiceError: As `KokoroModel`.
        """
        _ = self.model

    def can_say(self, said: Phrase) -> str:
        """Why it can't say something; "" where it can."""
        return "" if said.known else "needs to know how it is said"

    def draw(self, said: Phrase, rng: random.Random) -> Speaker:
        """One voice or somebody between two, the speed, and one of the ways to say it."""
        voices = rng.sample(self.model.voices, 2)
        name = voices[0] if rng.random() < 0.5 else "+".join(sorted(voices))
        sounds = written([rng.choice(ways) for ways in said.words])
        return Speaker(name, {"speed": round(rng.uniform(0.75, 1.3), 2), "sounds": sounds})

    def say(self, said: Phrase, voice: Speaker, path: Path) -> None:
        """Write a WAV file."""
        words = parse(str(voice.settings["sounds"]))
        wave = self.model(words, voice.name, float(voice.settings["speed"]))
        write_whole(path, as_wav(wave, SAMPLE_RATE), hint="another folder")


def default_kokoro() -> Path:
    """Where `snn-voice voices` lays its files; they need not be there."""
    return user_cache() / Kokoro.name


def kokoro_folder(given: Path | None) -> Path | None:
    """Where its files are: what the user says, or else the environment, or where they were fetched to."""
    if given is not None:
        return given
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser()
    fetched = default_kokoro()
    return fetched if (fetched / MODEL_FILE).is_file() else None
