"""Which clips are learned from and which are kept to validate with: pure functions of names and labels.

None of them depends on the order of the clips. A unit is what must not be torn apart: a speaker, or a
clip of which nobody knows the speaker.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.corpus import LISTS, speaker

PARTS = ("train", "val", "test")

_BUCKETS = 1 << 27


def position(unit: str, seed: int = 0) -> float:
    """Where a unit stands in [0, 1], by the rule of Speech Commands: its SHA-1, modulo 2^27.

    With seed 0 this is that corpus's own place of a speaker, so that the speakers below 0.1 are its
    validation speakers; another seed shuffles.
    """
    text = unicodedata.normalize("NFC", unit) if seed == 0 else f"{seed}/{unicodedata.normalize('NFC', unit)}"
    number = int(hashlib.sha1(text.encode("utf-8", "surrogatepass")).hexdigest(), 16)
    return number % _BUCKETS / (_BUCKETS - 1)


def speakers_of(names: Sequence[str], told: Sequence[str]) -> list[str]:
    """The speaker of each clip, "" where unknown: the one that was told, else what `_nohash_` names."""
    return [
        known or (speaker(name) if "_nohash_" in PurePosixPath(name).name else "")
        for name, known in zip(names, told, strict=True)
    ]


def by_speaker(
    names: Sequence[str], labels: Sequence[str], speakers: Sequence[str], share: float, seed: int = 0
) -> list[bool] | None:
    """Keep whole speakers to validate with.

    Speakers come by `position` until there are enough clips. Where that would leave a word without a
    training clip, its last speaker is learned from instead.

    Args:
        names: Of the clips.
        labels: Their words.
        speakers: Theirs; a clip of "" is a unit of its own.
        share: Of the clips that is wanted.
        seed: Another one is another draw.

    Returns:
        Whether each clip is for validation, or None where no such split leaves something on both sides.
    """
    units = [known or f"/{name}" for known, name in zip(speakers, names, strict=True)]
    place = {unit: (position(unit, seed), unit) for unit in units}
    sizes = Counter(units)
    kept = {unit for unit in place if place[unit][0] < share}
    got = sum(sizes[unit] for unit in kept)
    # The rule alone is right on average: with few speakers it may give none, or most of the clips.
    if not 0.5 * share * len(units) <= got <= 1.5 * share * len(units):
        kept = _first_few(sizes, place, share * len(units))
    voices: defaultdict[str, set[str]] = defaultdict(set)
    for unit, word in zip(units, labels, strict=True):
        voices[word].add(unit)
    for word in sorted(voices):
        if voices[word] <= kept:
            kept.discard(max(voices[word], key=place.__getitem__))
    return [unit in kept for unit in units] if kept and len(kept) < len(sizes) else None


def _first_few(sizes: Counter[str], place: Mapping[str, tuple[float, str]], wanted: float) -> set[str]:
    """The first units that bring a number of clips nearer; the smallest one where none does."""
    order = sorted(sizes, key=place.__getitem__)
    kept: set[str] = set()
    got = 0
    for unit in order:
        if abs(got + sizes[unit] - wanted) < abs(got - wanted):
            kept.add(unit)
            got += sizes[unit]
    return kept or {min(order, key=lambda unit: (sizes[unit], place[unit]))}


def by_word(names: Sequence[str], labels: Sequence[str], share: float, seed: int = 0) -> list[bool]:
    """Keep a share of each word's clips to validate with, at least one where there are two or more.

    Args:
        names: Of the clips.
        labels: Their words.
        share: Of the clips of each word.
        seed: Another one is another draw.

    Returns:
        Whether each clip is for validation.
    """
    of_word: defaultdict[str, list[tuple[float, str, int]]] = defaultdict(list)
    for i, (name, word) in enumerate(zip(names, labels, strict=True)):
        of_word[word].append((position(name, seed), name, i))
    kept: set[int] = set()
    for clips in of_word.values():
        if len(clips) > 1:
            count = max(1, min(len(clips) - 1, round(share * len(clips))))
            kept.update(i for _, _, i in sorted(clips)[:count])
    return [i in kept for i in range(len(names))]


def by_lists(names: Sequence[str], lists: Mapping[str, Sequence[str]]) -> list[str]:
    """The part of each clip as `validation_list.txt` and `testing_list.txt` say.

    A clip is known by its folder and its name without the ending, so that a corpus that was wrapped in a
    folder or converted to another format keeps its lists.

    Args:
        names: Of the clips.
        lists: Entries, `word/clip.wav`, of each file.

    Returns:
        "val", "test" or "train" for each clip.

    Raises:
        SnnVoiceError: A clip is in both lists, or a list names none of the clips.
    """
    own = [clip_key(name) for name in names]
    listed = {name: {clip_key(entry) for entry in lists.get(name, ())} for name in LISTS}
    validation, testing = (listed[name] for name in LISTS)
    both = sorted(validation & testing)
    if both:
        raise SnnVoiceError(f"{'/'.join(both[0])} is in both {LISTS[0]} and {LISTS[1]}", hint="one of them")
    for name, keys in listed.items():
        if keys and not keys.intersection(own):
            raise SnnVoiceError(
                f"{name} names none of the clips", hint="lines such as yes/anna_1.wav, relative to the list"
            )
    return ["val" if key in validation else "test" if key in testing else "train" for key in own]


def clip_key(name: str) -> tuple[str, str]:
    """Folder and name without the ending: what a clip is known by where it was wrapped or converted."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    return path.parent.name, path.stem
