"""Pretrained spiking audio classifiers.

>>> from snn_voice_hub import SnnVoice
>>> SnnVoice.from_pretrained().classify("yes.wav")

The names are imported when they are first asked for: PyTorch takes seconds, and neither an exception nor
`snn-voice --help` needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn_voice_hub._version import __version__ as __version__

if TYPE_CHECKING:  # what type checkers and editors read; a test compares it with what is below
    from snn_voice_lite.answers import Prediction as Prediction
    from snn_voice_lite.answers import Window as Window
    from snn_voice_lite.streaming.detector import Event as Event
    from snn_voice_lite.streaming.session import VoiceStream as VoiceStream

    from snn_voice_hub.config import FeatureConfig as FeatureConfig
    from snn_voice_hub.config import VoiceConfig as VoiceConfig
    from snn_voice_hub.errors import AudioError as AudioError
    from snn_voice_hub.errors import CheckpointError as CheckpointError
    from snn_voice_hub.errors import ConfigError as ConfigError
    from snn_voice_hub.errors import MissingExtraError as MissingExtraError
    from snn_voice_hub.errors import SnnVoiceError as SnnVoiceError
    from snn_voice_hub.hub.catalog import ModelInfo as ModelInfo
    from snn_voice_hub.hub.catalog import list_models as list_models
    from snn_voice_hub.models import ConvNetwork as ConvNetwork
    from snn_voice_hub.models import Network as Network
    from snn_voice_hub.models import SpikingNetwork as SpikingNetwork
    from snn_voice_hub.models.architectures import *  # noqa: F403
    from snn_voice_hub.registry import list_architectures as list_architectures
    from snn_voice_hub.registry import register_architecture as register_architecture
    from snn_voice_hub.voice import SnnVoice as SnnVoice
else:
    from snn_voice_lite.lazy import lazily

    from snn_voice_hub.models import architectures

    _HOMES = {
        "_version": ("__version__",),
        "config": ("FeatureConfig", "VoiceConfig"),
        "errors": ("AudioError", "CheckpointError", "ConfigError", "MissingExtraError", "SnnVoiceError"),
        "hub.catalog": ("ModelInfo", "list_models"),
        "models": ("ConvNetwork", "Network", "SpikingNetwork"),
        "models.architectures": architectures.__all__,
        "registry": ("list_architectures", "register_architecture"),
        "voice": ("SnnVoice",),
    }
    _ELSEWHERE = {
        "snn_voice_lite.answers": ("Prediction", "Window"),
        "snn_voice_lite.streaming.detector": ("Event",),
        "snn_voice_lite.streaming.session": ("VoiceStream",),
    }
    __getattr__, __dir__, __all__ = lazily(__name__, _HOMES, _ELSEWHERE)
