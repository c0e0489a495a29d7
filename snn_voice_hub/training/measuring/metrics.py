"""Figures made of logits and true words: accuracy and calibration. Nothing is run here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snn_voice_hub.config import is_word
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


def hits(logits: Tensor, words: Sequence[str], labels: Sequence[str]) -> Tensor:
    """Whether the true word of a clip is its best label, its second best and so on, `[n, C]`."""
    index = {label: i for i, label in enumerate(labels)}
    targets = torch.tensor([index.get(word, -1) for word in words], device="cpu")
    return logits.argsort(1, descending=True) == targets[:, None]


def right_answers(logits: Tensor, words: Sequence[str], labels: Sequence[str]) -> Tensor:
    """Whether the true word is the best label of each clip, `[n]`; what is no label is never right."""
    return hits(logits, words, labels)[:, 0]


def top_shares(logits: Tensor, words: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """`top1`, `top2` and `top5`: share of the clips whose word is among so many best labels."""
    found = hits(logits, words, labels)
    return {f"top{k}": float(found[:, :k].any(1).double().mean()) for k in (1, 2, 5)}


def mean_by_word(values: npt.NDArray[Any], names: npt.NDArray[Any], words: Iterable[str]) -> float:
    """The mean over words of the mean over the clips of each.

    Args:
        values: One a clip, `[n]`.
        names: The n true words.
        words: Those that count; each has a clip.
    """
    return float(np.mean([values[names == word].mean() for word in words]))


def accuracy(
    logits: Tensor, words: Sequence[str], labels: Sequence[str], temperature: float
) -> dict[str, Any]:
    """Figures over labelled clips; a clip whose word the model does not know counts as wrong.

    Clips of labels that are no word (`_unknown_`, `_silence_`) count in the calibration errors alone, and
    what becomes of them is told apart.

    Args:
        logits: `[n, C]`.
        words: The n true words.
        labels: The model's C labels.
        temperature: Of the model.

    Returns:
        Top-1, top-2 and top-5 over all clips, mean top-1 over the covered words, top-1 over the thin words
        (all their clips together), calibration error at the temperature and before it (at 1), and n of each.
        `unknown_words` holds the number of clips of each word that the model does not know, where there are
        such; `no_word`, where there are such, the number of clips that hold no word, and the share of them
        that is taken for one.
    """
    right = right_answers(logits, words, labels)
    spoken = torch.tensor([is_word(word) for word in words], device="cpu")
    everything, logits, words = logits, logits[spoken], [word for word in words if is_word(word)]
    each: Bools = right[spoken].numpy()
    names = np.array(words)
    covered = [word for word in COVERED if (names == word).any()]
    thin = ~np.isin(names, COVERED)

    def calibration_error(divisor: float) -> float:
        return expected_calibration_error((everything / divisor).softmax(1).amax(1), right)

    figures: dict[str, Any] = {
        **(top_shares(logits, words, labels) if len(each) else dict.fromkeys(("top1", "top2", "top5"))),
        "covered_mean": mean_by_word(each, names, covered) if covered else None,
        "thin_top1": float(each[thin].mean()) if thin.any() else None,
        "calibration_error_before": calibration_error(1.0),
        "calibration_error": calibration_error(temperature),
        "clips": len(words),
        "covered_words": len(covered),
        "thin_clips": int(thin.sum()),
    }
    unknown = sorted(set(words) - set(labels))
    if unknown:
        figures["unknown_words"] = {word: int((names == word).sum()) for word in unknown}
    if len(strange := everything[~spoken]):
        is_one = torch.tensor([is_word(label) for label in labels], device="cpu")
        taken = float(is_one[strange.argmax(1)].float().mean())
        figures["no_word"] = {"clips": len(strange), "taken_for_a_word": round(taken, 4)}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
