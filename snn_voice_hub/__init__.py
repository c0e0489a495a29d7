"""Pretrained spiking audio classifiers.

>>> from snn_voice_hub import SnnVoice
>>> SnnVoice.from_pretrained().classify("yes.wav")
"""

from snn_voice_hub._version import __version__
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
