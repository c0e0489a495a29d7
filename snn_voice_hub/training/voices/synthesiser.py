"""What a synthesiser is: a name, whether it is here, and how it is made to say something."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from snn_voice_hub.training.voices.pronouncing import Phrase

# Their names; `engines.all_engines` makes them.
ENGINES = ("espeak-ng", "flite", "festival", "kokoro")
# Of the command and of the function, if nobody says otherwise: clips a word, and how long one may be.
COUNT = 200
MAX_SECONDS = 1.0


@dataclass(frozen=True)
class Speaker:
    """Who speaks, and how.

    Attributes:
        name: As it stands in the names of files.
        settings: What else was drawn, for `synthesis.json`.
    """

    name: str
    settings: Mapping[str, str | float]


class Synthesiser(Protocol):
    """Says words. Several threads may ask it at once."""

    @property
    def name(self) -> str:
        """What it is called, one of `ENGINES`."""

    @property
    def share(self) -> int:
        """How often it speaks, against the others."""

    @property
    def here(self) -> bool:
        """Whether it is on this machine."""

    def prepare(self) -> None:
        """Load what it needs to speak.

        Raises:
            SnnVoiceError: That is not there, or is something else.
        """

    def can_say(self, said: Phrase) -> str:
        """Why it can't say something; "" where it can."""

    def draw(self, said: Phrase, rng: random.Random) -> Speaker:
        """Who will speak, and how; the same generator, the same voice."""

    def say(self, said: Phrase, voice: Speaker, path: Path) -> None:
        """Write a WAV file of any rate.

        Raises:
            SnnVoiceError: It failed.
        """
