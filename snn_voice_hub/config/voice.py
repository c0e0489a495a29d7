"""All of `config.json`: what turns a waveform into words, and what is known about it."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snn_voice_lite.config.detection import DetectionConfig
from snn_voice_lite.config.features import FeatureConfig
from snn_voice_lite.config.labels import check_labels
from snn_voice_lite.config.values import (
    check_choice,
    check_int,
    check_number,
    check_plain,
    check_text,
    read_dataclass,
    refusal,
    shown,
)

from snn_voice_hub.config.package import ArchitecturePackage
from snn_voice_hub.config.reading import read_json
from snn_voice_hub.config.upgrade import upgraded
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.install import UPGRADE
from snn_voice_hub.writing import write_together

FORMAT_VERSION = 3
LIBRARY_NAME = "snn-voice-hub"
# What weights are kept in on the disk.
WEIGHT_DTYPES = ("float32", "float16", "bfloat16")
# Time steps of a spiking network, and values of its input over all of them: what one pass takes in memory
# grows with both.
MAX_STEPS = 1000
_MAX_INPUT = 2**23
# The encoding of spiking networks whose time steps are those of the sound; and how many frames of the front
# end a step hears, in those of this library and in their twins, which have no encoding.
FRAMES = "frames"
FRAMES_PER_STEP = {"TempoCNN": 2, "TempoSNN": 2, "MicroCNN": 1, "MicroSNN": 1}


@dataclass(frozen=True, kw_only=True)
class VoiceConfig:
    """All of `config.json`: architecture and its arguments, features, labels, and what was measured.

    Attributes:
        architecture: A name in the registry, for example "M5SNN".
        architecture_package: Where that comes from, if it is not one of this library's.
        network: Keyword arguments of that class.
        features: See `FeatureConfig`.
        labels: One label a class, in index order; labels such as `_silence_` are not words.
        temperature: Logits are divided by it before the softmax; fitted on validation clips.
        detection: From which score on a word of a stream counts as said; None where nobody has chosen that.
        name: The checkpoint's name.
        description: One line for tables and cards.
        license: SPDX-like name of the weights' licence.
        dtype: What the file of weights holds, one of `WEIGHT_DTYPES`; networks are loaded in float32 unless
            another dtype is asked for.
        data: Where the training sound came from, with licence and attribution.
        training: The recipe that made the weights.
        metrics: Figures that `snn-voice evaluate` measured.
        format_version: Version of this file's layout. From 2 on, `network` holds every argument.
        library_name: Always "snn-voice-hub".
    """

    architecture: str
    network: dict[str, Any]
    features: FeatureConfig
    labels: list[str]
    temperature: float = 1.0
    architecture_package: ArchitecturePackage | None = None
    detection: DetectionConfig | None = None
    name: str = ""
    description: str = ""
    license: str = ""
    dtype: str = "float32"
    data: list[dict[str, Any]] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    library_name: str = LIBRARY_NAME

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is out of range; the message names it.
        """
        check_text("architecture", self.architecture, most=200)
        for name in ("name", "description", "license"):
            check_text(name, getattr(self, name))
        for name in ("network", "data", "training", "metrics"):
            check_plain(name, getattr(self, name))
        # Further out, logits overflow or all words score the same.
        check_number("temperature", self.temperature, low=1e-6, high=1e6)
        check_choice("dtype", self.dtype, WEIGHT_DTYPES)
        check_labels(self.labels)
        for word in self.detection.thresholds if self.detection else ():
            check_choice("a name in detection.thresholds", word, tuple(self.labels))
        num_classes = self.network.get("num_classes")
        if num_classes is not None and num_classes != len(self.labels):
            raise ConfigError(
                f"labels has {len(self.labels)} entries, network.num_classes is {shown(num_classes)}",
                hint="one label a class",
            )
        self._check_size()

    def _check_size(self) -> None:
        """Refuse more steps than the memory of a machine holds."""
        num_steps = self.network.get("num_steps", 1)
        if isinstance(num_steps, int):  # an architecture of one's own may call something else so
            check_int("network.num_steps", num_steps, low=1, high=MAX_STEPS)
            values = math.prod(self.features.shape)
            if not self.is_framed and num_steps * values > _MAX_INPUT:
                raise refusal(
                    "network.num_steps", num_steps, f"at most {_MAX_INPUT // values} with these features"
                )

    @property
    def is_framed(self) -> bool:
        """Whether the network's time steps are those of the sound; else they repeat a window, or are none."""
        return self.architecture in FRAMES_PER_STEP or self.network.get("encoding") == FRAMES

    @property
    def is_spiking(self) -> bool:
        """Whether the network is a spiking one, as far as its arguments tell."""
        return "beta" in self.network or ("num_steps" in self.network and not self.is_framed)

    @property
    def step_seconds(self) -> float | None:
        """How much sound a time step hears; None where steps repeat a window, or where that is not known."""
        frames = FRAMES_PER_STEP.get(self.architecture)
        return None if frames is None else frames * self.features.hop_length / self.features.feature_rate

    @property
    def title(self) -> str:
        """What it is called: by its name, or by its architecture where it has none."""
        return self.name or self.architecture

    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> VoiceConfig:
        """Read the content of `config.json`, strictly; that of an older layout in its meaning.

        Raises:
            ConfigError: Not a configuration of this library, a newer layout, or a bad field.
        """
        if not isinstance(data, dict):
            raise ConfigError("config.json does not hold a JSON object")
        library = data.get("library_name")
        if library != LIBRARY_NAME:
            made_by = f"library_name is {shown(library)}" if library else "it has no library_name"
            raise ConfigError(
                f"config.json is not one of this library: {made_by}",
                hint=f"a checkpoint saved by snn-voice-hub has library_name {LIBRARY_NAME!r}",
            )
        version = check_int("format_version", data.get("format_version"), low=1)
        if version > FORMAT_VERSION:
            raise ConfigError(
                f"config.json has format_version {version}, this release reads up to {FORMAT_VERSION}",
                hint=UPGRADE,
            )
        data = upgraded(data)
        config = read_dataclass(cls, data)
        _check_whole(data)
        return config

    def to_json(self) -> str:
        """The text of `config.json`, as `load` takes it.

        Raises:
            ConfigError: It would not take it: something was changed since it was checked.
        """
        self.__post_init__()
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def save(self, path: Path) -> None:
        """Write `config.json` to `path`.

        Raises:
            ConfigError: See `to_json`.
            OSError: It can't be written; what was there stays.
        """
        write_together({path: self.to_json()})

    @classmethod
    def load(cls, path: Path) -> VoiceConfig:
        """Read `config.json` at `path`.

        Raises:
            ConfigError: The file is not JSON or not a legal configuration; the message names the file.
        """
        try:
            return cls.from_dict(read_json(path))
        except OSError as error:
            raise ConfigError(f"{path} can't be read: {error.strerror}") from error
        except ConfigError as error:
            raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error


def _check_whole(data: dict[str, Any]) -> None:
    """Refuse to leave to a default of this release what answers depend on.

    Args:
        data: Legal as far as it goes.
    """
    missing = [] if "temperature" in data else ["temperature"]
    fields = dataclasses.fields(FeatureConfig)
    missing += [f"features.{f.name}" for f in fields if f.name not in data["features"]]
    if missing:
        raise ConfigError(f"field {missing[0]} is missing")
