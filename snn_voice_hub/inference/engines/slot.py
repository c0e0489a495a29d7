"""The engine of a model: made when it is first needed, and again when the weights have changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from snn_voice_hub.inference.engines.base import Engine, device_and_dtype
from snn_voice_hub.inference.engines.choice import check_engine, make_engine
from snn_voice_hub.models.base import Network

Fingerprint = tuple[object, ...]


class EngineSlot:
    """Runs a network by an engine where that is possible, else as the module that it is.

    Args:
        name: One of `choice.ENGINES`.

    Raises:
        ConfigError: No such engine.
    """

    def __init__(self, name: str = "auto") -> None:
        self.name = check_engine(name)
        self._lock = threading.Lock()
        self._made: tuple[Fingerprint, Engine, dict[str, Any]] | None = None

    def __call__(self, network: nn.Module, features: Tensor, clip_seeds: Sequence[int] | None) -> Tensor:
        """Logits `[B, C]` of features `[B, 1, ...]`.

        Engines give no gradients, so a network that is in training, or whose weights want gradients, is run
        as a module; `torch.inference_mode()` or `torch.no_grad()` around the call lets the engine work.
        """
        arguments = {} if clip_seeds is None else {"clip_seeds": clip_seeds}
        if not isinstance(network, Network) or network.training or _wants_gradient(network, features):
            return cast(Tensor, network(features, **arguments))
        engine, _ = self.get(network)
        return engine(features, clip_seeds)

    def get(self, network: Network) -> tuple[Engine, dict[str, Any]]:
        """The engine for the network's present weights, and what there is to know about it.

        Raises:
            MissingExtraError: The engine was asked for by name, and its package is not installed.
        """
        mark = _fingerprint(network)
        made = self._made
        if made is None or made[0] != mark:
            with self._lock:
                made = self._made
                if made is None or made[0] != mark:
                    made = self._made = (mark, *make_engine(network, self.name))
        return made[1], made[2]

    def info(self, network: nn.Module) -> dict[str, Any]:
        """See `SnnVoice.engine_info`."""
        device, dtype = device_and_dtype(network)
        facts: dict[str, Any] = {"engine": "module", "requested": self.name, "reasons": {}}
        if isinstance(network, Network):
            engine, facts = self.get(network)
            facts = {**facts, **engine.details()}
        return {
            **facts,
            "device": str(device),
            "dtype": str(dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
        }

    def __reduce__(self) -> tuple[type[EngineSlot], tuple[str]]:
        # Copies and pickles of a model make an engine of their own.
        return EngineSlot, (self.name,)


def _wants_gradient(network: nn.Module, features: Tensor) -> bool:
    if not torch.is_grad_enabled():
        return False
    return features.requires_grad or any(p.requires_grad for p in network.parameters())


def _fingerprint(network: Network) -> Fingerprint:
    """Changes when a weight does (in place or by another tensor), or a setting of the network."""
    tensors = [*network.parameters(), *network.buffers()]
    return (
        getattr(network, "num_steps", 1),
        getattr(network, "encoding", ""),
        *((t.data_ptr(), -1 if t.is_inference() else t._version, t.dtype, t.device) for t in tensors),
    )
