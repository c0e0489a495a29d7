"""What all networks share: the input check, `forward`, and how a checkpoint becomes one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, TypeVar, cast

from torch import Tensor, nn

from snn_voice_hub.config import SPEECH_COMMANDS, FeatureConfig, VoiceConfig, check_int
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.hub.checkpoints import Checkpoint, read_config, read_weights
from snn_voice_hub.models.pretrained import HubModel
from snn_voice_hub.packages import package_of

# What a recorder or counter wants to see of a forward pass: (layer name, tensor [T, B, ...]).
Tap = Callable[[str, Tensor], None]


Block = TypeVar("Block", bound=nn.Module)


def blocks(sequence: nn.Sequential, kind: type[Block]) -> list[Block]:
    """The members of a sequence that are of one class, typed as such."""
    return [member for member in sequence if isinstance(member, kind)]


class Network(nn.Module, HubModel):
    """Features in, logits out.

    Args:
        num_classes: Number of classes C, at least 1.

    Attributes:
        feature_dims: Dimensions of one clip's features without batch and channel: 1 (`[B, 1, N]`) or
            2 (`[B, 1, n_mels, frames]`).
        min_shape: Smallest such dimensions that the layers can take.
        default_features: Front end of a network that was made by hand, for its checkpoint.
    """

    feature_dims = 1
    min_shape: tuple[int, ...] = (1,)
    default_features: ClassVar[FeatureConfig] = FeatureConfig(kind="waveform", normalization="clip")

    def __init__(self, num_classes: int = 35) -> None:
        super().__init__()
        self.num_classes = check_int("num_classes", num_classes, low=1)
        # The configuration it was loaded with, so that loading and saving keep features and labels.
        self._loaded_config: VoiceConfig | None = None

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
        kept = dict(cast(dict[str, Any], self._hub_mixin_config or {}))
        lost = [name for name in self._hub_mixin_init_parameters if name != "self" and name not in kept]
        if lost:
            raise ConfigError(
                f"{type(self).__name__}: argument {lost[0]} can't be saved", hint="plain JSON values"
            )
        return kept

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
        network._loaded_config = config
        return network

    @classmethod
    def from_config(cls, config: VoiceConfig) -> Self:
        """The network that a configuration describes, with fresh weights.

        Raises:
            ConfigError: An argument is unknown or not legal.
        """
        legal = [name for name in cls._hub_mixin_init_parameters if name != "self"]
        unknown = [name for name in config.network if name not in legal]
        if unknown:
            raise ConfigError(
                f"{cls.__name__} has no argument network.{unknown[0]}", hint=f"legal: {', '.join(legal)}"
            )
        return cls(**{"num_classes": len(config.labels), **config.network})

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
        config = dataclasses.replace(config, architecture_package=package_of(type(self)))
        return config, self.state_dict()


class ConvNetwork(Network):
    """What the plain CNNs share: they have one "step".

    Args:
        num_classes: Number of classes C, at least 1.

    Raises:
        ConfigError: `num_classes` is not legal.
    """

    def __init__(self, num_classes: int = 35) -> None:
        super().__init__(num_classes)
        self.build()

    def forward_steps(self, features: Tensor) -> Tensor:
        """Logits as the one step `[1, B, C]`, so that a CNN can stand where its spiking twin stands."""
        out: Tensor = self(features)
        return out.unsqueeze(0)
