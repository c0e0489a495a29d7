"""Logits -> scores, on any device; what a user reads is made of them by `snn_voice_lite.answers`."""

from __future__ import annotations

from torch import Tensor


def scores(logits: Tensor, temperature: float, function: str) -> Tensor:
    """Scores `[..., C]` of logits `[..., C]`, by one of `snn_voice_lite.answers.FUNCTIONS`."""
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
