"""What a model is told of its sound and its words, typed and checked.

Reading is strict: an unknown field, a wrong type or an illegal value is a `ConfigError` that names the field
and what would be legal.
"""

from snn_voice_lite.config.detection import DetectionConfig
from snn_voice_lite.config.features import FeatureConfig, kinds_of
from snn_voice_lite.config.labels import (
    MAX_CLASSES,
    SILENCE,
    SPEECH_COMMANDS,
    UNKNOWN,
    check_labels,
    is_word,
    meaning,
)
from snn_voice_lite.config.model import ModelConfig
from snn_voice_lite.config.values import (
    MAX_THREADS,
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_plain,
    check_text,
    read_dataclass,
    shown,
)

__all__ = [
    "MAX_CLASSES",
    "MAX_THREADS",
    "SILENCE",
    "SPEECH_COMMANDS",
    "UNKNOWN",
    "DetectionConfig",
    "FeatureConfig",
    "ModelConfig",
    "check_bool",
    "check_choice",
    "check_int",
    "check_labels",
    "check_number",
    "check_plain",
    "check_text",
    "is_word",
    "kinds_of",
    "meaning",
    "read_dataclass",
    "shown",
]
