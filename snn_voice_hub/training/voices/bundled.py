"""What the bundled models were trained with, clip for clip: words as the synthesisers write them.

`python -m snn_voice_hub.training.voices.bundled words FOLDER` writes the words of Speech Commands by
espeak-ng, flite and festival with its three voices, `… kokoro FOLDER --kokoro KOKORO` those by Kokoro, and
`… others FOLDER` words that are none of them, as negatives. For words of your own, `snn-voice synthesize`.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from snn_voice_hub.audio import load
from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.corpus import COMMANDS, COVERED, FEWER
from snn_voice_hub.training.clips.negatives import INDEX
from snn_voice_hub.training.voices.kokoro import SAMPLE_RATE, Kokoro, KokoroModel, kokoro_folder
from snn_voice_hub.training.voices.neighbours import (
    WORDS,
    as_negative,
    common_words,
    index_of,
    neighbours,
    strangers,
)
from snn_voice_hub.training.voices.programs import PROGRAMS, Espeak, Flite, SpeakingProgram
from snn_voice_hub.training.voices.pronouncing import Lexicon, Phrase
from snn_voice_hub.training.voices.sound import as_wav
from snn_voice_hub.training.voices.synthesiser import Speaker
from snn_voice_hub.writing import replacing, write_whole, writing_into

_HINT = "apt-get install espeak-ng flite festival"
_ELSEWHERE = "another folder"


def speak_words(
    counts: Mapping[str, int], folder: Path, seed: int = 0, *, programs: Sequence[SpeakingProgram] = ()
) -> Iterator[Path]:
    """Write `counts[word]` utterances of each word to `folder/word/<program>_nohash_<n>.wav`, as they come.

    A file that is there already is kept, so an interrupted run goes on where it stopped.

    Args:
        counts: Utterances a word.
        folder: Where to write.
        seed: Same seed, same utterances.
        programs: Which of `PROGRAMS` speak; none for all that are here.

    Yields:
        The path of each utterance.

    Raises:
        SnnVoiceError: No synthesiser is installed, one failed, or the folder can't be written.
    """
    programs = programs or [one for one in PROGRAMS if one.here]
    if not programs:
        raise SnnVoiceError("no speech synthesiser found", hint=_HINT)
    for word, count in counts.items():
        said = Phrase(word)
        with writing_into(folder, _ELSEWHERE):
            (folder / word).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            rng = random.Random(f"{seed}/{word}/{n}")
            one = rng.choices(programs, [one.share for one in programs])[0]
            path = folder / word / f"{one.program}_nohash_{n}.wav"
            if not path.exists():
                _say(one, said, one.draw(said, rng), path)
            yield path


def _say(one: SpeakingProgram, said: Phrase, voice: Speaker, path: Path) -> None:
    """Have a program say something into a file that is whole or absent: one that is there is taken for whole.

    Raises:
        SnnVoiceError: It fails, or the file can't be written.
    """
    with writing_into(path.parent, _ELSEWHERE), replacing(path) as part:
        one.say(said, voice, part)
        load(part)  # such a program may not notice that the disk is full


def utterances(word: str) -> int:
    """How many utterances of a word there are by these: the fewer recordings, the more.

    Of the others there are enough that such a voice does not mean "none of the words", as most of the single
    words in which the networks learned what is none are by synthesisers too.
    """
    return 150 if word in COVERED and word not in FEWER else 300


def speak_by_kokoro(
    model: KokoroModel,
    said: Mapping[str, Sequence[Sequence[str]]],
    counts: Mapping[str, int],
    folder: Path,
    seed: int = 0,
) -> Iterator[Path]:
    """Write `counts[word]` utterances of each word to `folder/word/kokoro-<voice>_nohash_<n>.wav`.

    Args:
        model: Speaks: each voice once, then people between two of them, all at speeds of their own.
        said: How each word is said, by CMUdict.
        counts: Utterances a word.
        folder: Where to write; a file that is there already is kept.
        seed: Same seed, same utterances.

    Yields:
        The path of each utterance.
    """
    for word, count in counts.items():
        rng = random.Random(f"{seed}/{word}")
        order = rng.sample(model.voices, len(model.voices))
        for n in range(count):
            two = "+".join(sorted(rng.sample(model.voices, 2)))
            voice = order[n] if n < len(order) else two
            speed, sounds = rng.uniform(0.75, 1.3), rng.choice(said[word])
            path = folder / word / f"kokoro-{voice}_nohash_{n}.wav"
            if not path.exists():
                with writing_into(folder, _ELSEWHERE):
                    path.parent.mkdir(parents=True, exist_ok=True)
                wave = model([tuple(sounds)], voice, speed)
                write_whole(path, as_wav(wave, SAMPLE_RATE), hint=_ELSEWHERE)
            yield path


def utterances_by_kokoro(word: str) -> int:
    """How many utterances of a word there are by Kokoro.

    Most of the two commands of which there are few recordings; some of every word, or the network would learn
    that such a voice says rare words.
    """
    if word in FEWER and word in COMMANDS:
        return 270
    return 27 if word in COVERED and word not in FEWER else 40


def others(said: Mapping[str, Sequence[Sequence[str]]], common: Sequence[str], seed: int = 0) -> list[str]:
    """Words that are none of Speech Commands': each neighbour by its nearness a few times, common ones once.

    Args:
        said: How words are said, by CMUdict.
        common: Words to choose from.
        seed: Of the order, and of which are left out.
    """
    near = neighbours(SPEECH_COMMANDS, said, common)
    rng = random.Random(seed)
    chosen = [word for word, far in near.items() if far == 1 for _ in range(3)]
    further = [word for word, far in near.items() if far == 2]
    chosen += rng.sample(further, min(len(further), 1500))
    chosen += strangers(SPEECH_COMMANDS, said, common[:3000])
    rng.shuffle(chosen)
    return chosen


def speak_others(words: Sequence[str], folder: Path, seed: int = 0) -> int:
    """Say each word by a voice of its own, and write the index that `training.clips.negatives` reads.

    A file that is there already is kept, so an interrupted run goes on where it stopped.

    Args:
        words: What to say; one that stands there twice is said by two voices.
        folder: Where to write.
        seed: Same seed, same utterances.

    Returns:
        How many there are.

    Raises:
        SnnVoiceError: No synthesiser is installed, one failed, or the folder can't be written.
    """
    # festival takes a second to start, for each word.
    programs = [one for one in (Espeak(), Flite()) if one.here]
    if not programs:
        raise SnnVoiceError("no speech synthesiser found", hint=_HINT)
    with writing_into(folder, _ELSEWHERE):
        (folder / WORDS).mkdir(parents=True, exist_ok=True)
    items = []
    times: defaultdict[str, int] = defaultdict(int)
    for word in words:
        n = times[word]
        times[word] += 1
        rng = random.Random(f"{seed}/{word}/{n}")
        one = rng.choice(programs)
        path, said = folder / WORDS / f"{word}_{n}.wav", Phrase(word)
        voice = one.draw(said, rng)
        if not path.exists():
            _say(one, said, voice, path)
        items.append(as_negative(f"{WORDS}/{path.name}", word, one.name, f"{one.name}-{voice.name}"))
    about = "single words by synthesisers; none of them is a word of Speech Commands"
    write_whole(folder / INDEX, index_of(about, items), hint=_ELSEWHERE)
    return len(items)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=__doc__)
    parser.add_argument("what", choices=("words", "kokoro", "others"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kokoro", type=Path, help="folder with kokoro.onnx and voices")
    given = parser.parse_args(argv)
    try:
        print(f"{_made(given.what, given.folder, given.kokoro)} utterances in {given.folder}")
    except SnnVoiceError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")


def _made(what: str, folder: Path, kokoro: Path | None) -> int:
    if what == "words":
        return sum(1 for _ in speak_words({word: utterances(word) for word in SPEECH_COMMANDS}, folder))
    said = Lexicon().listed
    if what == "others":
        return speak_others(others(said, common_words()), folder)
    if (files := kokoro_folder(kokoro)) is None:
        raise SnnVoiceError("Kokoro's folder is not named", hint="--kokoro FOLDER")
    counts = {word: utterances_by_kokoro(word) for word in SPEECH_COMMANDS}
    return sum(1 for _ in speak_by_kokoro(Kokoro(files).model, said, counts, folder))


if __name__ == "__main__":
    main()
