"""Training steps a second on a device, and whether they teach anything."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu_check.clock import Budget, WrongAnswer, finish, repeated
from benchmarks.gpu_check.sound import clips
from benchmarks.report import Table
from snn_voice_hub.voice import SnnVoice


def _learning(
    source: nn.Module, x: Tensor, classes: Tensor, half: torch.dtype | None
) -> Callable[[], Tensor]:
    """A step that learns one batch by heart, with a copy of a network; gives the loss."""
    network = copy.deepcopy(source).train().requires_grad_(True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, half or torch.bfloat16, enabled=half is not None):
            logits = network(x)
        loss = functional.cross_entropy(logits.float(), classes)
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.detach()

    return step


def measure(
    device: torch.device, budget: Budget, models: tuple[str, ...], batch: int, seconds: float
) -> Table:
    """Forward, cross-entropy, backward and AdamW, from the trained weights on.

    Raises:
        WrongAnswer: The loss is not finite, or does not fall on the one batch that is learned by heart.
    """
    table = Table("model", "products in", "steps/s", "clips/s", "loss at first", "after")
    for name in models:
        voice = SnnVoice.from_pretrained(name, device=str(device))
        with torch.inference_mode():
            x = voice.features(voice.to_device(clips(batch)))
        x = x.clone()  # no inference tensor
        wrong = torch.arange(batch, device=device) % len(voice.labels)  # to be learned by heart
        for half in (False, True):
            if budget.part_left < 2 * seconds:
                break
            step = _learning(voice.network, x, wrong, torch.bfloat16 if half else None)
            first = float(step())
            rate = repeated(step, device, seconds, warmup=5)
            last = float(step())
            finish(device)
            kind = "bfloat16" if half else "float32"
            if not (math.isfinite(last) and last < first):
                raise WrongAnswer(f"{name}, {kind}: the loss went from {first:.3f} to {last:.3f}")
            table.add(name, kind, 1 / rate.each, f"{batch / rate.each:,.0f}", first, last)
    return table
