"""Does an exported model answer as the original? Built-in signals, and the rule of equality."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.tensors import FLOAT32, Kind

# Logits are equal up to this part of the clip's largest, unless a membrane lay at its threshold and another
# order of summation flipped its spike.
TOLERANCE = 1e-4
# The share of clips to which that may happen.
_MOVED = 0.25

_VOICED = 24


@dataclass(frozen=True)
class Agreement:
    """How the logits of two forms of one model compare.

    Attributes:
        clips: How many were compared.
        moved: Clips whose logits differ by more than `TOLERANCE` of their largest.
        largest: The largest difference, as a part of the clip's largest logit.
        other_best: Clips with another best label.
        undecided: Of these, clips whose two best labels were nearer to each other than the logits moved.
    """

    clips: int
    moved: int
    largest: float
    other_best: int
    undecided: int

    @property
    def good(self) -> bool:
        """Whether the two are one model by the rule of equality."""
        return (
            math.isfinite(self.largest)
            and self.moved <= _MOVED * self.clips
            and self.other_best == self.undecided
        )

    def __str__(self) -> str:
        """The comparison in one line."""
        same = self.clips - self.moved
        return (
            f"{same} of {self.clips} signals equal to {TOLERANCE:g} of the largest logit, largest difference "
            f"{self.largest:.2g}, {self.clips - self.other_best} with the same best label"
        )


def agreement(logits: Tensor, expected: Tensor) -> Agreement:
    """Compare logits `[n, C]` with those that they should be."""
    apart = (logits - expected).abs().amax(1)
    largest = expected.abs().amax(1).clamp(min=1e-30)
    part = apart / largest
    other = logits.argmax(1) != expected.argmax(1)
    best = expected.topk(min(2, expected.shape[1]), dim=1).values
    undecided = other & (best[:, 0] - best[:, -1] <= 2 * apart)
    return Agreement(
        clips=len(logits),
        moved=int((~(part <= TOLERANCE)).sum()),  # so that NaN counts
        largest=float(part.max()),
        other_best=int(other.sum()),
        undecided=int(undecided.sum()),
    )


def signals(config: FeatureConfig) -> Tensor:
    """Waveforms `[n, num_samples]` to compare models on, the same each time, without a recording.

    Voiced sounds with gliding pitch and formants, from loud to quiet, then noise, a click, and silence.
    """
    rate, size = config.sample_rate, config.num_samples
    exact: Kind = {"dtype": torch.float64, "device": "cpu"}
    generator = torch.Generator("cpu").manual_seed(0)

    def draw(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator, **FLOAT32))

    time = torch.arange(size, **exact) / rate
    along = torch.linspace(0, 1, size, **exact)
    rows = []
    for _ in range(_VOICED):
        pitch = draw(90, 220) * (1 + draw(-0.3, 0.3) * along)
        phase = 2 * math.pi * torch.cumsum(pitch, 0) / rate
        formants = [draw(low, high) + draw(-300, 300) * along for low, high in ((300, 900), (900, 2600))]
        wave = torch.zeros_like(time)
        for harmonic in range(1, 30):
            heard = sum(torch.exp(-(((harmonic * pitch - formant) / 250) ** 2)) for formant in formants)
            wave += (heard + 0.01) * torch.sin(harmonic * phase)
        start, length = draw(0.05, 0.3), draw(0.25, 0.6)
        inside = ((along - start) / length).clamp(0, 1)
        wave = wave * torch.sin(math.pi * inside)
        hiss = torch.randn(size, generator=generator, **exact)
        rows.append(wave / wave.abs().max() * 10 ** draw(-1.5, -0.1) + hiss * 10 ** draw(-4, -2))
    noise = torch.randn(2, size, generator=generator, **exact) * torch.tensor([[0.3], [0.003]], **FLOAT32)
    click = torch.zeros(size, **exact)
    click[size // 2 :: rate // 50] = 0.9
    return torch.stack([*rows, *noise, click, torch.zeros_like(click)]).float()
