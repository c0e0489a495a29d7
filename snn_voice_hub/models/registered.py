"""The table of architectures that have been registered in this process; `registry` looks them up by name."""

from __future__ import annotations

import inspect
from typing import TypeVar

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.base import Network

N = TypeVar("N", bound=type[Network])

ARCHITECTURES: dict[str, type[Network]] = {}


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
    before = ARCHITECTURES.get(cls.__name__, cls)
    # The same definition once more: a module that was loaded again, or a cell of a notebook.
    if (before.__module__, before.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ConfigError(
            f"an architecture named {cls.__name__} is registered already, by {before.__module__}",
            hint="another class name",
        )
    ARCHITECTURES[cls.__name__] = cls
    cls._registered = True
    return cls
