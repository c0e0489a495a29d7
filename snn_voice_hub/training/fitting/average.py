"""The average of a network's weights along its training, which does better than the last ones."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average(nn.Module):
    """Exponential moving average of a network's weights and buffers, with a short warm-up.

    Args:
        network: What is averaged; it is copied.
        decay: Of the average, a step; with 0 it is the network itself.

    Attributes:
        network: The copy.
    """

    steps: Tensor

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64, device="cpu"))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's present weights."""
        self.steps += 1
        steps = int(self.steps)
        decay = min(self.decay, (1 + steps) / (10 + steps))
        for mean, value in zip(
            self.network.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def train(self, mode: bool = True) -> Average:
        """Stays in evaluation mode, whatever is asked."""
        return super().train(False)
