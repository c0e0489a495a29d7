"""Pretrained spiking audio classifiers.

>>> from snn_voice_hub import SnnVoice
>>> SnnVoice.from_pretrained().classify("yes.wav")

The names are imported when they are first asked for: PyTorch takes seconds, and neither an exception nor
`snn-voice --help` needs it.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from snn_voice_hub._version import __version__

if TYPE_CHECKING:
    from snn_voice_hub.config import FeatureConfig, VoiceConfig
    from snn_voice_hub.errors import (
        AudioError,
        CheckpointError,
        ConfigError,
        MissingExtraError,
        SnnVoiceError,
    )
    from snn_voice_hub.hub.catalog import ModelInfo, list_models
    from snn_voice_hub.inference.answers import Prediction, Window
    from snn_voice_hub.models import (
        M5CNN,
        M5SNN,
        ConvNetwork,
        HjhCNN,
        HjhSCNN,
        HjhSNN,
        Network,
        PiczakCNN,
        PiczakSNN,
        ResMelCNN,
        ResMelSNN,
        SpikingNetwork,
        TcyCNN,
        TcySNN,
    )
    from snn_voice_hub.registry import list_architectures, register_architecture
    from snn_voice_hub.voice import SnnVoice

__all__ = [
    "M5CNN",
    "M5SNN",
    "AudioError",
    "CheckpointError",
    "ConfigError",
    "ConvNetwork",
    "FeatureConfig",
    "HjhCNN",
    "HjhSCNN",
    "HjhSNN",
    "MissingExtraError",
    "ModelInfo",
    "Network",
    "PiczakCNN",
    "PiczakSNN",
    "Prediction",
    "ResMelCNN",
    "ResMelSNN",
    "SnnVoice",
    "SnnVoiceError",
    "SpikingNetwork",
    "TcyCNN",
    "TcySNN",
    "VoiceConfig",
    "Window",
    "__version__",
    "list_architectures",
    "list_models",
    "register_architecture",
]

# Where the names above are, those of `models` aside.
_HOMES = {
    "AudioError": "errors",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "FeatureConfig": "config",
    "MissingExtraError": "errors",
    "ModelInfo": "hub.catalog",
    "Prediction": "inference.answers",
    "SnnVoice": "voice",
    "SnnVoiceError": "errors",
    "VoiceConfig": "config",
    "Window": "inference.answers",
    "list_architectures": "registry",
    "list_models": "hub.catalog",
    "register_architecture": "registry",
}

# Type checkers read the imports above; to them a name that is not there is to stay an error.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in __all__:
            found = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'models')}"), name)
        elif not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}"):
            found = importlib.import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
