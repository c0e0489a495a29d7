"""A small network on an encoder's frames, and what it answers to clips that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.tensors import FLOAT32, float32_on_cpu
from snn_voice_hub.training.clips.corpus import speaker
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.splits import position
from snn_voice_hub.training.fitting.whisper.encoder import Encoder

_SEGMENTS = 6
_ENCODED = 64


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How the head learns.

    Attributes:
        hidden: Width of its two layers.
        epochs: Passes over the clips.
        batch_size: Clips a step.
        lr: Highest learning rate (one cycle).
        weight_decay: Of AdamW.
        dropout: Of the hidden layers; the input's is half of it.
        noise: Standard deviation of noise on the (standardised) input.
        label_smoothing: Of the cross-entropy.
    """

    hidden: int = 512
    epochs: int = 20
    batch_size: int = 256
    lr: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.4
    noise: float = 0.1
    label_smoothing: float = 0.05


def pooled(frames: Tensor) -> Tensor:
    """Frames `[B, T, D]` -> `[B, 8 D]`: means of six parts of the time, the mean and the maximum of all."""
    parts = frames.tensor_split(_SEGMENTS, dim=1)
    return torch.cat([*(part.mean(1) for part in parts), frames.mean(1), frames.amax(1)], 1)


def heard(encoder: Encoder, clips: Clips, progress: Callable[[int], None] | None = None) -> Tensor:
    """What the encoder hears in each clip, pooled, `[n, 8 D]`.

    Args:
        encoder: Hears.
        clips: What.
        progress: Is told how many clips are done.
    """
    parts = []
    for start in range(0, len(clips), _ENCODED):
        parts.append(pooled(encoder(clips.batch(slice(start, start + _ENCODED)))))
        if progress is not None:
            progress(min(start + _ENCODED, len(clips)))
    return torch.cat(parts)


def folds_of(names: Sequence[str], folds: int) -> list[int]:
    """The fold of each clip; a speaker's clips are in one."""
    # With seed 0 the position would be that by which Speech Commands chooses its own parts.
    return [min(int(position(speaker(name), seed=1) * folds), folds - 1) for name in names]


class Head(nn.Module):
    """Standardises, and tells words apart.

    Args:
        like: What it will learn from, `[n, F]`.
        classes: How many words there are.
        learning: Its sizes.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, like: Tensor, classes: int, learning: Learning) -> None:
        super().__init__()
        self.register_buffer("mean", like.mean(0))
        self.register_buffer("scale", like.std(0, correction=0) + 1e-3)
        self.noise = learning.noise
        width = learning.hidden

        def block(inputs: int) -> list[nn.Module]:
            return [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.GELU(), nn.Dropout(learning.dropout)]

        with float32_on_cpu():
            self.layers = nn.Sequential(
                nn.Dropout(learning.dropout / 2),
                *block(like.shape[1]),
                *block(width),
                nn.Linear(width, classes),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, C]` of `[B, F]`."""
        x = (x - self.mean) / self.scale
        if self.training:
            x = x + self.noise * torch.randn_like(x)
        logits: Tensor = self.layers(x)
        return logits


def learn(x: Tensor, targets: Tensor, classes: int, learning: Learning, seed: int) -> Head:
    """A head that has learned from `[n, F]` and class indices `[n]`."""
    torch.manual_seed(seed)
    head = Head(x, classes, learning)
    size = min(learning.batch_size, len(x))
    steps = len(x) // size
    optimizer = torch.optim.AdamW(head.parameters(), learning.lr, weight_decay=learning.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning.lr, total_steps=learning.epochs * steps, pct_start=0.15
    )
    # Rare words count for more, but not as much as common ones together.
    counts = torch.bincount(targets, minlength=classes).to(**FLOAT32)
    weight = counts.clamp_min(1).rsqrt()
    weight = (weight / weight[targets].mean()).clamp_max(6.0)
    for _ in range(learning.epochs):
        order = torch.randperm(len(x), device="cpu")
        for step in range(steps):
            batch = order[step * size : (step + 1) * size]
            losses = functional.cross_entropy(
                head(x[batch]),
                targets[batch],
                label_smoothing=learning.label_smoothing,
                reduction="none",
            )
            loss = (losses * weight[targets[batch]]).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return head.eval()


@torch.no_grad()
def answers_of(head: Head, x: Tensor) -> Tensor:
    """Log-probabilities `[n, C]`."""
    return torch.cat([head(part).log_softmax(1) for part in torch.split(x, 2048)])


def out_of_fold(
    x: Tensor,
    names: Sequence[str],
    targets: Tensor,
    others: Sequence[Tensor],
    classes: int,
    *,
    learning: Learning | None = None,
    folds: int = 4,
    progress: Callable[[int], None] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Answers to clips by heads that did not hear their speakers, so that none is a label learned by heart.

    Args:
        x: What was heard in the clips, `[n, F]`.
        names: Of the clips; a speaker's are in one fold.
        targets: Class indices `[n]`.
        others: The same as `x` of more clips, which nothing is learned from.
        classes: How many words there are.
        learning: How the heads learn.
        folds: How many heads there are.
        progress: Is told how many have learned.

    Raises:
        SnnVoiceError: All clips are of one fold.

    Returns:
        Log-probabilities `[n, C]`, and those of each of `others` by the mean of all heads' log-scores.
    """
    learning = learning or Learning()
    fold = torch.from_numpy(np.array(folds_of(names, folds)))
    if len(set(fold.tolist())) < 2:
        raise SnnVoiceError("the clips are of too few speakers", hint="clips of a few dozen")
    answers = torch.zeros(len(x), classes, **FLOAT32)
    rest = [torch.zeros(len(other), classes, **FLOAT32) for other in others]
    for number in range(folds):
        out = fold == number
        head = learn(x[~out], targets[~out], classes, learning, number)
        if out.any():
            answers[out] = answers_of(head, x[out])
        for sums, other in zip(rest, others, strict=True):
            sums += answers_of(head, other)
        if progress is not None:
            progress(number + 1)
    return answers, [(sums / folds).log_softmax(1) for sums in rest]
