"""One clip: voices try one after the other, until what one says can be used."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snn_voice_hub.training.voices.phonemes import written
from snn_voice_hub.training.voices.pronouncing import Phrase
from snn_voice_hub.training.voices.recognising import Recogniser
from snn_voice_hub.training.voices.sound import NOT_RECOGNISED, as_wav, take
from snn_voice_hub.training.voices.synthesiser import Synthesiser
from snn_voice_hub.writing import write_whole

# So many voices try before a clip is given up.
TRIES = 4

ELSEWHERE = "another --out"


@dataclass(frozen=True)
class Thrown:
    """What could not be used.

    Attributes:
        reason: One of `sound.REASONS`.
        engine: Which synthesiser said it.
        voice: In which voice.
        seconds: How long it was.
        heard: What Whisper heard in it; "" where it was not asked.
    """

    reason: str
    engine: str
    voice: str
    seconds: float
    heard: str = ""


@dataclass(frozen=True)
class Clip:
    """What became of a clip.

    Attributes:
        number: Of the clip, among those of its word.
        path: Below the folder, with `/`; "" where nothing could be used.
        engine: Which synthesiser says it.
        voice: In which voice.
        settings: What else was drawn for it.
        seconds: How long it is.
        heard: What Whisper heard in it; "" where it was not asked.
        thrown: What was tried before.
    """

    number: int
    path: str = ""
    engine: str = ""
    voice: str = ""
    settings: Mapping[str, str | float] = field(default_factory=dict)
    seconds: float = 0.0
    heard: str = ""
    thrown: tuple[Thrown, ...] = ()

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Clip:
        """A clip as `synthesis.json` has it."""
        return cls(**{**row, "thrown": tuple(Thrown(**one) for one in row["thrown"])})


@dataclass(frozen=True)
class ClipOrder:
    """A word or a phrase, and how clips of it are made.

    Attributes:
        said: What.
        engines: Those that can say it.
        seed: Of what is drawn.
        most: Seconds that a clip may last.
        name: What a clip's file is called below the folder, with fields `text`, `voice` and `number`.
        recogniser: Who has to understand it; None where nobody has.
    """

    said: Phrase
    engines: Sequence[Synthesiser]
    seed: int
    most: float
    name: str
    recogniser: Recogniser | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the clips."""
        return {
            "seed": self.seed,
            "engines": [engine.name for engine in self.engines],
            "pronunciation": written(self.said.first) if self.said.by_hand else "",
            "max_seconds": self.most,
            "check": self.recogniser.name if self.recogniser else "",
        }

    def fill(self, number: int, folder: Path, work: Path) -> Clip:
        """Make a clip.

        Args:
            number: Its number; with the seed and the text it decides what is drawn.
            folder: Where clips go.
            work: Where synthesisers write.

        Raises:
            SnnVoiceError: A synthesiser failed, or the clip can't be written.
        """
        rng = random.Random(f"{self.seed}/{self.said.text}/{number}")
        engine = rng.choices(self.engines, [engine.share for engine in self.engines])[0]
        raw = work / f"{threading.get_ident()}.wav"
        thrown: list[Thrown] = []
        for _ in range(TRIES):
            voice = engine.draw(self.said, rng)
            raw.unlink(missing_ok=True)
            engine.say(self.said, voice, raw)
            taken = take(raw, self.most)
            reason, heard = taken.reason, ""
            if not reason and self.recogniser:
                right, heard = self.recogniser.hears(self.said, taken.wave)
                reason = "" if right else NOT_RECOGNISED
            seconds = round(taken.seconds, 3)
            if not reason:
                speaker = f"{engine.name}-{voice.name}"
                path = self.name.format(text=self.said.text, voice=speaker, number=number)
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                write_whole(folder / path, as_wav(taken.wave), hint=ELSEWHERE)
                said = engine.name, voice.name, voice.settings
                return Clip(number, path, *said, seconds, heard, tuple(thrown))
            thrown.append(Thrown(reason, engine.name, voice.name, seconds, heard))
        return Clip(number, thrown=tuple(thrown))
