"""Rows of a last layer from what the layers before it make of a few clips.

A word's prototype is the mean of its clips (J. Snell et al., "Prototypical networks for few-shot learning",
NeurIPS 2017). How far in its direction a sound lies, from the middle of all that was given, is linear in what
is heard, and so can be written as a row of a linear layer. NumPy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Parts into which the clips are divided, to be told by what was learned from the others.
_FOLDS: Final = 10
# Scale and middle of the scores where the clips do not tell, how far off they may be, and so many clips weigh
# as much: about what two to twenty clips each of five words ask for (`benchmarks/enrolling.py`).
_SCALE: Final = 10.0
_MIDDLE: Final = 0.38
_MIDDLE_OF_ONE: Final = 0.25
_SPREAD: Final = (0.5, 0.15)
_PRIOR: Final = 5.0
_SCALES: Final = np.geomspace(4.0, 40.0, 15)
_MIDDLES: Final = np.arange(0.1, 0.9, 0.04)


@dataclass(frozen=True)
class LastLayer:
    """A linear layer.

    Attributes:
        weight: `[C, H]`.
        bias: `[C]`.
    """

    weight: Floats
    bias: Floats

    def __call__(self, features: Floats) -> Floats:
        """`[n, C]` of features `[n, H]`."""
        out: Floats = features @ self.weight.T + self.bias
        return out

    def pick(self, which: Sequence[int]) -> LastLayer:
        """Some of its rows."""
        return LastLayer(self.weight[list(which)], self.bias[list(which)])

    def and_then(self, other: LastLayer) -> LastLayer:
        """These rows, and those of another layer behind them."""
        return LastLayer(np.concatenate([self.weight, other.weight]), np.concatenate([self.bias, other.bias]))

    def mean(self) -> LastLayer:
        """The mean of its rows, as one row; of none, zeros."""
        if not len(self.bias):
            return LastLayer(np.zeros((1, self.weight.shape[1])), np.zeros(1))
        return LastLayer(self.weight.mean(0, keepdims=True), self.bias.mean(keepdims=True))


@dataclass(frozen=True)
class Windows:
    """What is learned from.

    Attributes:
        features: `[n, H]`.
        targets: Number of the word in each, `[n]`; that of words, one more than the last, for no word.
        clips: Number of the clip that each was made of, `[n]`; of each word and of no word from 0 on.
        asked: Whether it is the clip as it was given, `[n]`.
        words: Number of words, W.
    """

    features: Floats
    targets: Ints
    clips: Ints
    asked: npt.NDArray[np.bool_]
    words: int


def learned(windows: Windows, which: npt.NDArray[np.bool_] | None = None) -> LastLayer:
    """How much of each word is in what is heard: about 1 for its clips, 0 in the middle of all.

    Each word counts alike, and so does what is no word.

    Args:
        windows: What is learned from.
        which: Those of them that count, `[n]`; None for all. Some of each word are, and of no word.
    """
    x, targets = windows.features, windows.targets
    if which is not None:
        x, targets = x[which], targets[which]
    means = np.stack([x[targets == target].mean(0) for target in range(windows.words + 1)])
    middle = means.mean(0)
    weight = means[:-1] - middle
    # One scale for all: what lies far from the middle is told from other speech more surely.
    weight /= max(float(np.square(weight).sum(1).mean()), 1e-12)
    return LastLayer(weight, -weight @ middle)


@dataclass(frozen=True)
class LeftOut:
    """What is said of windows by rows that were learned without them.

    Attributes:
        which: Indices of the windows, `[m]`.
        targets: See `Windows`, `[m]`.
        said: `[m, W]`.
    """

    which: Ints
    targets: Ints
    said: Floats


def left_out(windows: Windows) -> LeftOut:
    """What is said of each clip by rows that were learned without it; not of the only clip of a word."""
    parts = windows.clips % _FOLDS
    for target in range(windows.words + 1):
        own = windows.targets == target
        if windows.clips[own].max(initial=0) == 0:
            parts = np.where(own, -1, parts)
    order: Ints = np.flatnonzero((parts >= 0) & windows.asked)
    said = np.zeros((len(order), windows.words))
    for part in np.unique(parts[order]).tolist():
        asked = parts[order] == part
        said[asked] = learned(windows, parts != part)(windows.features[order[asked]])
    return LeftOut(order, windows.targets[order], said)


def measured(told: LeftOut, words: int, base: Floats, others: Floats, unknown: int) -> tuple[float, float]:
    """Scale and middle by which what rows say becomes logits: `base + scale * (said - middle)`.

    They are those by which windows that the rows were not learned from are told best, unless these are so few
    that they say little.

    Args:
        told: How such windows are told.
        words: Number of words, W.
        base: What words are held against, of these windows, `[m]`.
        others: Logits of the labels that are no word, `[m, L]`; there may be none.
        unknown: Which of those is `_unknown_`; -1 where none is.
    """
    # Where no label stands for it, what is no word tells nothing; nor does it alone.
    asked = (told.targets < words) | (unknown >= 0)
    if not (told.targets < words).any():
        return _SCALE, _MIDDLE_OF_ONE
    targets = told.targets[asked]
    column = np.where(targets < words, targets, words + unknown)
    counts = np.bincount(targets, minlength=words + 1)
    share = len(targets) / int(np.count_nonzero(counts)) / counts[targets]
    rows = np.arange(len(targets))
    best: tuple[float, float, float] = -np.inf, _SCALE, _MIDDLE
    for scale in _SCALES.tolist():
        for middle in _MIDDLES.tolist():
            away = np.log(scale / _SCALE) / _SPREAD[0], (middle - _MIDDLE) / _SPREAD[1]
            own = base[asked, np.newaxis] + scale * (told.said[asked] - middle)
            logits = np.concatenate([own, others[asked]], 1)
            value = float(share @ np.log(shares(logits)[rows, column] + 1e-12))
            value -= _PRIOR / 2 * float(np.square(away).sum())
            best = max(best, (value, scale, middle))
    return best[1:]


def shares(logits: Floats) -> Floats:
    """Softmax of logits `[n, C]`."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    out: Floats = powers / powers.sum(1, keepdims=True)
    return out
