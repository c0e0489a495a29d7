"""Words spoken by Debian's speech synthesisers, for training words of which there are few recordings.

`python -m snn_voice_hub.training.voices.programs FOLDER` writes what the bundled models were trained with.
Needs the programs `espeak-ng`, `flite` and `text2wave` (Debian packages `espeak-ng`, `flite`, `festival`,
`festvox-kallpc16k`, `festvox-kdlpc16k`, `festvox-us-slt-hts`); those that are missing are left out.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.corpus import COVERED, FEWER

# Diphone and statistical voices sound more like people than espeak-ng's, but there are few of them.
_WEIGHTS = {"espeak-ng": 2, "flite": 3, "text2wave": 1}
_ESPEAK_ACCENTS = (
    *("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp"),
    *("en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029"),
)
_ESPEAK_VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"),
    *("f1", "f2", "f3", "f4", "f5"),
    *("klatt", "klatt2", "klatt3", "klatt4", "croak", "whisper"),
)
_FLITE_VOICES = ("kal16", "awb", "rms", "slt")
_FESTIVAL_VOICES = ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts")


def available_engines() -> list[str]:
    """The synthesisers on this machine, by the name of their program."""
    return [name for name in _WEIGHTS if shutil.which(name)]


def speak(word: str, path: Path, rng: random.Random, engine: str, *, write: bool = True) -> str:
    """Write one utterance of `word` to a WAV file, by a voice drawn from `rng`.

    Args:
        word: What to say.
        path: The WAV file to write.
        rng: Draws voice, speed and pitch.
        engine: One of `available_engines()`.
        write: Whether to speak at all; without, the voice is drawn and that is it.

    Returns:
        The voice's name.

    Raises:
        SnnVoiceError: The program failed.
    """
    if engine == "espeak-ng":
        voice = f"{rng.choice(_ESPEAK_ACCENTS)}+{rng.choice(_ESPEAK_VARIANTS)}"
        speed, pitch = rng.randint(110, 210), rng.randint(20, 80)
        command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(path), word]
        return _run(command if write else [], voice)
    if engine == "flite":
        voice = rng.choice(_FLITE_VOICES)
        stretch, mean = rng.uniform(0.75, 1.35), rng.uniform(85, 230)
        command = ["flite", "-voice", voice, "-t", word, "-o", str(path)]
        command += ["--setf", f"duration_stretch={stretch:.2f}", "--setf", f"int_f0_target_mean={mean:.0f}"]
        return _run(command if write else [], voice)
    voice = rng.choice(_FESTIVAL_VOICES)
    stretch = rng.uniform(0.8, 1.3)
    command = ["text2wave", "-eval", f"(voice_{voice})"]
    command += ["-eval", f"(Parameter.set 'Duration_Stretch {stretch:.2f})"]
    return _run([*command, "-o", str(path)] if write else [], voice, text=word)


def _run(command: list[str], voice: str, text: str | None = None) -> str:
    if not command:
        return voice
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise SnnVoiceError(f"{command[0]} failed with exit code {done.returncode} (voice {voice})")
    return voice


def speak_words(
    counts: dict[str, int], folder: Path, seed: int = 0, *, engines: Sequence[str] = ()
) -> Iterator[Path]:
    """Write `counts[word]` utterances of each word to `folder/word/<engine>-<voice>_nohash_<n>.wav`.

    A file that is there already is kept, so an interrupted run goes on where it stopped.

    Args:
        counts: Utterances a word.
        folder: Where to write.
        seed: Same seed, same utterances.
        engines: Which of `available_engines()` speak; none for all.

    Yields:
        The path of each utterance.

    Raises:
        SnnVoiceError: No synthesiser is installed, or one failed.
    """
    engines = engines or available_engines()
    if not engines:
        raise SnnVoiceError("no speech synthesiser found", hint="apt-get install espeak-ng flite festival")
    for word, count in counts.items():
        (folder / word).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            rng = random.Random(f"{seed}/{word}/{n}")
            engine = rng.choices(engines, [_WEIGHTS[name] for name in engines])[0]
            path = folder / word / f"{engine}_nohash_{n}.wav"
            if not path.exists():
                speak(word, path, rng, engine)
            yield path


def utterances(word: str) -> int:
    """How many utterances of a word the bundled models were trained with: the fewer recordings, the more.

    Of the others there are enough that such a voice does not mean "none of the words", as most of the single
    words in which the networks learned what is none are by synthesisers too.
    """
    return 150 if word in COVERED and word not in FEWER else 300


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    made = sum(1 for _ in speak_words({word: utterances(word) for word in SPEECH_COMMANDS}, folder))
    print(f"{made} utterances in {folder}")


if __name__ == "__main__":
    main()
