"""The two engines that are PyTorch and nothing else: the step loop, and all steps at once."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from snn_voice_hub.inference.engines.base import Engine
from snn_voice_hub.models.network import SpikingNetwork


class TorchEngine(Engine):
    """All steps at once. Its logits equal those of the step loop to 1e-4, its spikes exactly."""

    name: ClassVar[str] = "torch"

    def run(self, x: Tensor) -> Tensor:
        """See `Engine.run`."""
        return self.network.forward_encoded(x)


class LoopEngine(Engine):
    """One step after the other, as the paper's code does it: readable, slow, the measure of all others."""

    name: ClassVar[str] = "loop"

    def run(self, x: Tensor) -> Tensor:
        """See `Engine.run`."""
        if not isinstance(self.network, SpikingNetwork):
            return self.network.forward_encoded(x)
        return self.network.loop_encoded(x).sum(0)
