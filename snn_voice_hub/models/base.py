"""What all networks share: the input check, `forward`, and how a checkpoint becomes one."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import torch
from snn_voice_lite.visible import visible
from torch import Tensor, nn

from snn_voice_hub.config import (
    FORMAT_VERSION,
    MAX_CLASSES,
    SPEECH_COMMANDS,
    ArchitecturePackage,
    FeatureConfig,
    VoiceConfig,
    check_int,
    check_plain,
    kinds_of,
    shown,
)
from snn_voice_hub.errors import CheckpointError, ConfigError, SnnVoiceError
from snn_voice_hub.hub.checkpoints import Checkpoint, read_config, read_weights
from snn_voice_hub.models.pretrained import HubModel
from snn_voice_hub.models.saving import unwrapped, without_values
from snn_voice_hub.packages import is_announced, package_of
from snn_voice_hub.tensors import autocasts, float32_on_cpu

# What a recorder or counter wants to see of a forward pass: (layer name, tensor [T, B, ...]).
Tap = Callable[[str, Tensor], None]


Block = TypeVar("Block", bound=nn.Module)


def blocks(sequence: nn.Sequential, kind: type[Block], part: slice = slice(None)) -> list[Block]:
    """The members of a sequence, which are of one class, typed as such.

    Args:
        sequence: The sequence.
        kind: The class.
        part: Which of the members are of it.

    Raises:
        ConfigError: Something else stands there; it is not left out.
    """
    found = []
    for member in map(unwrapped, list(sequence)[part]):
        if not isinstance(member, kind):
            raise ConfigError(
                f"a {type(member).__name__} stands in the place of a {kind.__name__}",
                hint="another network is a class of its own; see register_architecture",
            )
        found.append(member)
    return found


def _bound(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor's call by name; none where it can't be called so."""
    try:
        call = inspect.signature(cls.__init__).bind(None, *args, **kwargs)  # type: ignore[misc]
    except TypeError:
        return {}
    call.apply_defaults()
    _, *rest = call.arguments.items()
    found: dict[str, Any] = {}
    for name, value in rest:
        if call.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found |= value
        else:
            found[name] = value
    return found


