"""What a network can learn from another one: its answers, or its weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.features import Features
from snn_voice_hub.registry import build_network

logger = logging.getLogger(__name__)


class Teacher(nn.Module):
    """What a trained checkpoint would answer, for another network to learn from.

    It hears the same sound through its own front end, so a network on 4 kHz sound can learn from one that
    hears 16 kHz.

    Args:
        folder: Its checkpoint folder.
        labels: The student's labels.

    Raises:
        SnnVoiceError: The student has a label that the teacher does not know.
    """

    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        super().__init__()
        config = VoiceConfig.load(folder / "config.json")
        unknown = [label for label in labels if label not in config.labels]
        if unknown:
            raise SnnVoiceError(
                f"{folder} can't teach {unknown[0]!r}", hint="a teacher has all labels of its student"
            )
        self.columns = [config.labels.index(label) for label in labels]
        self.features = Features(config.features)
        self.network = build_network(config)
        self.network.load_state_dict(load_file(folder / "model.safetensors"))
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> Tensor:
        """Probabilities `[B, C]` of the student's labels for waveforms `[B, N]`."""
        logits: Tensor = self.network(self.features(waveforms))
        return logits[:, self.columns].softmax(1)


def head_of(network: nn.Module) -> str:
    """The name of a network's last linear layer, which has one output a class.

    Raises:
        SnnVoiceError: It has none.
    """
    linear: list[str] = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise SnnVoiceError(f"{type(network).__name__} has no linear layer that gives the classes")
    return linear[-1]


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
