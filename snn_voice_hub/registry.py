"""Architecture name -> network class."""

from __future__ import annotations

import difflib
import inspect
from typing import TypeVar

from snn_voice_hub import models
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.base import Network

N = TypeVar("N", bound=type[Network])

_ARCHITECTURES: dict[str, type[Network]] = {}


def register_architecture(cls: N) -> N:
    """Make a network class known under its name, so that checkpoints can name it.

    Usable as a decorator. The class must be a `Network` whose constructor takes `num_classes`.

    Raises:
        ConfigError: The name is taken by another class, or the class does not fit.
    """
    if not (inspect.isclass(cls) and issubclass(cls, Network)):
        raise ConfigError(f"{cls!r} is no architecture", hint="a subclass of snn_voice_hub.models.Network")
    if "num_classes" not in inspect.signature(cls.__init__).parameters:
        raise ConfigError(
            f"{cls.__name__} takes no num_classes", hint="a keyword num_classes of its constructor"
        )
    if _ARCHITECTURES.setdefault(cls.__name__, cls) is not cls:
        raise ConfigError(
            f"an architecture named {cls.__name__} is registered already", hint="another class name"
        )
    return cls


def list_architectures() -> list[str]:
    """Names of all registered architectures, sorted."""
    return sorted(_ARCHITECTURES)


def get_architecture(name: str) -> type[Network]:
    """The class of that name.

    Raises:
        ConfigError: No such architecture; the message names the nearest.
    """
    if name in _ARCHITECTURES:
        return _ARCHITECTURES[name]
    near = difflib.get_close_matches(name, _ARCHITECTURES, n=1)
    raise ConfigError(
        f"architecture {name!r} is not known",
        hint=f"did you mean {near[0]!r}?" if near else f"one of {', '.join(list_architectures())}",
    )


def build_network(config: VoiceConfig) -> Network:
    """The network that a configuration describes, with fresh weights.

    Raises:
        ConfigError: The architecture or one of its arguments is not legal.
    """
    return get_architecture(config.architecture).from_config(config)


for _cls in (
    *(models.M5CNN, models.M5SNN, models.PiczakCNN, models.PiczakSNN, models.HjhCNN, models.HjhSNN),
    *(models.HjhSCNN, models.TcyCNN, models.TcySNN, models.ResMelCNN, models.ResMelSNN),
):
    register_architecture(_cls)
