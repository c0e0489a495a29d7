"""Typed configuration <-> `config.json`.

Reading is strict: an unknown field, a wrong type or an illegal value is a `ConfigError` that names the
field and what would be legal. A configuration says everything that turns a waveform into words.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from snn_voice_hub.errors import ConfigError

FORMAT_VERSION = 1
LIBRARY_NAME = "snn-voice-hub"
# What weights are kept in on the disk.
WEIGHT_DTYPES = ("float32", "float16", "bfloat16")

KINDS = ("waveform", "logmel")
NORMALIZATIONS = ("fixed", "clip", "batch")

# The 35 words of Speech Commands v0.02 in the paper's index order.
SPEECH_COMMANDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go"),
    *("happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven"),
    *("sheila", "six", "stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero"),
)

# Labels that stand for "no word"; by convention they are written between underscores.
SILENCE = "_silence_"


def is_word(label: str) -> bool:
    """Whether a label is a spoken word, not a class such as `_silence_`."""
    return not (label.startswith("_") and label.endswith("_"))


# --- values ---------------------------------------------------------------------------------------


def check_choice(name: str, value: object, legal: tuple[str, ...]) -> str:
    """Return `value` if it is one of `legal`, else raise `ConfigError` naming the field."""
    if not isinstance(value, str) or value not in legal:
        raise ConfigError(f"{name}={value!r} is not legal", hint=f"one of {', '.join(map(repr, legal))}")
    return value


def check_int(name: str, value: object, *, low: int) -> int:
    """Return `value` if it is a whole number of at least `low`, else raise `ConfigError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"{name}={value!r} is not legal", hint=f"a whole number of at least {low}")
    return value


def check_bool(name: str, value: object) -> bool:
    """Return `value` if it is True or False, else raise `ConfigError`."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r} is not legal", hint="True or False")
    return value


def check_number(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float | None = None,
) -> float:
    """Return `value` as a float if it is finite, within [low, high] and above `above`."""
    legal = "a finite number"
    if above is not None:
        legal += f" above {above:g}" + (f", up to {high:g}" if high < math.inf else "")
    elif low > -math.inf:
        legal += f" from {low:g}" + (f" to {high:g}" if high < math.inf else "")
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= typing.cast(float, value) <= high:
        raise ConfigError(f"{name}={value!r} is not legal", hint=legal)
    number = float(typing.cast(float, value))
    if above is not None and number <= above:
        raise ConfigError(f"{name}={value!r} is not legal", hint=legal)
    return number


# --- configurations -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """How a waveform becomes the model's input; see `features.Features` for the computation.

    The defaults are the paper's (REFERENCE: `Eve-ning/snn_voice`), so that a configuration states only
    what it changes.

    Attributes:
        kind: "waveform" (`[B, 1, N]`) or "logmel" (`[B, 1, n_mels, frames]`).
        sample_rate: Rate in Hz of the waveforms handed in.
        num_samples: Length of the model's window, in samples at `sample_rate`.
        feature_rate: Rate in Hz to which torchaudio resamples before anything else.
        normalization: "fixed" (the constants below), "clip" (each clip by itself) or "batch" (over the
            whole batch, as the paper trained: an answer then depends on the clip's batch-mates).
        waveform_mean: Mean of the waveform at `feature_rate`, for "fixed".
        waveform_std: Its standard deviation, for "fixed".
        mel_rate: Rate in Hz that the mel filters assume (the paper's assume 16 kHz on 4 kHz sound).
        n_fft: FFT size in samples.
        win_length: Window in samples.
        hop_length: Hop in samples.
        n_mels: Number of mel bands.
        f_min: Lowest frequency of the mel filters, Hz.
        f_max: Highest frequency of the mel filters, Hz; None for half of `mel_rate`.
        log_offset: Added before the logarithm.
        ignore_below: Log-mel values not above this are left out of mean and deviation.
        feature_mean: Mean of the log-mel values, for "fixed".
        feature_std: Their standard deviation, for "fixed".
        zero_below: Standardised values below this become 0.
    """

    kind: str
    sample_rate: int = 16_000
    num_samples: int = 16_000
    feature_rate: int = 4_000
    normalization: str = "fixed"
    waveform_mean: float = 0.0
    waveform_std: float = 1.0
    mel_rate: int = 16_000
    n_fft: int = 400
    win_length: int = 60
    hop_length: int = 30
    n_mels: int = 60
    f_min: float = 0.0
    f_max: float | None = None
    log_offset: float = 2.22e-16
    ignore_below: float | None = -20.0
    feature_mean: float = 0.0
    feature_std: float = 1.0
    zero_below: float | None = -5.0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is out of range; the message names it.
        """
        check_choice("features.kind", self.kind, KINDS)
        check_choice("features.normalization", self.normalization, NORMALIZATIONS)
        if not 4_000 <= check_int("features.sample_rate", self.sample_rate, low=1) <= 192_000:
            raise ConfigError(
                f"features.sample_rate={self.sample_rate} is not legal",
                hint="4000 to 192000 Hz, as audio.load takes",
            )
        for name in ("feature_rate", "mel_rate"):
            check_int(f"features.{name}", getattr(self, name), low=1000)
        for name in ("num_samples", "n_fft", "win_length", "hop_length", "n_mels"):
            check_int(f"features.{name}", getattr(self, name), low=1)
        for name in ("waveform_std", "feature_std", "log_offset"):
            check_number(f"features.{name}", getattr(self, name), above=0.0)
        for name in ("waveform_mean", "feature_mean"):
            check_number(f"features.{name}", getattr(self, name))
        check_number("features.f_min", self.f_min, low=0.0)
        if self.win_length > self.n_fft:
            raise ConfigError(
                f"features.win_length={self.win_length} is not legal", hint=f"at most n_fft={self.n_fft}"
            )
        top = self.mel_rate / 2
        if self.f_max is not None and not self.f_min < check_number("features.f_max", self.f_max) <= top:
            raise ConfigError(
                f"features.f_max={self.f_max!r} is not legal", hint=f"above f_min and at most {top:g} Hz"
            )

    @property
    def seconds(self) -> float:
        """Length of the model's window in seconds."""
        return self.num_samples / self.sample_rate


# They come from anybody's repository and are put into commands that a person may copy.
_MODULE = re.compile(r"[A-Za-z_][\w-]*(\.\w+)*", re.ASCII)
_PACKAGE = re.compile(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][\w.!+-]*", re.ASCII)
_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class ArchitecturePackage:
    """Where an architecture comes from that is not one of this library. It is told, and never imported.

    Attributes:
        module: What to import, for example "mynets"; "__main__" where that was an interactive session.
        name: What to install, for example "my-nets"; None for a module that no installed package holds.
        version: Of the installed package.
    """

    module: str
    name: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is no such name; the message names it.
        """
        for field_name, legal in (("module", _MODULE), ("name", _PACKAGE), ("version", _VERSION)):
            value = getattr(self, field_name)
            if value is not None and not (len(value) <= _LONGEST_NAME and legal.fullmatch(value)):
                raise ConfigError(
                    f"architecture_package.{field_name}={value!r:.80} is not legal",
                    hint="names as Python and pip write them",
                )

    def __str__(self) -> str:
        if self.name is None:
            return f"the module {self.module}"
        return f"the package {self.requirement.replace('==', ' ')}"

    @property
    def requirement(self) -> str:
        """As pip writes it: `my-nets==1.2`; empty where there is no package."""
        return "".join(filter(None, [self.name, self.version and f"=={self.version}"]))


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
        name: The checkpoint's name.
        description: One line for tables and cards.
        license: SPDX-like name of the weights' licence.
        dtype: What the file of weights holds, one of `WEIGHT_DTYPES`; networks are loaded in float32 unless
            another dtype is asked for.
        data: Where the training sound came from, with licence and attribution.
        training: The recipe that made the weights.
        metrics: Figures that `snn-voice evaluate` measured.
        format_version: Version of this file's layout.
        library_name: Always "snn-voice-hub".
    """

    architecture: str
    network: dict[str, Any]
    features: FeatureConfig
    labels: list[str]
    temperature: float = 1.0
    architecture_package: ArchitecturePackage | None = None
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
        check_number("temperature", self.temperature, above=0.0)
        check_choice("dtype", self.dtype, WEIGHT_DTYPES)
        if not self.labels:
            raise ConfigError("labels is empty", hint="one label a class, in index order")
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise ConfigError(f"labels holds {twice[0]!r} twice", hint="every label once")
        num_classes = self.network.get("num_classes")
        if num_classes is not None and num_classes != len(self.labels):
            raise ConfigError(
                f"labels has {len(self.labels)} entries, network.num_classes is {num_classes}",
                hint="one label a class",
            )

    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> VoiceConfig:
        """Read the content of `config.json`, strictly.

        Raises:
            ConfigError: Not a configuration of this library, a newer layout, or a bad field.
        """
        if not isinstance(data, dict):
            raise ConfigError("config.json does not hold a JSON object")
        library = data.get("library_name")
        if library != LIBRARY_NAME:
            made_by = f"library_name is {library!r}" if library else "it has no library_name"
            raise ConfigError(
                f"config.json is not one of this library: {made_by}",
                hint=f"a checkpoint saved by snn-voice-hub has library_name {LIBRARY_NAME!r}",
            )
        version = data.get("format_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise ConfigError(
                f"format_version={version!r} is not legal", hint=f"a number from 1 to {FORMAT_VERSION}"
            )
        if version > FORMAT_VERSION:
            raise ConfigError(
                f"config.json has format_version {version}, this release reads up to {FORMAT_VERSION}",
                hint="pip install --upgrade snn-voice-hub",
            )
        return read_dataclass(cls, data)

    def save(self, path: Path) -> None:
        """Write `config.json` to `path`."""
        path.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> VoiceConfig:
        """Read `config.json` at `path`.

        Raises:
            ConfigError: The file is not JSON or not a legal configuration; the message names the file.
        """
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid JSON") from error
        except ConfigError as error:
            raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error


T = TypeVar("T")


def read_dataclass(cls: type[T], data: object, where: str = "") -> T:
    """Build a dataclass, and those inside it, from a plain dict.

    Args:
        cls: The dataclass.
        data: What JSON or YAML gave.
        where: Dotted prefix of the fields' names in messages.

    Raises:
        ConfigError: An unknown or a missing field, or a wrong type.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where.rstrip('.')} is {data!r}", hint="a JSON object")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = [key for key in data if key not in fields]
    if unknown:
        raise ConfigError(f"unknown field {where}{unknown[0]}", hint=f"legal fields: {', '.join(fields)}")
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise ConfigError(f"field {where}{name} is missing")
    hints = typing.get_type_hints(cls)
    return cls(**{key: _convert(hints[key], value, f"{where}{key}") for key, value in data.items()})


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Check `value` against a type hint; nested dataclasses are built."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is types.UnionType:
        if value is None and type(None) in args:
            return None
        (inner,) = (a for a in args if a is not type(None))
        return _convert(inner, value, name)
    if dataclasses.is_dataclass(hint):
        return read_dataclass(typing.cast(type, hint), value, f"{name}.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(args):
        pairs = enumerate(zip(args, value, strict=True))
        return tuple(_convert(arg, item, f"{name}[{i}]") for i, (arg, item) in pairs)
    plain = origin or hint
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise ConfigError(f"{name}={value!r} is not legal", hint=f"a value of type {plain.__name__}")
    if origin is list:
        return [_convert(args[0], item, f"{name}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        return {key: _convert(args[1], item, f"{name}.{key}") for key, item in value.items()}
    return value
