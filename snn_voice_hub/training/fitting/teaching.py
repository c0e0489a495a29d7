"""What a network can learn from another one: its answers, or its weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from snn_voice_lite.visible import module_logger
from torch import Tensor, nn

from snn_voice_hub.errors import CheckpointError, SnnVoiceError
from snn_voice_hub.features import Features
from snn_voice_hub.hub.checkpoints import Checkpoint, read_config, resolve
from snn_voice_hub.hub.choice import CONFIG_FILE, WEIGHTS_FILE
from snn_voice_hub.hub.loading import USUAL, Loading
from snn_voice_hub.hub.local import exists, named_path
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.head import head_of
from snn_voice_hub.training.fitting.chains import along
from snn_voice_hub.voice import SnnVoice

logger = module_logger(__name__)


@dataclass(frozen=True)
class TrainedModel:
    """A checkpoint that training begins with or learns from; opened as every other one is.

    Attributes:
        name: What it is called, for `config.json`: the name that it was asked for by, or its folder's.
        weights: Its file of weights on this disk, with its `config.json` beside it.
    """

    name: str
    weights: Path

    @classmethod
    def of(cls, given: TrainedModel | str | os.PathLike[str], loading: Loading = USUAL) -> TrainedModel:
        """Find a checkpoint, downloading and converting it where needed.

        Args:
            given: Whatever `SnnVoice.from_pretrained` takes.
            loading: How.

        Raises:
            CheckpointError: There is none.
            ConfigError: An argument is not legal.
        """
        return given if isinstance(given, TrainedModel) else cls.named(given, resolve(given, loading))

    @classmethod
    def named(cls, given: str | os.PathLike[str], checkpoint: Checkpoint) -> Self:
        """A checkpoint that was found already.

        Args:
            given: What it was asked for by.
            checkpoint: Its files.
        """
        weights, path = checkpoint.weights, named_path(given)
        if not exists(path):
            return cls(os.fspath(given), weights)
        folder = path.resolve() if path.is_dir() else path.resolve().parent
        one = path.is_file() and path.name != WEIGHTS_FILE
        return cls(f"{folder.name} ({path.name})" if one else folder.name, weights)

    @property
    def path(self) -> str:
        """Where it is: its folder, or the one file of several."""
        return str(self.weights.parent if self.weights.name == WEIGHTS_FILE else self.weights)

    def digest(self) -> str:
        """Of all that its answers and its weights depend on; the same wherever it is.

        Raises:
            CheckpointError: A file of it is not there, or can't be read.
            ConfigError: Its configuration is not legal.
        """
        config = read_config(Checkpoint(self.weights.with_name(CONFIG_FILE), self.weights)).to_dict()
        parts = {name: config[name] for name in ("architecture", "network", "features", "labels")}
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
        try:
            digest.update(self.weights.read_bytes())
        except OSError as error:
            raise CheckpointError(f"{self.weights} can't be read: {error.strerror}") from error
        return digest.hexdigest()

    def open(self) -> SnnVoice:
        """The model, in evaluation mode on the CPU.

        Raises:
            CheckpointError: Its weights do not fit its configuration.
            ConfigError: Its configuration is not legal.
        """
        return SnnVoice.from_pretrained(self.weights, engine="torch")


class Teacher(nn.Module):
    """What a trained checkpoint would answer, for another network to learn from.

    It hears the same sound through its own front end, so a network on 4 kHz sound can learn from one that
    hears 16 kHz.

    Args:
        source: Where it is.
        labels: The student's labels.

    Raises:
        SnnVoiceError: It can't be opened, or the student has a label that it does not know.
    """

    def __init__(self, source: TrainedModel, labels: Sequence[str]) -> None:
        super().__init__()
        voice = source.open()
        unknown = [label for label in labels if label not in voice.labels]
        if unknown:
            raise SnnVoiceError(
                f"{source.name} can't teach {unknown[0]!r}", hint="a teacher has all labels of its student"
            )
        self.columns = [voice.labels.index(label) for label in labels]
        self.features, self.network = voice.features, voice.network
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> Tensor:
        """Probabilities `[B, C]` of the student's labels for waveforms `[B, N]`."""
        logits: Tensor = self.network(self.features(waveforms))
        return logits[:, self.columns].softmax(1)

    def fits(self, network: nn.Module, features: Features) -> bool:
        """Whether its steps are those of a network, so that it can be followed along a stream.

        Args:
            network: The student.
            features: The student's front end.
        """
        own = self.network
        if not isinstance(own, Framed) or not isinstance(network, Framed):
            return False
        mine, others = self.features.config, features.config
        same = all(getattr(mine, name) == getattr(others, name) for name in ("sample_rate", "feature_rate"))
        step = own.frames_per_step * mine.hop_length
        return same and step == network.frames_per_step * others.hop_length

    @torch.no_grad()
    def along(self, waveforms: Tensor) -> Tensor:
        """Probabilities `[W, S, C]` of the student's labels along streams `[S, N]`; see `chains.along`."""
        assert isinstance(self.network, Framed)
        outputs = self.network.forward_steps(self.features(waveforms))
        return along(outputs[..., self.columns], self.network.num_steps).softmax(-1)


def _twin_name(name: str, network: nn.Module) -> str:
    """What a weight of the CNN is called in its spiking twin."""
    first, _, rest = name.partition(".")
    number, _, rest = rest.partition(".")
    if first != "cnn" or not number.isdecimal():
        return name
    # Neurons on the input are the first block, and the CNN has no such thing.
    return f"snn.{int(number) + bool(getattr(network, 'lif_on_input', False))}.{rest}"


def adopt(
    network: nn.Module, weights: dict[str, Tensor], labels: Sequence[str], known: Sequence[str]
) -> list[str]:
    """Start from the weights of the CNN twin, or of the same network.

    Of the last layer, the rows of labels that both know are taken; the others stay as they are.

    Args:
        network: What starts.
        weights: Of the other.
        labels: Of the network.
        known: Of the other.

    Returns:
        The names of weights that were not used.

    Raises:
        SnnVoiceError: None was.
    """
    own = network.state_dict()
    head = head_of(network)
    unused = []
    for name, value in weights.items():
        key = name if name in own else _twin_name(name, network)
        if key in own and own[key].shape == value.shape and not (key.startswith(head) and labels != known):
            own[key] = value
        elif key in (f"{head}.weight", f"{head}.bias") and own[key].shape[1:] == value.shape[1:]:
            for row, label in enumerate(labels):
                if label in known:
                    own[key][row] = value[known.index(label)]
        elif key in own and value.numel() == 1:  # one beta for a layer whose channels have one each
            own[key].fill_(value.item())
        else:
            unused.append(name)
    if len(unused) == len(weights):
        raise SnnVoiceError(
            f"{type(network).__name__} can't start from these weights: none of them fits",
            hint="the same architecture, or its twin",
        )
    network.load_state_dict(own)
    return unused
