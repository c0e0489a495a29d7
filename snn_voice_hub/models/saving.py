"""Is a network the one that its configuration describes? Asked before it is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from snn_voice_lite.visible import module_logger
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.features import Features
from snn_voice_hub.hub.weights import WRAPPERS, plain_name
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.tensors import FLOAT32, on_meta

logger = module_logger(__name__)

M = TypeVar("M", bound=nn.Module)


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside `torch.compile`, `DataParallel` and others that hold one module and add nothing.

    Args:
        network: Wrapped any number of times, or not at all.
    """
    while len(network._modules) == 1:
        ((name, inner),) = network._modules.items()
        # A network of a user's own may have one part, and call it so; then it is no wrapper of torch's.
        if name not in WRAPPERS or inner is None or not type(network).__module__.startswith("torch."):
            break
        network = inner
    return network


def without_values(make: Callable[[], M]) -> M:
    """A network with names, shapes and dtypes alone: its tensors are on the meta device.

    Args:
        make: Makes it.
    """
    try:
        with on_meta():
            return make().to("meta")
    except (RuntimeError, ConfigError):  # its constructor looks at values, or does not take the arguments
        with torch.random.fork_rng(devices=[]):
            return make().to("meta")


def check_described(network: nn.Module, described: nn.Module, config: VoiceConfig) -> None:
    """Refuse a network that would be another one after it has been saved and opened.

    Weights are compared where they are written; see `hub.weights.checked`.

    Args:
        network: What is to be saved, without wrappers.
        described: What the configuration describes.
        config: The configuration.

    Raises:
        ConfigError: It is of another class, one of its settings or parts was changed after it was made, or it
            does not give one output a label.
    """
    wanted, found = type(described), type(network)
    if (wanted.__module__, wanted.__qualname__) != (found.__module__, found.__qualname__):
        raise ConfigError(
            f"the network is a {found.__module__}.{found.__qualname__}, its configuration describes a "
            f"{wanted.__module__}.{wanted.__qualname__}",
            hint="make a new SnnVoice of the network",
        )
    for name in config.network:
        now, then = getattr(network, name, None), getattr(described, name, None)
        if isinstance(then, bool | int | float | str) and type(now) is type(then) and now != then:
            raise ConfigError(
                f"the network's {name} is {now!r}, its configuration says {then!r}",
                hint=f"make the network with {name}={now!r}, and load the weights into it",
            )
    _check_parts(network, described)
    if found.__module__.partition(".")[0] != __name__.partition(".")[0]:
        # The library's own have as many as they are asked for, and the look takes seconds of imports.
        _check_outputs(described, config)


# What has no say in evaluation.
_OF_TRAINING = frozenset(("momentum", "p", "inplace"))


def _check_parts(network: nn.Module, described: nn.Module) -> None:
    """Compare what the weights do not tell: layers of another kind, and sizes of layers that are set anew."""
    if _shapes(network) != _shapes(described):
        return  # there are better words for that where weights are compared
    parts = {plain_name(path): module for path, module in network.named_modules()}
    hint = "what is changed in a network belongs to a class of its own, made known by register_architecture"
    for path, wanted in described.named_modules():
        found = parts.get(plain_name(path))
        if found is None or not path:
            continue
        if not _are_alike(found, wanted):
            made = f"a {type(wanted).__name__}, as {type(network).__name__} makes it"
            raise ConfigError(f"the network's {path} is a {type(found).__name__}, not {made}", hint=hint)
        names = ("reset",) if isinstance(wanted, Lif) else getattr(wanted, "__constants__", ())
        for name in names:
            now, then = (getattr(module, name, None) for module in (found, wanted))
            if name not in _OF_TRAINING and hasattr(found, name) and now != then:
                raise ConfigError(
                    f"the network's {path}.{name} is {now!r}, and {then!r} where it is made new", hint=hint
                )


def _shapes(network: nn.Module) -> dict[str, object]:
    return {plain_name(name): getattr(value, "shape", None) for name, value in network.state_dict().items()}


def _are_alike(found: nn.Module, wanted: nn.Module) -> bool:
    kinds = [(type(module).__module__, type(module).__qualname__) for module in (found, wanted)]
    same = ((_BatchNorm,), (_DropoutNd, nn.Identity))  # in evaluation
    return kinds[0] == kinds[1] or any(isinstance(found, k) and isinstance(wanted, k) for k in same)


@torch.no_grad()
def _check_outputs(described: nn.Module, config: VoiceConfig) -> None:
    """Compare labels with what the network really gives, which its `num_classes` need not be."""
    try:
        features = Features(config.features)(torch.zeros(1, config.features.num_samples, **FLOAT32))
        # Past the encoding, which may draw.
        given = cast(Any, described.eval()).forward_encoded(features.to("meta").unsqueeze(0)).shape[-1]
    except SnnVoiceError:
        raise  # front end and network do not go together
    except Exception as error:  # of a network that looks at values in its forward pass
        logger.debug("outputs of %s are not known without weights: %s", config.architecture, error)
        return
    if given != len(config.labels):
        raise ConfigError(
            f"{config.architecture} gives {given} outputs for {len(config.labels)} labels",
            hint="one output a label: num_classes of its constructor is to decide how many there are",
        )
