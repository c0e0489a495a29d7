"""What a lesson learns from: recordings and synthetic clips, divided by who speaks, and other sound."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from snn_voice_hub.config import UNKNOWN
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.cutting import joined, with_negatives
from snn_voice_hub.training.clips.data import Clips, Reader, check_readable
from snn_voice_hub.training.clips.negatives import Negatives, read_negatives
from snn_voice_hub.training.clips.sources import Dataset
from snn_voice_hub.training.clips.splits import by_speaker, by_word, position, speakers_of
from snn_voice_hub.training.clips.synthetic import facts_of_folder
from snn_voice_hub.training.lessons.noise import computed_noises, computed_rooms

# Of the speakers of each kind; and of the other sound, by a part of which thresholds are told apart.
_KEPT: Final = 0.15
_KEPT_RECORDINGS: Final = 0.2
_KEPT_OTHERS: Final = 0.25
_MOST_WINDOWS: Final = 400
# Minutes of each kind that are listened to at the end: hours would take minutes and tell little more.
_LISTENED: Final = {"speech": 30.0, "thin": 5.0, "words": 6.0, "noise": 10.0, "music": 5.0}


@dataclass(frozen=True)
class Material:
    """What is learned from, and what is kept to judge by.

    Attributes:
        dataset: Clips of people, or of machines where there are none of people; those to validate with are
            of both.
        synthetic: Clips of machines beside those of people; None where there are none.
        learned: Other sound to learn from.
        kept: Other sound to choose the operating point by.
        held_back: Of those to validate with, the clips of each kind: "recordings", "synthetic voices".
        recorded: How many recordings are learned from.
    """

    dataset: Dataset
    synthetic: Clips | None
    learned: Negatives
    kept: Negatives
    held_back: dict[str, Clips]
    recorded: int


def gather(
    recordings: Clips,
    said: Path | None,
    others: Sequence[Path],
    *,
    words: Sequence[str],
    sample_rate: int,
    num_samples: int,
    unknown: bool,
    seed: int,
) -> Material:
    """Read what there is, and divide it by who speaks.

    Args:
        recordings: Of people; may be none.
        said: Folder of the synthetic clips; None where there are none.
        others: Folders of other sound.
        words: That are taught.
        sample_rate: Of all, in Hz.
        num_samples: Length of a clip.
        unknown: Whether the model has a class for other speech.
        seed: Of the division.

    Raises:
        SnnVoiceError: Something can't be read, or a word has no clip.
    """
    machines = _none(num_samples)
    if said is not None:
        machines = check_readable(Reader(sample_rate, num_samples, None).read(said), said).clips
    people, people_kept = _divided(centred(recordings), _KEPT_RECORDINGS, seed)
    voices, voices_kept = _divided(centred(machines), _KEPT, seed)
    for word in words:
        if word not in people.labels and word not in voices.labels:
            raise SnnVoiceError(
                f"there are too few clips of {word!r}", hint="two or more, or synthetic ones beside them"
            )
    # A word of which nobody has recordings is learned from machines alone.
    alone = np.array([label not in people.labels for label in voices.labels], bool)
    train = joined(people, voices.pick(np.flatnonzero(alone)))
    beside = voices.pick(np.flatnonzero(~alone))
    facts = []
    if len(people):
        facts.append({"name": f"own recordings ({len(people):,} training clips)"})
    if len(voices) and said is not None:
        about = facts_of_folder(said)
        title = about.get("name", "synthetic words")
        facts.append({**about, "name": f"{title} ({len(voices):,} training clips)"})
    dataset = Dataset(
        train,
        joined(people_kept, voices_kept),
        None,
        {},
        list(recordings.skipped),
        "by speaker and by synthetic voice",
        facts,
    )
    sound = read_negatives(others, sample_rate=sample_rate) if others else Negatives((), sample_rate)
    computed = *computed_noises(sample_rate, seed), *computed_rooms(sample_rate, seed)
    sound = dataclasses.replace(sound, sounds=(*sound.sounds, *computed))
    dataset, learned, kept = with_negatives(
        dataset, sound, num_samples=num_samples, share=_KEPT_OTHERS, unknown=unknown
    )
    kept = _thinned(kept)
    dataset = dataclasses.replace(dataset, val=_fewer_windows(dataset.val))
    held = {"recordings": people_kept, "synthetic voices": voices_kept}
    return Material(
        dataset,
        beside if len(beside) else None,
        learned,
        kept,
        {name: clips for name, clips in held.items() if len(clips)},
        len(people),
    )


def centred(clips: Clips) -> Clips:
    """Clips whose words stand in the middle, where they stood at the beginning.

    In a stream a word is heard as soon as it is over, at the very end of a window. Shifted either way from
    the middle it is met everywhere in it; from the beginning it would be shifted out of it.
    """
    waveforms = np.zeros_like(clips.waveforms)
    for row, wave in zip(waveforms, clips.waveforms, strict=True):
        sound = np.flatnonzero(wave)
        if len(sound):
            begin, end = sound[0], sound[-1] + 1
            first = (len(wave) - (end - begin)) // 2
            row[first : first + end - begin] = wave[begin:end]
    return dataclasses.replace(clips, waveforms=waveforms)


def _thinned(kept: Negatives) -> Negatives:
    """Of each kind as much as is listened to, by an order that depends on the names alone."""
    left = {kind: 60 * minutes * kept.sample_rate for kind, minutes in _LISTENED.items()}
    chosen = set()
    for sound in sorted(kept.sounds, key=lambda sound: position(sound.name)):
        if left.get(sound.kind, 0) > 0:
            left[sound.kind] -= len(sound.wave)
            chosen.add(sound.name)
    return dataclasses.replace(kept, sounds=tuple(sound for sound in kept.sounds if sound.name in chosen))


def _fewer_windows(clips: Clips) -> Clips:
    """Clips with some of their windows of other speech: each epoch hears them all."""
    windows = [i for i, label in enumerate(clips.labels) if label == UNKNOWN]
    step = max(1, -(-len(windows) // _MOST_WINDOWS))
    left = set(windows) - set(windows[::step])
    return clips.pick([i for i in range(len(clips)) if i not in left]) if left else clips


def _none(num_samples: int) -> Clips:
    return Clips(np.zeros((0, num_samples), np.int16), [], [], [])


def _divided(clips: Clips, share: float, seed: int) -> tuple[Clips, Clips]:
    """Clips to learn from, and those of speakers who are kept; or of each word a part, of one speaker."""
    if not len(clips):
        return clips, clips
    speakers = speakers_of(clips.names, [""] * len(clips))
    kept = by_speaker(clips.names, clips.labels, speakers, share, seed) if any(speakers) else None
    if kept is None:
        kept = by_word(clips.names, clips.labels, share, seed)
    index = np.array(kept)
    return clips.pick(np.flatnonzero(~index)), clips.pick(np.flatnonzero(index))
