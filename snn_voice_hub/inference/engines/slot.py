"""The engine of a model: made when it is first needed, and again when the weights have changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from snn_voice_hub.inference.engines.base import Engine, device_and_dtype
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.names import check_engine
from snn_voice_hub.models.base import Network


class EngineSlot:
    """Runs a network by an engine where that is possible, else as the module that it is.

    Args:
        name: One of `names.ENGINES`.

    Raises:
        ConfigError: No such engine.
    """

    def __init__(self, name: str = "auto") -> None:
        self.name = check_engine(name)
        self._lock = threading.Lock()
        self._made: tuple[Snapshot, Engine, dict[str, Any]] | None = None

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
        made = self._made
        if made is None or not made[0].holds(network):
            with self._lock:
                made = self._made
                if made is None or not made[0].holds(network):
                    # Looked at first: what changes while the engine is made is noticed by the next call.
                    seen = Snapshot(network)
                    made = self._made = (seen, *make_engine(network, self.name))
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


class Snapshot:
    """What a network looked like: tells whether it still does, in some thirty microseconds.

    A weight may have changed in place, or been replaced by another tensor; a module may have been exchanged,
    a setting set. Walking over the modules by `parameters()` takes ten times as long.

    Args:
        network: The network.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._settings = self._present_settings()
        self._entries: list[tuple[dict[str, Any], str, object]] = []
        self._sizes: list[tuple[dict[str, Any], int]] = []
        self._tensors: list[tuple[Tensor, int, int]] = []
        for module in network.modules():
            for held in (module._modules, module._parameters, module._buffers):
                entries = cast(dict[str, Any], held)
                self._sizes.append((entries, len(entries)))
                self._entries += [(entries, name, value) for name, value in entries.items()]
        for tensor in (*network.parameters(), *network.buffers()):
            self._tensors.append((tensor, tensor.data_ptr(), _version(tensor)))

    def holds(self, network: Network) -> bool:
        """Whether this is the network, as it was."""
        return (
            network is self._network
            and self._settings == self._present_settings()
            and all(entries.get(name) is value for entries, name, value in self._entries)
            and all(len(entries) == size for entries, size in self._sizes)
            and all(t.data_ptr() == at and _version(t) == version for t, at, version in self._tensors)
        )

    def _present_settings(self) -> tuple[object, ...]:
        return getattr(self._network, "num_steps", 1), getattr(self._network, "encoding", "")


def _version(tensor: Tensor) -> int:
    """Counts changes in place; tensors made under inference mode do not."""
    return -1 if tensor.is_inference() else tensor._version
