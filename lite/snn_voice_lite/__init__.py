"""Spoken words by spiking neural networks, without PyTorch: networks as ONNX files, run by ONNX Runtime.

>>> from snn_voice_lite import Voice
>>> Voice().classify("yes.wav")

The names are imported when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn_voice_lite._version import __version__ as __version__

if TYPE_CHECKING:
    from snn_voice_lite.answers import Prediction as Prediction
    from snn_voice_lite.answers import Window as Window
    from snn_voice_lite.errors import AudioError as AudioError
    from snn_voice_lite.errors import CheckpointError as CheckpointError
    from snn_voice_lite.errors import ConfigError as ConfigError
    from snn_voice_lite.errors import MissingExtraError as MissingExtraError
    from snn_voice_lite.errors import SnnVoiceError as SnnVoiceError
    from snn_voice_lite.finding import list_models as list_models
    from snn_voice_lite.streaming.detector import Event as Event
    from snn_voice_lite.streaming.session import VoiceStream as VoiceStream
    from snn_voice_lite.voice import Voice as Voice
else:
    from snn_voice_lite.lazy import lazily

    _HOMES = {
        "_version": ("__version__",),
        "answers": ("Prediction", "Window"),
        "finding": ("list_models",),
        "errors": ("AudioError", "CheckpointError", "ConfigError", "MissingExtraError", "SnnVoiceError"),
        "streaming.detector": ("Event",),
        "streaming.session": ("VoiceStream",),
        "voice": ("Voice",),
    }
    __getattr__, __dir__, __all__ = lazily(__name__, _HOMES)
