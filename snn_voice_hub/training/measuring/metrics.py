"""Figures made of logits and true words: accuracy, calibration, precision and recall. Nothing is run here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snn_voice_hub.tensors import FLOAT32
from snn_voice_hub.training.clips.corpus import COVERED

Bools = npt.NDArray[np.bool_]

# Where a few clips are all right, or all wrong, the best temperature is 0 or infinite.
_TEMPERATURES = (0.05, 20.0)


def fit_temperature(logits: Tensor, targets: Tensor, prior: float = 0.0) -> float:
    """The temperature that minimises the cross-entropy on held-out clips (Guo et al., 2017).

    Args:
        logits: `[n, C]`.
        targets: Class of each clip, `[n]`.
        prior: How much speaks for a temperature of 1, in clips. A dozen clips that are all right would ask
            for a temperature of nearly 0, and so for scores of nearly 1 for whatever is heard.
    """
    log_t = torch.zeros(1, requires_grad=True, **FLOAT32)
    optimizer = torch.optim.LBFGS([log_t], lr=0.1, max_iter=100)

    def closure() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits / log_t.exp(), targets)
        loss = loss + prior / len(targets) * log_t.square().sum()
        torch.autograd.backward(loss)
        return float(loss.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    low, high = _TEMPERATURES
    return round(min(high, max(low, float(log_t.detach().exp()))), 4)


def expected_calibration_error(scores: Tensor, right: Tensor, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins of confidence, weighted by their clips."""
    index = (scores * bins).long().clamp(max=bins - 1)
    total = torch.zeros((), **FLOAT32)
    for b in torch.unique(index):
        inside = index == b
        total += (scores[inside].mean() - right[inside].float().mean()).abs() * inside.float().mean()
    return float(total)


def right_answers(logits: Tensor, words: Sequence[str], labels: Sequence[str], top: int = 1) -> Tensor:
    """Whether the true word is among the `top` best labels of each clip, `[n]`.

    A word that is not among the labels is never right.
    """
    index = {label: i for i, label in enumerate(labels)}
    targets = torch.tensor([index.get(word, -1) for word in words], device="cpu")
    return (logits.argsort(1, descending=True)[:, :top] == targets[:, None]).any(1)


def accuracy(
    logits: Tensor, words: Sequence[str], labels: Sequence[str], temperature: float
) -> dict[str, Any]:
    """Figures over labelled clips; a clip whose word the model does not know counts as wrong.

    Args:
        logits: `[n, C]`.
        words: The n true words.
        labels: The model's C labels.
        temperature: Of the model.

    Returns:
        Top-1, top-2 and top-5 over all clips, mean top-1 over the covered words, top-1 over the thin words
        (all their clips together), calibration error at the temperature and before it (at 1), and n of each.
        `unknown_words` holds the number of clips of each word that the model does not know, where there are
        such.
    """
    right = right_answers(logits, words, labels)
    hits: Bools = right.numpy()
    names = np.array(words)
    covered = [word for word in COVERED if (names == word).any()]
    thin = ~np.isin(names, COVERED)

    def calibration_error(divisor: float) -> float:
        return expected_calibration_error((logits / divisor).softmax(1).amax(1), right)

    figures: dict[str, Any] = {
        "top1": float(hits.mean()),
        "top2": float(right_answers(logits, words, labels, 2).float().mean()),
        "top5": float(right_answers(logits, words, labels, 5).float().mean()),
        "covered_mean": float(np.mean([hits[names == word].mean() for word in covered])) if covered else None,
        "thin_top1": float(hits[thin].mean()) if thin.any() else None,
        "calibration_error_before": calibration_error(1.0),
        "calibration_error": calibration_error(temperature),
        "clips": len(words),
        "covered_words": len(covered),
        "thin_clips": int(thin.sum()),
    }
    unknown = sorted(set(words) - set(labels))
    if unknown:
        figures["unknown_words"] = {word: int((names == word).sum()) for word in unknown}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}


def per_word(
    logits: Tensor, words: Sequence[str], labels: Sequence[str]
) -> dict[str, dict[str, float | int | None]]:
    """How each word does that was said or answered.

    Args:
        logits: `[n, C]`.
        words: The n true words.
        labels: The model's C labels.

    Returns:
        For each word, sorted: precision (None where it was never answered), recall (None where no clip holds
        it), F1, and number of clips.
    """
    answers = np.array([labels[int(i)] for i in logits.argmax(1)])
    names = np.array(words)
    table: dict[str, dict[str, float | int | None]] = {}
    for word in sorted({*words, *answers.tolist()}):
        said, answered = names == word, answers == word
        clips, given, both = int(said.sum()), int(answered.sum()), int((said & answered).sum())
        table[word] = {
            "precision": round(both / given, 4) if given else None,
            "recall": round(both / clips, 4) if clips else None,
            "f1": round(2 * both / (clips + given), 4),
            "clips": clips,
        }
    return table
