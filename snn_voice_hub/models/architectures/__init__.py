"""The bundled networks: a family a file, a CNN and its spiking twin side by side in it.

Importing a file registers its networks. Here their names are listed, and nothing is imported before one of
them is asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snn_voice_hub.models.architectures.hjh import HjhCNN, HjhSCNN, HjhSNN
    from snn_voice_hub.models.architectures.m5 import M5CNN, M5SNN
    from snn_voice_hub.models.architectures.micro import MicroCNN, MicroSNN
    from snn_voice_hub.models.architectures.piczak import PiczakCNN, PiczakSNN
    from snn_voice_hub.models.architectures.resmel import ResMelCNN, ResMelSNN
    from snn_voice_hub.models.architectures.tcy import TcyCNN, TcySNN
    from snn_voice_hub.models.architectures.tempo import TempoCNN, TempoSNN

__all__ = [
    "M5CNN",
    "M5SNN",
    "HjhCNN",
    "HjhSCNN",
    "HjhSNN",
    "MicroCNN",
    "MicroSNN",
    "PiczakCNN",
    "PiczakSNN",
    "ResMelCNN",
    "ResMelSNN",
    "TcyCNN",
    "TcySNN",
    "TempoCNN",
    "TempoSNN",
]


def import_all() -> None:
    """Import every file of this folder, which registers all bundled networks."""
    for file in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{file.name}")


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in __all__:
            import_all()
            from snn_voice_hub.models.registered import ARCHITECTURES

            return ARCHITECTURES[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
