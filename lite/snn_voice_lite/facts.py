"""What a lite file says of its model: a JSON text in the metadata of an ONNX graph."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from snn_voice_lite.config import (
    DetectionConfig,
    FeatureConfig,
    check_bool,
    check_choice,
    check_int,
    check_labels,
    check_number,
    check_text,
    read_dataclass,
)
from snn_voice_lite.errors import ConfigError
from snn_voice_lite.hearing.frames import FrameFacts, LayerInState

# The names of the text, and of the hash of what the file was made from, in the metadata.
KEY: Final = "snn_voice_lite"
MADE_FROM: Final = "made_from"
# 1: a graph of a network on frames takes one step in a run.
FORMAT_VERSION: Final = 2
WINDOWS, FRAMES = KINDS = ("windows", "frames")

# Of the mel filters: the only ones that there are, said for programs that have others.
_MEL: Final = {"mel_scale": "htk", "mel_norm": None}


@dataclass(frozen=True, kw_only=True)
class FramesText:
    """`frames` in the text, of a network whose steps are those of the sound.

    Attributes:
        frames_per_step: Frames of the spectrogram that a step hears.
        lead_frames: Frames of 0 before the first of a clip or stream.
        num_steps: Outputs that make an answer.
        state_size: Values that are remembered of a stream.
        step_seconds: How much sound a step is.
        features: The front end, which is not in the graph: all fields of `FeatureConfig`, `mel_scale` and
            `mel_norm`.
        neurons: Its layers of neurons, for who wants to see their spikes.
        at_once: Whether a run of the graph takes several steps, `[T, B, ...]`, instead of one.
    """

    frames_per_step: int
    lead_frames: int
    num_steps: int
    state_size: int
    step_seconds: float
    features: dict[str, Any]
    neurons: list[LayerInState] = field(default_factory=list)
    at_once: bool = False

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is not legal; the message names it.
        """
        check_int("frames.frames_per_step", self.frames_per_step, low=1, high=100)
        check_int("frames.lead_frames", self.lead_frames, low=0, high=100)
        check_int("frames.num_steps", self.num_steps, low=1, high=1000)
        check_int("frames.state_size", self.state_size, low=1, high=2**24)
        check_bool("frames.at_once", self.at_once)
        for neurons in self.neurons:
            if not 0 <= neurons.begin <= neurons.end <= self.state_size:
                raise ConfigError(f"frames.neurons has {neurons.name!r} outside of the state")

    @property
    def facts(self) -> FrameFacts:
        """What the hearing of a stream needs."""
        return FrameFacts(
            self.frames_per_step, self.lead_frames, self.num_steps, self.state_size, tuple(self.neurons)
        )

    def front_end(self) -> FeatureConfig:
        """The front end.

        Raises:
            ConfigError: It is none, or one with other filters.
        """
        told = dict(self.features)
        for name, only in _MEL.items():
            if (given := told.pop(name, only)) != only:
                raise ConfigError(f"frames.features.{name}={given!r} is not legal", hint=f"only {only!r}")
        found = read_dataclass(FeatureConfig, told, "frames.features.")
        for name, legal in (
            ("kind", "logmel"),
            ("normalization", "fixed"),
            ("feature_rate", found.sample_rate),
        ):
            if (given := getattr(found, name)) != legal:
                raise ConfigError(f"frames.features.{name}={given!r} is not legal", hint=f"only {legal!r}")
        return found


@dataclass(frozen=True, kw_only=True)
class LiteConfig:
    """All of the text.

    Attributes:
        kind: Whether the graph hears "windows", or "frames" one after the other.
        labels: One label a class, in index order.
        sample_rate: Rate in Hz of the sound.
        num_samples: Length of the model's window in samples.
        temperature: Logits are divided by it before the softmax.
        detection: The operating point for sound that goes on.
        name: The checkpoint's name.
        architecture: Its network.
        license: Licence of the weights.
        made_by: Program and version that wrote the file.
        metrics: Figures of the checkpoint.
        frames: Of a network on frames.
        format_version: Version of the text's layout.
    """

    kind: str
    labels: list[str]
    sample_rate: int
    num_samples: int
    temperature: float
    detection: DetectionConfig
    name: str = ""
    architecture: str = ""
    license: str = ""
    made_by: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    frames: FramesText | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is not legal; the message names it.
        """
        check_int("format_version", self.format_version, low=1, high=FORMAT_VERSION)
        check_choice("kind", self.kind, KINDS)
        check_labels(self.labels)
        check_number("temperature", self.temperature, low=1e-6, high=1e6)
        for name in ("name", "architecture", "license", "made_by"):
            check_text(name, getattr(self, name))
        for word in self.detection.thresholds:
            check_choice("a name in detection.thresholds", word, tuple(self.labels))
        if (self.frames is not None) != (self.kind == FRAMES):
            raise ConfigError(f"kind={self.kind!r} does not go with frames", hint="frames is for kind frames")
        if self.frames is not None:
            frames = self.features.shape[1] - self.frames.lead_frames
            most = frames // self.frames.frames_per_step
            if self.frames.num_steps > most:
                raise ConfigError(
                    f"frames.num_steps={self.frames.num_steps} is not legal: a window has {most} steps",
                    hint="at most that many",
                )
        for name in ("sample_rate", "num_samples"):
            if getattr(self.features, name) != getattr(self, name):
                raise ConfigError(f"frames.features.{name} is not {name}", hint="the same")

    @cached_property
    def features(self) -> FeatureConfig:
        """The front end outside of the graph: a graph that hears windows takes their samples as they are."""
        if self.frames is not None:
            return self.frames.front_end()
        return FeatureConfig(
            kind="waveform",
            sample_rate=self.sample_rate,
            num_samples=self.num_samples,
            feature_rate=self.sample_rate,
        )

    @property
    def title(self) -> str:
        """What the model is called: its name, or its architecture where it has none."""
        return self.name or self.architecture or "the model"

    @classmethod
    def read(cls, text: str) -> LiteConfig:
        """The facts in a text.

        Raises:
            ConfigError: It is no JSON, of a later version, or a value is not legal.
        """
        try:
            told = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{KEY} in the metadata is no JSON") from error
        version = told.get("format_version") if isinstance(told, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ConfigError(
                f"format_version={version} is later than this package knows",
                hint=f"up to {FORMAT_VERSION}; a later snn-voice-lite reads it",
            )
        return read_dataclass(cls, told)

    def text(self) -> str:
        """The text that `read` reads."""
        told = dataclasses.asdict(self)
        if self.frames is None:
            del told["frames"]
        return json.dumps(told, ensure_ascii=False)


def front_end_text(config: FeatureConfig) -> dict[str, Any]:
    """`features` of `FramesText`."""
    return dataclasses.asdict(config) | _MEL
