"""Words and phrases said by every synthesiser that is here, as clips to train with.

>>> from snn_voice_hub.training import synthesize
>>> made = synthesize(["hey robot", "lumos"], "said", count=200, neighbours=100)
>>> made.words[0].kept, made.neighbours_folder
(200, PosixPath('said-neighbours'))
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from snn_voice_hub.config import MAX_THREADS, check_int, check_number
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.voices.batches import ClipFolder, Show, Spoken, fill
from snn_voice_hub.training.voices.engines import chosen_engines
from snn_voice_hub.training.voices.kokoro import Kokoro
from snn_voice_hub.training.voices.neighbours import WORDS, beside
from snn_voice_hub.training.voices.orders import ClipOrder
from snn_voice_hub.training.voices.phonemes import written
from snn_voice_hub.training.voices.pronouncing import Lexicon, Phrase
from snn_voice_hub.training.voices.recognising import Recogniser
from snn_voice_hub.training.voices.sentences import sentences as other_speech
from snn_voice_hub.training.voices.synthesiser import COUNT, MAX_SECONDS, Synthesiser
from snn_voice_hub.training.voices.wishes import wishes

# As training reads them: what stands before `_nohash_` is the speaker.
_CLIP = "{text}/{voice}_nohash_{number}.wav"
_NEIGHBOUR = WORDS + "/{text}_{voice}_nohash_{number}.wav"
_SENTENCE = "speech/{text}_{voice}_nohash_{number}.wav"
# Of a negative that is longer than a model's window, training hears a piece.
_LONGEST_NEGATIVE = 5.0
# A program that starts and ends leaves a processor to others for some of the time.
_MOST_JOBS = 4

Folder = str | os.PathLike[str]


@dataclass(frozen=True)
class Synthesis:
    """What `synthesize` made.

    Attributes:
        folder: Of the clips, `word/clip.wav`.
        words: What became of each word, as they were given.
        neighbours_folder: Of what sounds like them and is not them, and of sentences, for `--negatives`; None
            where not wanted.
        neighbours: What became of each of those.
        sentences: What became of each sentence.
        engines: Who spoke.
        notes: What the user should know: what somebody could not say, and how words are said by guess.
    """

    folder: Path
    words: tuple[Spoken, ...]
    neighbours_folder: Path | None
    neighbours: tuple[Spoken, ...]
    sentences: tuple[Spoken, ...]
    engines: tuple[str, ...]
    notes: tuple[str, ...]


def synthesize(
    words: Iterable[str],
    folder: Folder,
    *,
    count: int = COUNT,
    engines: Sequence[str] = (),
    kokoro: Folder | None = None,
    max_seconds: float = MAX_SECONDS,
    check: Folder | None = None,
    neighbours: int = 0,
    sentences: int = 0,
    seed: int = 0,
    jobs: int | None = None,
    show: Show | None = None,
) -> Synthesis:
    """Let synthesisers say words and phrases.

    A clip has 16 kHz, begins with its word, and is as loud as the others. What is silent, clipped, too long
    or not understood is thrown away, and said again by another voice, a few times. A clip that is there is
    kept, so that a run which was cut off goes on; the same seed gives the same clips.

    Args:
        words: Words and phrases; with a pronunciation of CMUdict where its own is wrong:
            `"sheila=SH IY1 L AH0"`, `"hey sheila=HH EY1 | SH IY1 L AH0"`.
        folder: Where clips go, `word/<engine>-<voice>_nohash_<n>.wav`, and `synthesis.json`, which says how
            each was made. Neighbours go into a folder beside it, whose name ends in `-neighbours`.
        count: Clips a word.
        engines: Of `synthesiser.ENGINES`; none for all that are here.
        kokoro: Folder with `kokoro.onnx` and `voices`; None for that of
            `$SNN_VOICE_KOKORO`, or what `snn-voice voices` fetched.
        max_seconds: How long a clip may be: the model's window.
        check: Folder of Whisper, which has to understand each clip; None for no check.
        neighbours: Clips, for each word, of what sounds like it and is not it. Of a phrase, a quarter are its
            parts alone.
        sentences: Clips of other speech that goes on, for all words together.
        seed: Of voices, speeds and pitches.
        jobs: So many speak at once; None for as many as there are processors, up to four.
        show: Shows how many of how many clips are done: takes the clips as they come, and passes them on.

    Raises:
        SnnVoiceError: A word is none, a synthesiser is not here or failed, or the folder can't be written or
            holds clips that were made otherwise.
        MissingExtraError: An extra is not installed: `[synth]` for Kokoro, neighbours and the check, and
            `[teacher]` for the check.
    """
    check_int("count", count, low=1)
    check_int("neighbours", neighbours, low=0)
    check_int("sentences", sentences, low=0)
    check_number("max_seconds", max_seconds, above=0.0)
    if jobs is not None:
        check_int("jobs", jobs, low=1, high=MAX_THREADS)
    wanted = wishes(words)
    speakers = chosen_engines(engines, None if kokoro is None else Path(kokoro))
    lexicon = Lexicon(wanted)
    if neighbours or sentences or check or any(isinstance(one, Kokoro) for one in speakers):
        wanted = [said if said.by_hand else lexicon.of(said.text) for said in wanted]
    notes = [
        f"{word!r} is not in CMUdict; by espeak-ng it is said as {written([sounds])}"
        for word, sounds in lexicon.guessed.items()
    ]
    recogniser = None if check is None else _recogniser(Path(check), lexicon)
    target, beside_it = Path(folder), None
    orders = []
    for said in wanted:
        able = _able(said, speakers, notes)
        orders.append((ClipOrder(said, able, seed, max_seconds, _CLIP, recogniser), count))
    batches = [ClipFolder(target, orders)]
    texts = _beside(wanted, lexicon, neighbours, notes) if neighbours else Counter()
    running = other_speech(wanted, lexicon, sentences, seed) if sentences else []
    if texts or running:
        # What is called "." or ".." has another name.
        beside_it = Path(f"{target if target.name not in ('', '..') else target.resolve()}-neighbours")
        orders = []
        for text, times, name in [
            *((text, times, _NEIGHBOUR) for text, times in texts.items()),
            *((text, 1, _SENTENCE) for text in running),
        ]:
            said = lexicon.of(text)
            able = _able(said, speakers, [])
            orders.append((ClipOrder(said, able, seed, _LONGEST_NEGATIVE, name), times))
        batches.append(ClipFolder(beside_it, orders, negatives=True))
    fill(batches, jobs or min(_MOST_JOBS, os.cpu_count() or 1), show)
    names = tuple(one.name for one in speakers)
    others = batches[1].spoken() if beside_it else ()
    return Synthesis(
        target,
        batches[0].spoken(),
        beside_it,
        others[: len(texts)],
        others[len(texts) :],
        names,
        tuple(notes),
    )


def _beside(wanted: Sequence[Phrase], lexicon: Lexicon, count: int, notes: list[str]) -> Counter[str]:
    """What is to be said beside all words, and how often; where that is nothing, it is noted."""
    texts: Counter[str] = Counter()
    for said in wanted:
        alike = beside(said, wanted, lexicon, count) if said.known else {}
        texts += Counter(alike)
        if not alike:
            why = "no common word sounds like it" if said.known else "nobody knows how it is said"
            notes.append(f"{said.text!r} has no neighbours: {why}")
    return texts


def _recogniser(folder: Path, lexicon: Lexicon) -> Recogniser:
    # It needs PyTorch, which whoever only wants clips need not wait for.
    from snn_voice_hub.training.fitting.whisper.transcript import Transcriber

    whisper = Transcriber(folder)
    return Recogniser(whisper.name, whisper, lexicon)


def _able(said: Phrase, speakers: Sequence[Synthesiser], notes: list[str]) -> list[Synthesiser]:
    """Those that can say something; of the others it is noted why not.

    Raises:
        SnnVoiceError: Nobody can.
    """
    reasons = {one.name: one.can_say(said) for one in speakers}
    notes += [f"{said.text!r} is not said by {name}: it {why}" for name, why in reasons.items() if why]
    able = [one for one in speakers if not reasons[one.name]]
    if not able:
        why = ", ".join(f"{name} {why}" for name, why in reasons.items())
        raise SnnVoiceError(f"nobody here can say {said.text!r}: {why}", hint="another --engine")
    return able
