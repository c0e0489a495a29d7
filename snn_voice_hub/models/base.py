"""What all networks share: the input check, `forward`, and the mixin that loads and saves them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, cast

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import Tensor, nn

from snn_voice_hub.config import LIBRARY_NAME, SPEECH_COMMANDS, FeatureConfig, VoiceConfig, check_int
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.hub.cards import make_card
from snn_voice_hub.hub.checkpoints import read_config, read_weights, resolve, write_checkpoint

# What a recorder or counter wants to see of a forward pass: (layer name, tensor [T, B, ...]).
Tap = Callable[[str, Tensor], None]


Block = TypeVar("Block", bound=nn.Module)


def blocks(sequence: nn.Sequential, kind: type[Block]) -> list[Block]:
    """The members of a sequence that are of one class, typed as such."""
    return [member for member in sequence if isinstance(member, kind)]


class HubModel(
    PyTorchModelHubMixin,
    library_name=LIBRARY_NAME,
    pipeline_tag="audio-classification",
    paper_url="https://github.com/Eve-ning/snn_voice",
):
    """`from_pretrained`, `save_pretrained` and `push_to_hub` over a checkpoint folder.

    huggingface_hub's mixin by itself drops unknown fields of the configuration, leaves missing weights
    random and prints; both of its hooks are replaced here by a strict reader and writer.
    """

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Load a checkpoint, in evaluation mode.

        Args:
            pretrained_model_name_or_path: None for the bundled default, a bundled name (see
                `list_models`), a checkpoint folder, or a Hub id `owner/name`.
            revision: Branch, tag or commit of a Hub repository.
            token: Hub token; by default the one of `hf auth login`.
            cache_dir: The Hub client's cache folder.
            local_files_only: Use what an earlier download left, and never the network.
            force_download: Download again even where the cache has it.
            device: "cpu", "cuda", "mps", or "auto" for the best there is.

        Returns:
            The model.

        Raises:
            CheckpointError: No such checkpoint, or weights that do not fit.
            ConfigError: A bad `config.json` or device.
        """
        folder = resolve(
            pretrained_model_name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        return cls._from_pretrained(model_id=str(folder), device=device)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, device: str | torch.device = "cpu", **_: Any) -> Self:
        model = cls._from_checkpoint(Path(model_id))
        assert isinstance(model, nn.Module)
        model.to(pick_device(device)).eval()
        return model

    def _save_pretrained(self, save_directory: Path) -> None:
        config, weights = self._to_checkpoint()
        write_checkpoint(save_directory, config, weights)

    def generate_model_card(self, *_: Any, **kwargs: Any) -> ModelCard:
        """The README.md of a saved checkpoint."""
        return make_card(self._to_checkpoint()[0], kwargs.get("repo_id"))

    @classmethod
    def _from_checkpoint(cls, folder: Path) -> Self:
        """Build the model of a checkpoint folder."""
        raise NotImplementedError(f"{cls.__name__} does not define _from_checkpoint()")

    def _to_checkpoint(self) -> tuple[VoiceConfig, dict[str, Tensor]]:
        """Configuration and the bare network's state dict."""
        raise NotImplementedError(f"{type(self).__name__} does not define _to_checkpoint()")


def pick_device(device: str | torch.device) -> torch.device:
    """The torch device of that name; "auto" takes CUDA, then Apple's GPU, then the CPU.

    Raises:
        ConfigError: Not a device, or not on this machine.
    """
    if device == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(name)
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"device={device!r} is not legal", hint="'auto', 'cpu', 'cuda', 'cuda:1', 'mps'"
        ) from error
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (found.index or 0) >= count.get(found.type, 0):
        raise ConfigError(
            f"device={str(device)!r} is not on this machine", hint="device='auto' takes the best there is"
        )
    return found


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

    @classmethod
    def _from_checkpoint(cls, folder: Path) -> Self:
        config = read_config(folder)
        if config.architecture != cls.__name__:
            raise CheckpointError(
                f"{folder} holds a {config.architecture}, not a {cls.__name__}",
                hint=f"{config.architecture}.from_pretrained(...), or SnnVoice.from_pretrained(...)",
            )
        network = cls.from_config(config)
        network.load_state_dict(read_weights(folder, network.state_dict()))
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
