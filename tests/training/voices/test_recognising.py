"""Whether a transcript sounds like what was to be said."""

from __future__ import annotations

import numpy as np
import pytest

from snn_voice_hub.training.voices.pronouncing import Lexicon, Phrase
from snn_voice_hub.training.voices.recognising import Recogniser, alike, beginning


def test_a_beginning_counts_and_not_what_comes_after_it() -> None:
    assert beginning(("a", "b"), ("a", "b", "a", "b", "a")) == 0
    assert beginning(("a", "b", "c"), ("a", "x", "c", "d")) == 1
    assert beginning(("a", "b"), ()) == 2


@pytest.mark.usefixtures("few_words")
@pytest.mark.parametrize(
    ("heard", "right"),
    [
        ("Hey, robot!", True),
        (" Hey robot. Hey robot. Hey robot", True),
        ("hay rowboat", True),
        ("K robot", True),
        ("hey", False),
        ("window", False),
        ("day window", False),
        ("", False),
        ("...", False),
        ("xyzzy", False),
    ],
)
def test_what_sounds_alike_is_alike(heard: str, right: bool) -> None:
    lexicon = Lexicon()
    assert alike(lexicon.of("hey robot"), heard, lexicon) == right


@pytest.mark.usefixtures("few_words")
def test_of_a_word_that_nobody_knows_the_spelling_counts() -> None:
    lexicon = Lexicon()
    assert alike(lexicon.of("xyzzy"), "Xyzzy.", lexicon)
    assert not alike(lexicon.of("xyzzy"), "hey", lexicon)
    assert not alike(Phrase("xyzzy"), "", lexicon)


@pytest.mark.usefixtures("few_words")
def test_who_hears_gets_the_sound() -> None:
    heard = []

    def transcribe(wave: object) -> str:
        heard.append(wave)
        return "Hey"

    one = Recogniser("ears", transcribe)
    assert one.hears(one.lexicon.of("hey"), np.ones(3, np.float32)) == (True, "Hey")
    assert heard[0].tolist() == [1, 1, 1]  # type: ignore[attr-defined]
