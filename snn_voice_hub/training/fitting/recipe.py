"""What a recipe may say, and how it is read: from YAML, and value by value from a command line."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # comes with huggingface_hub

from snn_voice_hub.config import (
    SILENCE,
    UNKNOWN,
    FeatureConfig,
    check_choice,
    check_int,
    check_number,
    check_plain,
    check_text,
    read_dataclass,
)
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.text import read_text

OPTIMIZERS = ("adamw", "adam")
CONSTANTS = ("none", "features", "all")
# Of one step, which is in memory; of a run that is meant to end.
_MAX_BATCH = 2**16
_MAX_EPOCHS = 100_000
_MAX_CHAIN = 64

_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


class _YamlLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no type information
    """Reads 1e-3 as a number, which is a text in YAML 1.1."""


_YamlLoader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789."))


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How strongly to change the clips.

    Attributes:
        shift: Largest shift in seconds, either way.
        speed: Largest relative change of speed (pitch goes along).
        gain_db: Lowest and highest gain in dB.
        noise: Share of clips that get background noise.
        snr_db: Lowest and highest signal-to-noise ratio of those, in dB.
        bands: Widest block of mel bands to blank (0: none), as in SpecAugment.
        frames: Longest block of frames to blank (0: none).
        mixup: Share of the clips that are mixed with another one; both words count, by their loudness.
        context: Share of the words that get other speech before or after them. This one and the next four
            need negatives.
        rir: Share of the clips that are heard in a room.
        music: Share with music behind it, as loud as noise is.
        babble: Share with other speech behind it.
        babble_db: Lowest and highest ratio of those to the other speech, in dB.
        band: Share that a telephone's band is left of.
        clipping: Share whose loudest samples are cut off.
        codec: Share that goes through MP3 or Opus at a low rate (10 to 30 ms a clip of one core).
    """

    shift: float = 0.1
    speed: float = 0.1
    gain_db: tuple[float, float] = (-15.0, 6.0)
    noise: float = 0.5
    snr_db: tuple[float, float] = (5.0, 30.0)
    bands: int = 0
    frames: int = 0
    mixup: float = 0.0
    context: float = 0.0
    rir: float = 0.0
    music: float = 0.0
    babble: float = 0.0
    babble_db: tuple[float, float] = (8.0, 25.0)
    band: float = 0.0
    clipping: float = 0.0
    codec: float = 0.0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is out of range; the message names it.
        """
        shares = ("mixup", "context", "rir", "music", "babble", "band", "clipping", "codec")
        for name in ("shift", "speed", "noise", *shares):
            check_number(f"augmentation.{name}", getattr(self, name), low=0.0, high=1.0)
        for name in ("bands", "frames"):
            check_int(f"augmentation.{name}", getattr(self, name), low=0)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How much of what the class `_unknown_` is learned from; the weights need not sum to 1.

    What needs negatives is left out where there are none.

    Attributes:
        speech: Windows of other speech, from negatives.
        words: Other single words, from negatives.
        pieces: Pieces of the model's own words, less than a half of each.
        joined: The end of one word and the beginning of another.
        reversed: Words turned round.
    """

    speech: float = 0.5
    words: float = 0.25
    pieces: float = 0.13
    joined: float = 0.06
    reversed: float = 0.06

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A weight is below 0, or there is nothing that needs no negatives.
        """
        for name in ("speech", "words", "pieces", "joined", "reversed"):
            check_number(f"mixture.{name}", getattr(self, name), low=0.0)
        if not self.pieces + self.joined + self.reversed:
            raise ConfigError(
                "mixture has nothing that is made of the words", hint="pieces, joined or reversed above 0"
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one checkpoint is trained.

    Attributes:
        architecture: A name in the registry.
        network: Keyword arguments of that class, besides `num_classes`.
        features: The front end; None for the one that the architecture names, see `front_end`.
        description: One line for tables and cards.
        constants: Which constants of a front end with normalization "fixed" are measured over the training
            clips: "none", "features" (of the spectrogram), or "all" (of the waveform as well).
        silence: Share of the batch that is noise without speech, labelled `_silence_` (0: no such class).
        unknown: Share of the batch that is speech without the words, labelled `_unknown_` (0: no such class).
        mixture: Of what that is made.
        augmentation: Changes to the clips; None leaves them alone, and their features are computed once.
        epochs: How often to validate, and to keep the weights if they are the best.
        steps: Batches an epoch; with 0, as many as make one pass over the recordings.
        batch_size: Clips a step.
        optimizer: "adamw" (no decay of biases and of the neurons' parameters), or "adam", whose decay is a
            part of the gradient, of all parameters.
        lr: Highest learning rate.
        pct_start: Share of the steps in which it rises (one cycle; Smith and Topin, 2018).
        three_phase: Whether the cycle falls as it has risen, and then goes on down.
        final_div_factor: First learning rate / last.
        weight_decay: Of the optimizer.
        gradient_clip: Longest gradient (0: as long as it comes).
        label_smoothing: Of the cross-entropy.
        ema: Decay a step of the averaged weights, which are the ones that are kept (0: no average).
        class_power: A word with n clips is drawn with a chance proportional to n ** class_power. With 1, each
            clip comes once an epoch.
        synthetic: Weight of a synthetic clip against a recorded one, within a word.
        threshold_percentile: Of a start from the CNN twin: each layer's threshold comes from this percentile
            of what its ReLU gave; see `fitting.conversion` (0: thresholds stay as they are).
        distil: Weight of the teachers' answers in the loss, where there are teachers.
        chain: Of a network whose steps are those of the sound: so many clips follow one another as one
            stream; see `fitting.chains`.
        between: Weight of the teachers' answers on the way from one clip to the next.
        running: Streams of other speech that goes on, for each stream of clips. No word is to be heard in
            them; the weight of that is the same number.
        along: Weight of what a teacher says whose steps are those of this network: it hears the streams too,
            and is followed all along them.
        patience: Epochs without a better validation loss after which training ends (0: never).
    """

    architecture: str
    network: dict[str, Any] = field(default_factory=dict)
    features: FeatureConfig | None = None
    description: str = ""
    constants: str = "features"
    silence: float = 0.0
    unknown: float = 0.0
    mixture: Mixture = field(default_factory=Mixture)
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    epochs: int = 15
    steps: int = 0
    batch_size: int = 64
    optimizer: str = "adamw"
    lr: float = 2e-3
    pct_start: float = 0.2
    three_phase: bool = False
    final_div_factor: float = 1e4
    weight_decay: float = 1e-2
    gradient_clip: float = 5.0
    label_smoothing: float = 0.05
    ema: float = 0.998
    class_power: float = 0.25
    synthetic: float = 0.25
    threshold_percentile: float = 0.0
    distil: float = 0.0
    chain: int = 1
    between: float = 0.0
    running: float = 0.0
    along: float = 0.0
    patience: int = 0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is out of range; the message names it.
        """
        check_text("architecture", self.architecture)
        check_text("description", self.description)
        check_plain("network", self.network)
        if "num_classes" in self.network:
            raise ConfigError("network.num_classes is no choice", hint="it is the number of words")
        check_int("epochs", self.epochs, low=1, high=_MAX_EPOCHS)
        check_int("batch_size", self.batch_size, low=1, high=_MAX_BATCH)
        check_int("chain", self.chain, low=1, high=_MAX_CHAIN)
        for name in ("patience", "steps"):
            check_int(name, getattr(self, name), low=0)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("constants", self.constants, CONSTANTS)
        for name in ("lr", "final_div_factor"):
            check_number(name, getattr(self, name), above=0.0)
        for name in (
            "weight_decay",
            "gradient_clip",
            "class_power",
            "synthetic",
            "between",
            "running",
            "along",
        ):
            check_number(name, getattr(self, name), low=0.0)
        check_number("threshold_percentile", self.threshold_percentile, low=0.0, high=100.0)
        for name in ("silence", "unknown", "pct_start", "label_smoothing", "ema", "distil"):
            check_number(name, getattr(self, name), low=0.0, high=1.0)
        for name in ("silence", "unknown"):
            share: float = getattr(self, name)
            if share and not 0 < round(share * self.batch_size) < self.batch_size:
                raise ConfigError(
                    f"{name}={share:g} of {self.batch_size} clips is no clip, or all of them",
                    hint="0, or a share that leaves room for words",
                )
            if share and self.augmentation is None:
                raise ConfigError(f"{name} needs an augmentation, which makes it", hint="augmentation: {}")
        if self.running and not self.unknown:
            raise ConfigError("running needs a class for what is heard there", hint="unknown: 0.2")
        if self.quiet + self.strange >= self.batch_size:
            raise ConfigError("silence and unknown leave no room for words", hint="smaller shares")

    @property
    def quiet(self) -> int:
        """Clips of a batch in which nobody speaks."""
        return round(self.silence * self.batch_size)

    @property
    def strange(self) -> int:
        """Clips of a batch that hold speech without the words."""
        return round(self.unknown * self.batch_size)

    @property
    def extra_labels(self) -> list[str]:
        """Labels besides the words."""
        return [SILENCE] * bool(self.silence) + [UNKNOWN] * bool(self.unknown)

    @property
    def front_end(self) -> FeatureConfig:
        """`features`, or those that the architecture names.

        Raises:
            ConfigError: There is no such architecture.
        """
        if self.features is not None:
            return self.features
        from snn_voice_hub.registry import get_architecture  # it needs PyTorch, and recipes do not

        return get_architecture(self.architecture).default_features

    def complete(self) -> Recipe:
        """The same recipe with its front end in it.

        Raises:
            ConfigError: There is no such architecture.
        """
        return dataclasses.replace(self, features=self.front_end)

    def to_dict(self) -> dict[str, Any]:
        """All values, ready for YAML or JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, data: object) -> Recipe:
        """Read a recipe, strictly.

        Raises:
            ConfigError: An unknown field, or a value that is not legal.
        """
        return read_dataclass(cls, data)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a YAML file.

    Raises:
        SnnVoiceError: It can't be read, or is no recipe; the message names the file and the field.
    """
    try:
        return Recipe.from_dict(read_yaml(read_text(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise SnnVoiceError(f"{path} can't be read: {error}") from error
    except SnnVoiceError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error


def changed(recipe: Recipe, changes: Iterable[str]) -> Recipe:
    """A recipe with other values.

    Args:
        recipe: What to start from.
        changes: `FIELD=VALUE`; a field inside another one is named `augmentation.noise`.

    Raises:
        ConfigError: A change names no field, or its value is not legal.
    """
    changes = list(changes)
    if any(change.startswith("features.") for change in changes):
        recipe = recipe.complete()
    data = recipe.to_dict()
    for change in changes:
        name, equals, text = change.partition("=")
        *outer, last = name.strip().split(".")
        inside: Any = data
        for part in outer:
            inside = inside.get(part) if isinstance(inside, dict) else None
            if inside is None:
                break
        # Arguments of a network have defaults of their own, so that the recipe need not have them.
        known = isinstance(inside, dict) and (last in inside or outer == ["network"])
        if not equals or not known:
            raise ConfigError(
                f"{change!r} changes no field of the recipe",
                hint=f"FIELD=VALUE with one of {', '.join(data)}, or augmentation.noise=0.3",
            )
        inside[last] = read_yaml(text)
    return Recipe.from_dict(data)


def read_yaml(text: str) -> Any:
    """What YAML says.

    Raises:
        ConfigError: It is none.
    """
    try:
        return yaml.load(text, _YamlLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # of dates, of numbers too long
        raise ConfigError("this is not valid YAML", hint=" ".join(str(error).split())) from error