class Network(nn.Module, HubModel):
    """Features in, logits out.

    Args:
        num_classes: Number of classes C, at least 1.

    Attributes:
        min_shape: Smallest dimensions of one clip's features, without batch and channel, that the layers can
            take: one number for `[B, 1, N]`, two for `[B, 1, n_mels, frames]`.
        feature_dims: How many these are.
        default_features: Front end of a network that was made by hand, for its checkpoint.
    """

    # Set by `register_architecture`.
    _registered: ClassVar[bool]

    feature_dims = 1
    min_shape: tuple[int, ...] = (1,)
    default_features: ClassVar[FeatureConfig] = FeatureConfig(kind="waveform", normalization="clip")

    # What the constructor was called with; before __init__ there is nothing else to keep it.
    _arguments: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Count what `min_shape` names."""
        super().__init_subclass__(**kwargs)
        if "min_shape" in vars(cls):
            cls.feature_dims = len(cls.min_shape)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the constructor's arguments, defaults too: see `arguments`."""
        made: Self = super().__new__(cls, *args, **kwargs)
        object.__setattr__(made, "_arguments", _bound(cls, args, kwargs))
        return made

    def __init__(self, num_classes: int = 35) -> None:
        super().__init__()
        self.num_classes = check_int("num_classes", num_classes, low=1, high=MAX_CLASSES)
        # The configuration it was loaded with, so that loading and saving keep features and labels.
        self._loaded_config: VoiceConfig | None = None

    def make_layers(self) -> None:
        """Call `build()`, for layers in float32 on the CPU whatever torch's defaults say; `to` moves them."""
        with float32_on_cpu():
            self.build()

    def build(self) -> None:
        """Make the layers; called once, when all settings are known."""
        raise NotImplementedError(f"{type(self).__name__} does not define build()")

    def check_features(self, features: Tensor) -> None:
        """Raise `ConfigError` unless features are a float `[B, 1, ...]` that the layers can take."""
        shape = tuple(features.shape)
        fits = (
            features.ndim == 2 + self.feature_dims
            and shape[1] == 1
            and all(size >= low for size, low in zip(shape[2:], self.min_shape, strict=True))
        )
        if not fits or not features.is_floating_point():
            wanted = ", ".join(("B", "1", *(f">={low}" for low in self.min_shape)))
            raise ConfigError(
                f"{type(self).__name__} got features of shape {list(shape)}, {features.dtype}",
                hint=f"a float tensor [{wanted}]",
            )
        weight = next((p for p in self.parameters() if p.is_floating_point()), None)
        if weight is None or autocasts(features.device):
            return
        if (features.dtype, features.device) != (weight.dtype, weight.device):
            own, given = (f"{_short(t.dtype)} on {t.device}" for t in (weight, features))
            raise ConfigError(
                f"{type(self).__name__} computes in {own} and got features in {given}",
                hint=f'features.to("{weight.device}", torch.{_short(weight.dtype)})',
            )

    def forward(self, features: Tensor) -> Tensor:
        """Logits `[B, C]` of features `[B, 1, ...]`."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def encoded(self, features: Tensor, clip_seeds: Sequence[int] | None = None) -> Tensor:
        """Features `[B, 1, ...]` as the input of the time steps, `[T, B, 1, ...]`.

        Args:
            features: Model input.
            clip_seeds: One seed a clip, for encodings that draw; see `models.encoding.encode`.

        Returns:
            The input of each step, or `[1, B, 1, ...]` where it is the same in all.
        """
        self.check_features(features)
        return features.unsqueeze(0)

    def forward_encoded(self, x: Tensor) -> Tensor:
        """Logits `[B, C]` of what `encoded` gives."""
        out: Tensor = self(x[0])
        return out

    def arguments(self) -> dict[str, Any]:
        """The constructor's keyword arguments that make this network again.

        Raises:
            ConfigError: An argument can't be written to JSON.
        """
        for name, value in self._arguments.items():
            try:
                check_plain(name, value)
            except ConfigError as error:
                raise ConfigError(
                    f"{type(self).__name__}: argument {name} can't be saved: {error.message}",
                    hint="plain JSON values",
                ) from error
        return copy.deepcopy(self._arguments)

    def _bare_network(self) -> nn.Module:
        return self

    @classmethod
    def _from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        config = read_config(checkpoint)
        if config.architecture != cls.__name__:
            raise CheckpointError(
                f"{checkpoint.weights.parent} holds a {config.architecture}, not a {cls.__name__}",
                hint=f"{config.architecture}.from_pretrained(...), or SnnVoice.from_pretrained(...)",
            )
        network = cls.from_config(config)
        network.load_state_dict(read_weights(checkpoint, network.state_dict()))
        network._loaded_config = dataclasses.replace(
            config, network=network.arguments(), format_version=FORMAT_VERSION
        )
        return network

    @classmethod
    def from_config(cls, config: VoiceConfig) -> Self:
        """The network that a configuration describes, with fresh weights.

        Raises:
            ConfigError: An argument is unknown, missing or not legal, or the features do not fit.
        """
        cls._check_names(config.network)
        missing = [name for name in cls._legal_arguments()[0] if name not in config.network]
        # Before version 2 the class's own defaults stood in for what was not said.
        if missing and config.format_version >= 2:
            raise ConfigError(
                f"field network.{missing[0]} is missing",
                hint=f"every argument of {cls.__name__} is",
            )
        cls.check_front_end(config.features)
        return cls.from_arguments(config.network)

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Self:
        """The network with these arguments of its constructor, and fresh weights.

        Raises:
            ConfigError: An argument is unknown or not legal; the message names it.
        """
        cls._check_names(arguments)
        try:
            with float32_on_cpu():
                return cls(**arguments)
        except SnnVoiceError:
            raise
        except Exception as error:  # of a class that does not check: whatever its constructor raises
            raise ConfigError(
                f"{cls.__name__} can't be made with {cls._culprit(arguments)}: "
                f"{type(error).__name__}: {visible(error)}"
            ) from error

    @classmethod
    def _legal_arguments(cls) -> tuple[list[str], bool]:
        """Names of the constructor's arguments, and whether it takes others too (`**more`)."""
        parameters = list(cls._hub_mixin_init_parameters.values())[1:]
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        any_name = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
        return [p.name for p in parameters if p.kind not in variable], any_name

    @classmethod
    def _check_names(cls, arguments: Mapping[str, Any]) -> None:
        legal, any_name = cls._legal_arguments()
        unknown = [name for name in arguments if name not in legal]
        if unknown and not any_name:
            raise ConfigError(
                f"{cls.__name__} has no argument network.{visible(unknown[0])}",
                hint=f"legal: {', '.join(legal)}",
            )

    @classmethod
    def _culprit(cls, arguments: Mapping[str, Any]) -> str:
        """The arguments without which the class can be made; all, where it takes more than one of them."""
        wrong = []
        for name in arguments:
            try:
                cls(**{key: value for key, value in arguments.items() if key != name})
            except Exception:
                continue
            wrong.append(name)
        return ", ".join(f"network.{name}={shown(arguments[name])}" for name in wrong or arguments)

    @classmethod
    def check_front_end(cls, features: FeatureConfig) -> None:
        """Refuse a front end whose features the layers can't take.

        Raises:
            ConfigError: The message names the field.
        """
        shape = features.shape
        if len(shape) != cls.feature_dims:
            legal = " or ".join(map(repr, kinds_of(cls.feature_dims)))
            raise ConfigError(
                f"features.kind={features.kind!r} is not legal", hint=f"{cls.__name__} takes {legal}"
            )
        names = ("num_samples",) if len(shape) == 1 else ("n_mels", "num_samples")
        for name, size, low in zip(names, shape, cls.min_shape, strict=True):
            if size < low:
                raise ConfigError(
                    f"features.{name}={getattr(features, name)} is not legal: it gives features of shape "
                    f"{list(shape)}",
                    hint=f"{cls.__name__} takes {list(cls.min_shape)} at least",
                )

    @classmethod
    def describe(cls, config: VoiceConfig) -> Self:
        """The network that a configuration describes, for its names and shapes: there are no values.

        Raises:
            ConfigError: An argument is unknown or not legal.
        """
        return without_values(lambda: cls.from_config(config))

    def _described(self, config: VoiceConfig) -> nn.Module:
        return self.describe(config)

    def _to_checkpoint(self) -> tuple[VoiceConfig, dict[str, Tensor]]:
        config = self._loaded_config
        if config is None:
            known = self.num_classes == len(SPEECH_COMMANDS)
            labels = list(SPEECH_COMMANDS) if known else [f"class_{i}" for i in range(self.num_classes)]
            config = VoiceConfig(
                architecture=type(self).__name__,
                network=self.arguments(),
                features=self.default_features,
                labels=labels,
            )
        return dataclasses.replace(config, architecture_package=self._known()), self.state_dict()

    @classmethod
    def _known(cls) -> ArchitecturePackage | None:
        """Which package the class is of; None for one of ours.

        Raises:
            ConfigError: No other process could know the class by its name.
        """
        package = package_of(cls)
        if package is None or "_registered" in vars(cls) or is_announced(cls):
            return package
        raise ConfigError(
            f"the architecture {cls.__name__} is not registered: no other program could open what is saved",
            hint="@register_architecture above the class, or an entry point of its package",
        )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class ConvNetwork(Network):
    """What the plain CNNs share: they have one "step".

    Args:
        num_classes: Number of classes C, at least 1.

    Raises:
        ConfigError: `num_classes` is not legal.
    """

    def __init__(self, num_classes: int = 35) -> None:
        super().__init__(num_classes)
        self.make_layers()

    def forward_steps(self, features: Tensor) -> Tensor:
        """Logits as the one step `[1, B, C]`, so that a CNN can stand where its spiking twin stands."""
        out: Tensor = self(features)
        return out.unsqueeze(0)
