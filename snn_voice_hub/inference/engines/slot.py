"""The engine of a model: made when it is first needed, and again when the weights have changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from types import FunctionType, MethodType, NoneType
from typing import Any, cast

import torch
from numpy.typing import NDArray
from snn_voice_lite.visible import module_logger
from torch import Tensor, nn

from snn_voice_hub.inference.engines.base import Engine, NotThisInput, Unsupported, device_and_dtype
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.names import check_engine
from snn_voice_hub.inference.engines.plain import TorchEngine
from snn_voice_hub.models.base import Network

logger = module_logger(__name__)

_MAX_REASONS = 8  # that are kept of why an engine left input to PyTorch

# Between two close looks at a network whose streams go on.
_SECONDS = 1.0


@dataclass
class _Made:
    """An engine that was made.

    Attributes:
        seen: The network as the engine read it.
        engine: The engine.
        facts: Why it is this one.
        beside: PyTorch, once there was input that the engine can't run.
        aside: Why it couldn't, the last few reasons.
    """

    seen: Snapshot
    engine: Engine
    facts: dict[str, Any]
    beside: Engine | None = None
    aside: list[str] = field(default_factory=list)


class EngineSlot:
    """Runs a network by an engine where that is possible, else as the module that it is.

    Input that the engine can't run is run by PyTorch; an engine that turns out not to be for the network
    gives way to the next one. `info` says so.

    Args:
        name: One of `names.ENGINES`.

    Raises:
        ConfigError: No such engine.
    """

    def __init__(self, name: str = "auto") -> None:
        self.name = check_engine(name)
        self._lock = threading.Lock()
        self._made: _Made | None = None

    def __call__(self, network: nn.Module, features: Tensor, clip_seeds: Sequence[int] | None) -> Tensor:
        """Logits `[B, C]` of features `[B, 1, ...]`.

        Engines give no gradients, so a network that is in training, or whose weights want gradients, is run
        as a module; `torch.inference_mode()` or `torch.no_grad()` around the call lets the engine work. So is
        one in a model that somebody compiles.
        """
        arguments = {} if clip_seeds is None else {"clip_seeds": clip_seeds}
        if (
            not isinstance(network, Network)
            or network.training
            or torch.compiler.is_compiling()
            or _wants_gradient(network, features)
        ):
            return cast(Tensor, network(features, **arguments))
        while True:
            made = self._present(network)
            try:
                return made.engine(features, clip_seeds)
            except NotThisInput as why:
                return self._beside(made, network, why)(features, clip_seeds)
            except Unsupported as why:
                self._replace(made, network, why)

    def advance(self, network: Network, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The next steps of streams, by an engine or else by PyTorch; see `Engine.advance`.

        A stream asks many times a second, so the network is looked at less closely than by a call; see
        `Snapshot.seems_to_hold`.
        """
        made = self._at_hand(network)
        try:
            return made.engine.advance(x, state)
        except Unsupported as why:
            return self._beside(made, network, NotThisInput(f"streams: {why}")).advance(x, state)

    def watch(self, network: Network, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """`advance`, with the membranes after every step; see `Engine.watch`."""
        made = self._at_hand(network)
        try:
            return made.engine.watch(x, state)
        except Unsupported as why:
            return self._beside(made, network, NotThisInput(f"streams: {why}")).watch(x, state)

    def _at_hand(self, network: Network) -> _Made:
        made = self._made
        return made if made is not None and made.seen.seems_to_hold(network) else self._present(network)

    def get(self, network: Network) -> tuple[Engine, dict[str, Any]]:
        """The engine for the network's present weights, and what there is to know about it.

        Raises:
            MissingExtraError: The engine was asked for by name, and its package is not installed.
        """
        made = self._present(network)
        return made.engine, made.facts

    def _present(self, network: Network) -> _Made:
        made = self._made
        if made is None or not made.seen.holds(network):
            with self._lock:
                made = self._made
                if made is None or not made.seen.holds(network):
                    # Looked at first: what changes while the engine is made is noticed by the next call.
                    seen = Snapshot(network)
                    engine, facts = make_engine(network, self.name)
                    seen.look_at_settings()
                    made = self._made = _Made(seen, engine, facts)
        return made

    def _replace(self, made: _Made, network: Network, why: Unsupported) -> None:
        """Put the next engine in the place of one that turns out not to be for this network."""
        with self._lock:
            if self._made is made:
                reasons = {**made.facts["reasons"], made.engine.name: str(why)}
                self._made = _Made(made.seen, *make_engine(network, self.name, reasons))

    def _beside(self, made: _Made, network: Network, why: NotThisInput) -> Engine:
        """PyTorch, for input that the engine leaves to it."""
        with self._lock:
            if made.beside is None:
                made.beside = TorchEngine(network)
            if str(why) not in made.aside:
                logger.info("PyTorch runs what engine %s does not: %s", made.engine.name, why)
                made.aside = [*made.aside[1 - _MAX_REASONS :], str(why)]
        return made.beside

    def info(self, network: nn.Module) -> dict[str, Any]:
        """See `SnnVoice.engine_info`."""
        device, dtype = device_and_dtype(network)
        facts: dict[str, Any] = {"engine": "module", "requested": self.name, "reasons": {}}
        if isinstance(network, Network):
            made = self._present(network)
            facts = {**made.facts, **made.engine.details()}
            if made.aside:
                facts["left_to_torch"] = list(made.aside)
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
    """What a network looked like: tells whether it still does, in about a hundred microseconds.

    A weight may have changed in place, or been replaced by another tensor; a module may have been exchanged,
    one of its settings set. Changes that PyTorch does not count (`weight.data.mul_()`, by NumPy, of tensors
    made under inference mode) are looked for at `_PLACES` values of each tensor on the CPU, so that those of
    all values are seen, and those of a few may not be. Walking over the modules by `parameters()` takes
    longer.

    Args:
        network: The network.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._entries: list[tuple[dict[str, Any], str, object]] = []
        self._sizes: list[tuple[dict[str, Any], int]] = []
        self._tensors: list[tuple[Tensor, int, int]] = []
        self._next_look = 0.0
        self._values: list[tuple[NDArray[Any], bytes]] = []
        for module in network.modules():
            for held in (module._modules, module._parameters, module._buffers):
                entries = cast(dict[str, Any], held)
                self._sizes.append((entries, len(entries)))
                self._entries += [(entries, name, value) for name, value in entries.items()]
            hooks = (module._forward_hooks, module._forward_pre_hooks)
            self._sizes += [(held, len(held)) for held in cast(Any, hooks)]
        for tensor in (*network.parameters(), *network.buffers()):
            self._tensors.append((tensor, tensor.data_ptr(), _version(tensor)))
            if (places := _places(tensor)) is not None:
                self._values.append((places, places.tobytes()))
        counted = [parameter for parameter in network.parameters() if not parameter.is_inference()]
        # From the last one backwards: it may be the head alone that is trained.
        self._some = counted[:: -max(1, len(counted) // _SOME)]
        self._versions = [*map(_VERSION, self._some)]
        self.look_at_settings()

    def look_at_settings(self) -> None:
        """Take the modules' settings as they are now.

        A network may count its own runs; what making an engine leaves behind is no change.
        """
        self._settings: list[tuple[dict[str, Any], int, Callable[[Any], object], object]] = []
        for held in map(vars, self._network.modules()):
            # Every module has two at least, as `training` is one: so each getter gives a tuple.
            get = itemgetter(*(name for name, value in held.items() if isinstance(value, _SETTING)))
            self._settings.append((held, len(held), get, get(held)))

    def holds(self, network: Network) -> bool:
        """Whether this is the network, as it was."""
        return (
            network is self._network
            and all(entries.get(name) is value for entries, name, value in self._entries)
            and all(len(entries) == size for entries, size in self._sizes)
            and all(t.data_ptr() == at and _version(t) == version for t, at, version in self._tensors)
            and all(places.tobytes() == values for places, values in self._values)
            and self._has_same_settings()
        )

    def seems_to_hold(self, network: Network) -> bool:
        """`holds`, in a few microseconds: all is looked at once a second.

        In between, it is the same network, and a few of its parameters, spread over the layers, have not
        been changed in place: a step of an optimizer and `load_state_dict()` are seen at once.
        """
        now = time.monotonic()
        if now < self._next_look:
            return network is self._network and [*map(_VERSION, self._some)] == self._versions
        if not self.holds(network):
            return False
        self._next_look = now + _SECONDS
        return True

    def _has_same_settings(self) -> bool:
        try:
            return all(len(held) == size and get(held) == then for held, size, get, then in self._settings)
        except (KeyError, RuntimeError):  # one is gone, or has become a tensor of several values
            return False


_PLACES = 16
_SOME = 8  # parameters that are looked at each time
_VERSION = attrgetter("_version")
# What modules keep that is no tensor, module or hook: sizes, names, flags, a `forward` of their own.
_SETTING = (bool, int, float, str, tuple, NoneType, FunctionType, MethodType)


def _places(tensor: Tensor) -> NDArray[Any] | None:
    """Some values of a tensor, in its own memory; None where that can't be looked into."""
    if type(tensor) not in (Tensor, nn.Parameter, nn.Buffer) or tensor.device.type != "cpu":
        return None
    if not tensor.is_contiguous() or tensor.dtype == torch.bfloat16 or not tensor.numel():
        return None
    return tensor.detach().view(-1)[:: -(-tensor.numel() // _PLACES)].numpy()


def _version(tensor: Tensor) -> int:
    """Counts changes in place; tensors made under inference mode do not."""
    return -1 if tensor.is_inference() else tensor._version
