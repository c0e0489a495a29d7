"""What all engines share: a network in, a callable from features to logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snn_voice_hub.models.base import Network


class Unsupported(Exception):  # noqa: N818  # no error: another engine takes over
    """An engine can't run this network on this machine; the message says why."""


class Engine(ABC):
    """One way of running one network; it reads the weights once, when it is made.

    An engine may be called from several threads.

    Args:
        network: The network, in evaluation mode.

    Raises:
        Unsupported: The network, its device or its number type are not for this engine.
        MissingExtraError: A package that it needs is not installed.

    Attributes:
        name: Its name in `names.ENGINES`.
    """

    name: ClassVar[str]

    def __init__(self, network: Network) -> None:
        self.network = network

    def __call__(self, features: Tensor, clip_seeds: Sequence[int] | None = None) -> Tensor:
        """Logits `[B, C]` of features `[B, 1, ...]`.

        Args:
            features: Model input.
            clip_seeds: One seed a clip, for encodings that draw.

        Raises:
            ConfigError: Features of a wrong shape.
        """
        return self.run(self.network.encoded(features, clip_seeds))

    @abstractmethod
    def run(self, x: Tensor) -> Tensor:
        """Logits `[B, C]` of encoded input `[T, B, 1, ...]`; `[1, B, 1, ...]` if all steps are the same."""

    def details(self) -> dict[str, Any]:
        """What there is to know about this engine, ready for JSON."""
        return {}


def device_and_dtype(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a network's weights are, and in which number type."""
    tensors = [*network.parameters(), *network.buffers()]
    dtypes = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
    return (
        tensors[0].device if tensors else torch.device("cpu"),
        dtypes[0] if dtypes else torch.float32,
    )
