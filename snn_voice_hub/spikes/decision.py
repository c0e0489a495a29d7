"""How the answer comes about: the scores after each time step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from snn_voice_hub.config import is_word, meaning
from snn_voice_hub.inference.answers import extrapolated, scores
from snn_voice_hub.notation import percent


def running_sums(logits: Tensor, newest: int | None = None) -> Tensor:
    """The logits after each step.

    Args:
        logits: What each step adds, `[T, ..., C]`.
        newest: Of how many outputs an answer is the sum, where the time steps are those of the sound; all of
            them where they are not.

    Returns:
        `[T, ..., C]`.
    """
    if newest is None:
        return logits.cumsum(0)
    sums = logits.double().cumsum(0)  # of whose differences float32 would keep few digits
    sums[newest:] -= sums[:-newest].clone()
    return sums.to(logits.dtype)


def running_scores(logits: Tensor, temperature: float, newest: int | None = None) -> Tensor:
    """The answer after each step, from the steps so far; see `inference.answers.extrapolated`.

    Where the time steps are those of the sound it is what a stream says after each of them: the sum of the
    newest outputs, and at the beginning of those that there are.

    Args:
        logits: What each step adds, `[T, ..., C]`.
        temperature: The model's.
        newest: See `running_sums`.

    Returns:
        Probabilities `[T, ..., C]`; the last ones are those of `classify`.
    """
    sums = running_sums(logits, newest)
    if newest is not None:
        return scores(sums, temperature, "softmax")
    return torch.stack(
        [
            scores(extrapolated(so_far, t, len(sums)), temperature, "softmax")
            for t, so_far in enumerate(sums, 1)
        ]
    )


def settled(scores: Tensor) -> int:
    """The first step, from 1 to T, from which on the best word is the final one.

    Args:
        scores: Of one clip, `[T, C]`.
    """
    best = scores.argmax(-1)
    wrong = (best != best[-1]).nonzero()
    return int(wrong[-1]) + 2 if len(wrong) else 1


class Decision(NamedTuple):
    """The answer to one clip.

    Attributes:
        label: The best word.
        score: Its probability after the last step.
        since: The first step, from 1, from which on it is the best.
        steps: Number of steps T.
    """

    label: str
    score: float
    since: int
    steps: int

    def __str__(self) -> str:
        return f"{quoted(self.label)} {percent(self.score)}"


def quoted(label: str) -> str:
    """A label within a sentence: a word in quotation marks, or what stands for no word."""
    return f"“{label}”" if is_word(label) else meaning(label)


def decide(logits: Tensor, labels: Sequence[str], temperature: float, newest: int | None = None) -> Decision:
    """The answer to one clip, and when it was there.

    Args:
        logits: What each step adds, `[T, C]`.
        labels: C labels.
        temperature: The model's.
        newest: See `running_sums`.
    """
    running = running_scores(logits, temperature, newest)
    best = int(running[-1].argmax())
    return Decision(labels[best], float(running[-1, best]), settled(running), len(running))
