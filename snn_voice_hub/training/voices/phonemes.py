"""The phonemes of CMUdict, and what espeak-ng calls them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from snn_voice_hub.errors import SnnVoiceError

Sounds = tuple[str, ...]

_VOWELS: Mapping[str, str] = {
    **{"AA": "A:", "AE": "a", "AH": "V", "AO": "O:", "AW": "aU", "AY": "aI", "EH": "E", "ER": "3:"},
    **{"EY": "eI", "IH": "I", "IY": "i:", "OW": "oU", "OY": "OI", "UH": "U", "UW": "u:"},
}
_CONSONANTS: Mapping[str, str] = {
    **{"B": "b", "CH": "tS", "D": "d", "DH": "D", "F": "f", "G": "g", "HH": "h", "JH": "dZ", "K": "k"},
    **{"L": "l", "M": "m", "N": "n", "NG": "N", "P": "p", "R": "r", "S": "s", "SH": "S", "T": "t"},
    **{"TH": "T", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "Z"},
}
_WITHOUT_STRESS = {"AH": "@", "ER": "3"}
_STRESSES = {"1": "'", "2": ","}

# What its American voice says besides those.
_MORE: Mapping[str, Sounds] = {
    **{"0": ("AA",), "aa": ("AE",), "a#": ("AH",), "i": ("IY",), "O": ("AO",), "?": ("T",), "x": ("K",)},
    **{"@L": ("AH", "L"), "n-": ("AH", "N"), "A@": ("AA", "R"), "O@": ("AO", "R"), "o@": ("AO", "R")},
    **{"e@": ("EH", "R"), "i@3": ("IH", "R"), "i@": ("IY", "AH"), "U@": ("UH", "R")},
    **{"aI3": ("AY", "ER"), "aI@": ("AY", "AH")},
}
_OF_ESPEAK = {
    **{own: (name,) for table in (_VOWELS, _CONSONANTS, _WITHOUT_STRESS) for name, own in table.items()},
    **_MORE,
}
# Around a phoneme: stress and its absence before it; a shade of it, which English does not tell, behind it.
_BEFORE, _BEHIND = "',%=|", ";-2#"


def parse(text: str) -> tuple[Sounds, ...]:
    """A pronunciation as it is typed: `SH IY1 L AH0`, with `|` between words.

    Raises:
        SnnVoiceError: It is none, or holds what is no phoneme of English.
    """
    words = tuple(tuple(part.upper().split()) for part in text.split("|"))
    if not all(words):
        raise SnnVoiceError(f"{text!r} is no pronunciation", hint="sheila=SH IY1 L AH0")
    for sound in (sound for word in words for sound in word):
        vowel = sound[:-1] if sound[-1] in "012" else sound
        if vowel not in _VOWELS and sound not in _CONSONANTS:
            raise SnnVoiceError(f"{sound!r} is no phoneme of CMUdict", hint="sheila=SH IY1 L AH0")
    return words


def written(words: Sequence[Sounds]) -> str:
    """A pronunciation as `parse` reads it."""
    return " | ".join(" ".join(sounds) for sounds in words)


def to_espeak(words: Sequence[Sounds]) -> str:
    """What stands for a pronunciation between espeak-ng's `[[` and `]]`."""
    return " ".join("".join(map(_to_espeak, sounds)) for sounds in words)


def _to_espeak(sound: str) -> str:
    name, stress = (sound[:-1], sound[-1]) if sound[-1] in "012" else (sound, "")
    plain = _WITHOUT_STRESS.get(name) if stress == "0" else None
    return _STRESSES.get(stress, "") + (plain or _VOWELS.get(name) or _CONSONANTS[name])


def of_espeak(text: str) -> Sounds | None:
    """What espeak-ng prints with `-x --sep=_`, in the phonemes of CMUdict; None where it is no English."""
    found: list[str] = []
    for symbol in re.split(r"[_\s]+", text.strip()):
        bare = symbol.lstrip(_BEFORE)
        if not bare.strip(_BEHIND):
            continue
        names = _OF_ESPEAK.get(bare) or _OF_ESPEAK.get(bare.rstrip(_BEHIND))
        if names is None:
            return None
        marks = symbol[: len(symbol) - len(bare)]
        stress = next((figure for figure, mark in _STRESSES.items() if mark in marks), "0")
        for name in names:
            if name == "R" and found[-1:] == ["R"]:  # the end of a vowel, and again by itself
                continue
            found.append(name + stress if name in _VOWELS else name)
            stress = "0" if name in _VOWELS else stress  # of two vowels in one symbol the first has it
    return tuple(found) or None
