"""Clips cut from negatives: windows to validate with, and the rare words that some of them hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from snn_voice_hub.config import UNKNOWN, is_word
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.negatives import Negatives, NegativeSound
from snn_voice_hub.training.clips.sources import Dataset

# Who speaks longest is not to decide what is chosen.
_MOST_WINDOWS = 12
# Seconds around a word that are kept, and over which the sound goes away.
_KEPT = 0.1
_FADE = 0.05


class Divided(NamedTuple):
    """Clips and negatives, divided into what is learned from and what is not.

    Attributes:
        dataset: The clips: rare words of the negatives joined those to learn from, windows of other speech
            those to validate with.
        learned: The negatives to learn from.
        kept: Those that nothing is learned from: by them the operating point is chosen.
    """

    dataset: Dataset
    learned: Negatives
    kept: Negatives


def with_negatives(
    dataset: Dataset, negatives: Negatives, *, num_samples: int, share: float, unknown: bool
) -> Divided:
    """Add to labelled clips what negatives have for them.

    Args:
        dataset: Clips of words.
        negatives: Other sound.
        num_samples: Length of a clip.
        share: How much of the negatives is kept to validate with.
        unknown: Whether the class `_unknown_` is learned.
    """
    learned, kept = negatives.divided(share)
    labels = sorted(set(dataset.train.labels))
    train = joined(dataset.train, rare_words(learned, labels, num_samples))
    val = joined(dataset.val, windows(kept, labels, num_samples)) if unknown else dataset.val
    skipped = [*dataset.skipped, *negatives.skipped]
    facts = [*dataset.facts, *learned.facts()]
    return Divided(replace(dataset, train=train, val=val, skipped=skipped, facts=facts), learned, kept)


def rare_words(negatives: Negatives, labels: Collection[str], num_samples: int) -> Clips:
    """The words in utterances that were chosen for them (kind `thin`), each in the middle of a clip.

    What is said around it is cut away: of words with their surroundings, a network that knows isolated ones
    recognises a fifth less. `augmentation.context` puts other speech there.

    Args:
        negatives: Where they are.
        labels: The model's words.
        num_samples: Length of a clip.
    """
    words = {label for label in labels if is_word(label)}
    rows: list[npt.NDArray[np.int16]] = []
    found: list[str] = []
    names: list[str] = []
    for sound in negatives.of_kind("thin"):
        if set(sound.untimed) & words:
            continue
        for word, start, end in sound.times:
            if word in words:
                rows.append(_cut(sound, start, end, num_samples, negatives.sample_rate))
                found.append(word)
                names.append(f"{word}/{sound.name}@{start:g}")
    waveforms = np.stack(rows) if rows else np.zeros((0, num_samples), np.int16)
    return Clips(waveforms, found, names, [])


def _cut(
    sound: NegativeSound, start: float, end: float, num_samples: int, rate: int
) -> npt.NDArray[np.int16]:
    middle = (start + end) / 2
    first = round(middle * rate) - num_samples // 2
    out = np.zeros(num_samples, np.float32)
    low, high = max(first, 0), min(first + num_samples, len(sound.wave))
    out[low - first : high - first] = sound.wave[low:high]
    time = (np.arange(num_samples, dtype=np.float32) + first) / rate
    out *= np.minimum(time - (start - _KEPT), end + _KEPT - time).clip(0, _FADE) / _FADE
    return np.round(out).astype(np.int16)


def windows(negatives: Negatives, labels: Collection[str], num_samples: int) -> Clips:
    """Other speech as clips of `_unknown_`, evenly from the speech of everybody; single words as a whole.

    Args:
        negatives: Where it is.
        labels: The model's words, which are in none of the clips.
        num_samples: Length of a clip.
    """
    rows: list[npt.NDArray[np.int16]] = []
    names: list[str] = []
    counted: Counter[str] = Counter()
    for span in negatives.spans(labels):
        sound = negatives.sounds[span.sound]
        size = span.end - span.start
        # A word that is longer than a clip is cut at its end.
        count = 1 if span.single else max(1, size // num_samples)
        for i in range(count):
            if counted[sound.unit] == _MOST_WINDOWS:
                break
            counted[sound.unit] += 1
            start = span.start + i * num_samples
            piece = sound.wave[start : min(start + num_samples, span.end)]
            row = np.zeros(num_samples, np.int16)
            begin = (num_samples - len(piece)) // 2
            row[begin : begin + len(piece)] = piece
            rows.append(row)
            names.append(f"{UNKNOWN}/{sound.name}@{start / negatives.sample_rate:g}")
    waveforms = np.stack(rows) if rows else np.zeros((0, num_samples), np.int16)
    return Clips(waveforms, [UNKNOWN] * len(rows), names, [])


def joined(clips: Clips, more: Clips) -> Clips:
    """Clips of one rate and length, and more of them behind."""
    if not len(more):
        return clips
    return Clips(
        np.concatenate([clips.waveforms, more.waveforms]),
        [*clips.labels, *more.labels],
        [*clips.names, *more.names],
        clips.skipped,
    )
