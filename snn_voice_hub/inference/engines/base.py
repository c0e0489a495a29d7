"""What all engines share: a network in, a callable from features to logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import is_hooked
from snn_voice_hub.tensors import device_of, dtype_of


class Unsupported(Exception):  # noqa: N818  # no error: another engine takes over
    """An engine can't run this network on this machine; the message says why."""


class NotThisInput(Unsupported):
    """An engine can't run this input, but runs others; the message says why."""


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
            ConfigError: Features of a shape or number type that the network can't take.
            NotThisInput: The engine can't run these, PyTorch can.
            Unsupported: The engine can't run this network after all.
        """
        x = self.network.encoded(features, clip_seeds)
        try:
            return self.run(x)
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, SnnVoiceError | torch.OutOfMemoryError) or not _refuses(self.network, x):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"{type(self.network).__name__} can't take features of shape {list(features.shape)}, "
                f"{features.dtype}: {reason}",
                hint="the shape that its layers are made for; min_shape of its class names the smallest",
            ) from error

    @abstractmethod
    def run(self, x: Tensor) -> Tensor:
        """Logits `[B, C]` of encoded input `[T, B, 1, ...]`; `[1, B, 1, ...]` if all steps are the same.

        Raises:
            NotThisInput: The engine can't run this input, PyTorch can.
            Unsupported: The engine can't run this network after all.
        """

    def advance(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The next steps of streams; see `models.framed.Framed.advance`. There are no gradients.

        Args:
            x: `[T, B, 1, n_mels, frames_per_step]`.
            state: What is remembered of each stream, `[B, n]`; None where all begin. It is not changed.

        Returns:
            Outputs `[T, B, C]`, and the state after them.

        Raises:
            Unsupported: The engine can't go on with a stream, or the network's steps are not those of the
                sound.
        """
        raise Unsupported(f"engine {self.name} can't go on from a state")

    def watch(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """`advance`, with the membranes after every step: `[T, B, N]`; see `models.framed.Framed.watch`.

        Unless an engine knows better, it goes step by step.

        Raises:
            Unsupported: As for `advance`.
        """
        if not isinstance(self.network, Framed):
            raise Unsupported(f"{type(self.network).__name__} keeps no membranes from one step to the next")
        parts = self.network.membranes().values()
        outputs, membranes = [], []
        for step in x:
            out, state = self.advance(step[None], state)
            outputs.append(out)
            membranes.append(torch.cat([state[:, part] for part in parts], 1))
        assert state is not None, "there is a step at least"
        return torch.cat(outputs), state, torch.stack(membranes)

    def details(self) -> dict[str, Any]:
        """What there is to know about this engine, ready for JSON."""
        return {}


def _refuses(network: Network, x: Tensor) -> bool:
    """Whether it is the input's shape or number type that a network can't take: one silent clip tells."""
    try:
        with torch.no_grad():
            network.forward_encoded(torch.zeros_like(x[:, :1]))
    except (RuntimeError, ValueError, IndexError):
        return True
    return False


def check_unhooked(network: nn.Module) -> None:
    """Refuse a network with forward hooks: an engine that does not call its modules would not call them.

    Raises:
        Unsupported: A module has a hook.
    """
    hooked = next((path or "the network" for path, m in network.named_modules() if is_hooked(m)), None)
    if hooked is not None:
        raise Unsupported(f"{hooked} has forward hooks, which PyTorch alone calls")


def device_and_dtype(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a network's weights are, and in which number type."""
    return device_of(network), dtype_of(network)
