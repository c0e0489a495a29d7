"""What the user wants said: a word or a phrase each, perhaps with a pronunciation."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.voices.phonemes import parse
from snn_voice_hub.training.voices.pronouncing import Phrase

_LONGEST = 100  # characters
_HINT = "a word such as lumos, a phrase such as 'hey robot', or sheila=SH IY1 L AH0"


def wishes(given: Iterable[str]) -> list[Phrase]:
    """Words and phrases as they are typed; those without a pronunciation are still to be looked up.

    Args:
        given: `robot`, `hey robot`, `sheila=SH IY1 L AH0`, `hey sheila=HH EY1 | SH IY1 L AH0`.

    Raises:
        SnnVoiceError: None, one twice, or one that is no word or phrase of Latin letters.
    """
    found: dict[str, Phrase] = {}
    for typed in given:
        text, equals, sounds = typed.partition("=")
        text = " ".join(unicodedata.normalize("NFC", text).split())
        _check(text, typed)
        if text.casefold() in found:
            raise SnnVoiceError(f"{text!r} is wanted twice", hint="each word once")
        said = Phrase(text)
        if equals:
            words = parse(sounds)
            if len(words) != len(text.split()):
                raise SnnVoiceError(
                    f"{text!r} has {len(text.split())} words, its pronunciation {len(words)}",
                    hint="with | between them: hey sheila=HH EY1 | SH IY1 L AH0",
                )
            said = Phrase(text, tuple((word,) for word in words), by_hand=True)
        found[text.casefold()] = said
    if not found:
        raise SnnVoiceError("there is nothing to say", hint=_HINT)
    return list(found.values())


def _check(text: str, typed: str) -> None:
    """See that synthesisers can read a text, and that a folder can be called by it."""
    letters = [character for character in text if character not in " '-"]
    latin = all(
        character.isdecimal() or unicodedata.name(character, "").startswith("LATIN ") for character in letters
    )
    if not letters or not latin or not text[0].isalnum() or len(text) > _LONGEST:
        raise SnnVoiceError(f"{typed!r} is no word or phrase", hint=_HINT)
