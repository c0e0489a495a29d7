"""Logits -> scores -> what a user reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from snn_voice_lite.config import check_bool, check_choice, check_int, check_number, is_word
from snn_voice_lite.errors import AudioError

Floats = npt.NDArray[np.float32]

FUNCTIONS = ("softmax", "sigmoid", "none")


@dataclass(frozen=True)
class Prediction:
    """One label and its score.

    Attributes:
        label: A word, or a class such as `_silence_`.
        score: Probability, 0 to 1 (under `function_to_apply="none"`: a logit).
        steps: With `early_exit`, how many time steps were run; of a longer clip, in the window with most.
    """

    label: str
    score: float
    steps: int | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Window:
    """The answer for one window of a longer clip.

    Attributes:
        start: Where the window begins, in seconds.
        end: Where it ends, in seconds.
        predictions: Best labels first.
    """

    start: float
    end: float
    predictions: list[Prediction]


def check_asked(*, top_k: int, min_score: float | None, words_only: bool, function_to_apply: str) -> None:
    """Refuse what can't be asked of scores; `SnnVoice.classify` says what the arguments mean.

    Raises:
        ConfigError: An argument is not legal.
    """
    check_int("top_k", top_k, low=1)
    check_choice("function_to_apply", function_to_apply, FUNCTIONS)
    if min_score is not None:
        if function_to_apply == "none":  # a logit may be any number
            check_number("min_score", min_score)
        else:
            check_number("min_score", min_score, low=0.0, high=1.0)
    check_bool("words_only", words_only)


def softmax(values: Floats) -> Floats:
    """Shares `[..., C]` of values `[..., C]`."""
    powers = np.exp(values - values.max(-1, keepdims=True))
    found: Floats = powers / powers.sum(-1, keepdims=True)
    return found


def scores(logits: Floats, temperature: float, function: str) -> Floats:
    """Scores `[..., C]` of logits `[..., C]`, by one of `FUNCTIONS`."""
    if function == "none":
        return logits
    scaled = logits / np.float32(temperature)
    if function == "softmax":
        return softmax(scaled)
    # By an exponential that can't overflow: of minus the magnitude.
    small = np.exp(-np.abs(scaled))
    found: Floats = np.where(scaled < 0, small, np.float32(1)) / (np.float32(1) + small)
    return found


def combine(windows: Floats, labels: Sequence[str]) -> Floats:
    """Scores of a clip from those of its windows.

    A word is there if any window holds it: the maximum. No word is there only if no window holds one: the
    minimum of what silence and all other classes that are no word have together. It is divided among them as
    it is in the mean of the windows.

    Args:
        windows: `[W, C]`.
        labels: C labels.

    Returns:
        `[C]`; the scores of several windows need not sum to 1.
    """
    if len(windows) == 1:
        only: Floats = windows[0]
        return only
    word = np.array([is_word(label) for label in labels])
    none = np.where(word, np.float32(0), windows)
    mean = none.mean(0)
    shares = mean / max(mean.sum(), np.float32(1e-12))
    found: Floats = np.where(word, windows.max(0), none.sum(1).min() * shares)
    return found


def clearest(windows: Sequence[Window]) -> int:
    """Which window holds the word with the best score; the first one where none holds a word.

    Args:
        windows: At least one, each with its best labels first.
    """
    found = [max((p.score for p in w.predictions if is_word(p.label)), default=-math.inf) for w in windows]
    return found.index(max(found))


def best(
    row: Floats,
    labels: Sequence[str],
    top_k: int,
    min_score: float | None,
    words_only: bool = False,
    *,
    steps: int | None = None,
) -> list[Prediction]:
    """The best labels of a clip or window, best first, equal ones in the labels' order.

    Args:
        row: Scores `[C]`.
        labels: C labels.
        top_k: At most so many, of those that the next two leave.
        min_score: Words of at least this score only; None for every label.
        words_only: Labels that are words only; scores stay as they are.
        steps: The time steps that were run, to be told.
    """
    order = np.argsort(-row, kind="stable")
    ranked = [
        Prediction(labels[i], value, steps)
        for value, i in zip(row[order].tolist(), order.tolist(), strict=True)
    ]
    if min_score is not None:
        ranked = [p for p in ranked if p.score >= min_score]
    if words_only or min_score is not None:  # no word is no answer to "which words are at least so likely"
        ranked = [p for p in ranked if is_word(p.label)]
    return ranked[:top_k]


def too_loud(what: str) -> AudioError:
    """The error on a clip to which a sound network gives scores that are not finite."""
    return AudioError(
        f"{what} is so loud that its scores are not finite", hint="full scale is 1.0", code="not_finite"
    )
