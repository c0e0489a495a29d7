"""Typed configuration <-> `config.json`.

Reading is strict: an unknown field, a wrong type, an illegal value or one that asks for too much is a
`ConfigError` that names the field and what would be legal. A configuration says everything that turns a
waveform into words.
"""

from snn_voice_lite.config import (
    MAX_CLASSES,
    MAX_THREADS,
    SILENCE,
    SPEECH_COMMANDS,
    UNKNOWN,
    DetectionConfig,
    FeatureConfig,
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_plain,
    check_text,
    is_word,
    kinds_of,
    meaning,
    read_dataclass,
    shown,
)

from snn_voice_hub.config.package import ArchitecturePackage
from snn_voice_hub.config.voice import (
    FORMAT_VERSION,
    FRAMES,
    FRAMES_PER_STEP,
    LIBRARY_NAME,
    MAX_STEPS,
    WEIGHT_DTYPES,
    VoiceConfig,
)

__all__ = [
    "FORMAT_VERSION",
    "FRAMES",
    "FRAMES_PER_STEP",
    "LIBRARY_NAME",
    "MAX_CLASSES",
    "MAX_STEPS",
    "MAX_THREADS",
    "SILENCE",
    "SPEECH_COMMANDS",
    "UNKNOWN",
    "WEIGHT_DTYPES",
    "ArchitecturePackage",
    "DetectionConfig",
    "FeatureConfig",
    "VoiceConfig",
    "check_bool",
    "check_choice",
    "check_int",
    "check_number",
    "check_plain",
    "check_text",
    "is_word",
    "kinds_of",
    "meaning",
    "read_dataclass",
    "shown",
]
