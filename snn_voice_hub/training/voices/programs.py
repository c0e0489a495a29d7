"""Debian's synthesisers: espeak-ng, flite and festival, each a program that writes a file.

The packages are `espeak-ng`, `flite`, and `festival` with the voices `festvox-kallpc16k`, `festvox-kdlpc16k`
and `festvox-us-slt-hts`.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.voices.phonemes import to_espeak
from snn_voice_hub.training.voices.pronouncing import Phrase
from snn_voice_hub.training.voices.synthesiser import Speaker

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

_SECONDS = 60.0


class SpeakingProgram(ABC):
    """A synthesiser that is a program.

    Attributes:
        program: What it is called.
    """

    name: ClassVar[str]
    share: ClassVar[int]
    program: ClassVar[str]

    @abstractmethod
    def draw(self, said: Phrase, rng: random.Random) -> Speaker:
        """Who will speak, and how; the same generator, the same voice."""

    @abstractmethod
    def say(self, said: Phrase, voice: Speaker, path: Path) -> None:
        """Write a WAV file.

        Raises:
            SnnVoiceError: The program failed.
        """

    @property
    def here(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.program) is not None

    def prepare(self) -> None:  # noqa: B027  (for those that have something to load)
        """Nothing: it is loaded each time."""

    def can_say(self, said: Phrase) -> str:
        """Why it can't say something; "" where it can."""
        return "takes no pronunciation" if said.by_hand else ""


class Espeak(SpeakingProgram):
    """espeak-ng, by seven accents of English in nineteen voices."""

    name = program = "espeak-ng"
    share = 2

    def can_say(self, said: Phrase) -> str:
        """It can say everything."""
        return ""

    def draw(self, said: Phrase, rng: random.Random) -> Speaker:
        """Accent, voice, speed (words a minute) and pitch."""
        name = f"{rng.choice(_ESPEAK_ACCENTS)}+{rng.choice(_ESPEAK_VARIANTS)}"
        return Speaker(name, {"speed": rng.randint(110, 210), "pitch": rng.randint(20, 80)})

    def say(self, said: Phrase, voice: Speaker, path: Path) -> None:
        """Write a WAV file."""
        text = f"[[{to_espeak(said.first)}]]" if said.by_hand else said.text
        options = ["-s", str(voice.settings["speed"]), "-p", str(voice.settings["pitch"])]
        _run(["espeak-ng", "-v", voice.name, *options, "-w", str(path), text], voice)


class Flite(SpeakingProgram):
    """flite, by four voices of people who read to it; one is Scottish."""

    name = program = "flite"
    # Diphone and statistical voices sound more like people than espeak-ng's, but there are few of them.
    share = 3

    def draw(self, said: Phrase, rng: random.Random) -> Speaker:
        """Voice, length (1: as it comes) and pitch in Hz."""
        name = rng.choice(_FLITE_VOICES)
        stretch, mean = rng.uniform(0.75, 1.35), rng.uniform(85, 230)
        return Speaker(name, {"stretch": round(stretch, 2), "pitch": round(mean)})

    def say(self, said: Phrase, voice: Speaker, path: Path) -> None:
        """Write a WAV file."""
        command = ["flite", "-voice", voice.name, "-t", said.text, "-o", str(path)]
        command += ["--setf", f"duration_stretch={voice.settings['stretch']:.2f}"]
        _run([*command, "--setf", f"int_f0_target_mean={voice.settings['pitch']:.0f}"], voice)


class Festival(SpeakingProgram):
    """festival, by those of three voices that are installed. It takes a second to start, each time."""

    name = "festival"
    program = "text2wave"
    share = 1

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """The known voices that are installed."""
        command = ["festival", "--batch", "(print (voice.list))"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        listed = done.stdout.strip("() \n").split()
        return tuple(voice for voice in _FESTIVAL_VOICES if voice in listed)

    @property
    def here(self) -> bool:
        """Whether it is installed, and a voice."""
        return super().here and bool(self.voices)

    def draw(self, said: Phrase, rng: random.Random) -> Speaker:
        """Voice and length (1: as it comes)."""
        name = rng.choice(self.voices)
        return Speaker(name, {"stretch": round(rng.uniform(0.8, 1.3), 2)})

    def say(self, said: Phrase, voice: Speaker, path: Path) -> None:
        """Write a WAV file."""
        command = ["text2wave", "-eval", f"(voice_{voice.name})"]
        command += ["-eval", f"(Parameter.set 'Duration_Stretch {voice.settings['stretch']:.2f})"]
        _run([*command, "-o", str(path)], voice, text=said.text)


PROGRAMS: tuple[SpeakingProgram, ...] = (Espeak(), Flite(), Festival())


def _run(command: Sequence[str], voice: Speaker, text: str | None = None) -> None:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SnnVoiceError(f"{command[0]} took over {_SECONDS:.0f} s (voice {voice.name})") from error
    if done.returncode:
        raise SnnVoiceError(f"{command[0]} failed with exit code {done.returncode} (voice {voice.name})")
