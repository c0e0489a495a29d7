"""A synthesiser that hums, and a lexicon of a few words."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import soundfile

from snn_voice_hub.training.voices.pronouncing import Phrase
from snn_voice_hub.training.voices.synthesiser import Speaker

RATE = 22_050

SAID: Mapping[str, Sequence[Sequence[str]]] = {
    "hey": [["HH", "EY1"]],
    "hay": [["HH", "EY1"]],
    "day": [["D", "EY1"]],
    "robot": [["R", "OW1", "B", "AA2", "T"], ["R", "OW1", "B", "AH0", "T"]],
    "rowboat": [["R", "OW1", "B", "OW2", "T"]],
    "rabbit": [["R", "AE1", "B", "AH0", "T"]],
    "robots": [["R", "OW1", "B", "AA2", "T", "S"]],
    "window": [["W", "IH1", "N", "D", "OW0"]],
    "kay": [["K", "EY1"]],
    "k": [["K", "EY1"]],
}


class Hum:
    """Says everything as a tone in quiet, the higher, the longer its text; some words as nobody should."""

    name = "hum"
    share = 1
    here = True

    def __init__(self) -> None:
        self.spoken: list[str] = []

    def prepare(self) -> None:
        """Nothing."""

    def can_say(self, said: Phrase) -> str:
        return ""

    def draw(self, said: Phrase, rng: random.Random) -> Speaker:
        return Speaker(f"v{rng.randrange(4)}", {"seconds": round(rng.uniform(0.3, 0.8), 2)})

    def say(self, said: Phrase, voice: Speaker, path: Path) -> None:
        self.spoken.append(said.text)
        seconds = cast(float, voice.settings["seconds"]) + 2 * (said.text == "endless")
        if said.text == "slow":  # some of them are too long
            seconds *= 1.8
        time = np.arange(round(seconds * RATE)) / RATE
        tone = 0.2 * np.sin(2 * np.pi * (200 + 20 * len(said.text)) * time)
        if said.text == "loud":
            tone = (20 * tone).clip(-1, 1)
        if said.text == "mute":
            tone *= 0
        soundfile.write(path, np.pad(tone, RATE // 2), RATE)
