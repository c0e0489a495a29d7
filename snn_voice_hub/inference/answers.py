"""Logits -> scores -> what a user reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from snn_voice_hub.config import is_word

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


def scores(logits: Tensor, temperature: float, function: str) -> Tensor:
    """Scores `[..., C]` of logits `[..., C]`, by one of `FUNCTIONS`."""
    scaled = logits / temperature
    if function == "softmax":
        return scaled.softmax(-1)
    return scaled.sigmoid() if function == "sigmoid" else logits


def extrapolated(logits: Tensor, steps: int, num_steps: int) -> Tensor:
    """The logits of all steps, from those of the first ones: as if each later step added as much.

    The temperature was fitted for the sum over all steps. At this scale it holds for the first few as well.

    Args:
        logits: Sum over the first steps, of any shape.
        steps: How many these are.
        num_steps: How many there are in all, T.
    """
    return logits * (num_steps / steps)


def combine(windows: Tensor, labels: Sequence[str]) -> Tensor:
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
        return windows[0]
    word = torch.tensor([is_word(label) for label in labels], device=windows.device)
    none = windows.masked_fill(word, 0.0)
    shares = none.mean(0) / none.mean(0).sum().clamp_min(1e-12)
    return torch.where(word, windows.amax(0), none.sum(1).amin() * shares)


def clearest(windows: Sequence[Window]) -> int:
    """Which window holds the word with the best score; the first one where none holds a word.

    Args:
        windows: At least one, each with its best labels first.
    """
    found = [max((p.score for p in w.predictions if is_word(p.label)), default=-math.inf) for w in windows]
    return found.index(max(found))


def best(
    row: Tensor,
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
    values, order = row.sort(descending=True, stable=True)
    pairs = zip(values.tolist(), order.tolist(), strict=True)
    ranked = [Prediction(labels[i], value, steps) for value, i in pairs]
    if min_score is not None:
        ranked = [p for p in ranked if p.score >= min_score]
    if words_only or min_score is not None:  # no word is no answer to "which words are at least so likely"
        ranked = [p for p in ranked if is_word(p.label)]
    return ranked[:top_k]
