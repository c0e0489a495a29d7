"""What the tests of exported files share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.config import SILENCE, UNKNOWN, VoiceConfig
from snn_voice_hub.models.architectures.tempo import Shape
from snn_voice_hub.models.network import SpikingNetwork
from tests.models.lively import stir
from tests.places import ROOT

EXAMPLES = ROOT / "examples"
LABELS = ["up", "down", "left", "right", "go", SILENCE, UNKNOWN]


def config_of(network: sv.Network, labels: list[str] = LABELS) -> VoiceConfig:
    """What a checkpoint of the network would say."""
    return sv.SnnVoice(network, labels=labels, engine="torch").config


def parts(network: sv.Network) -> tuple[sv.Network, VoiceConfig]:
    """A network of seven classes, and its configuration."""
    return network, config_of(network, [f"word {i}" for i in range(7)])


def features_of(network: sv.Network) -> Tensor:
    """What it hears of the recordings."""
    with torch.no_grad():
        return sv.SnnVoice(network, labels=[f"word {i}" for i in range(7)]).features(recordings())


def recordings() -> Tensor:
    """The repository's clips at 16 kHz, `[8, 16000]`, and quieter and later ones made of them."""
    rows = []
    for path in sorted(EXAMPLES.glob("*.wav")):
        wave = audio.load(path, target_rate=16_000)[:16_000]
        rows.append(torch.nn.functional.pad(wave, (0, 16_000 - len(wave))))
    waves = torch.stack(rows)
    return torch.cat([waves, 0.1 * waves.roll(1_500, 1)])


def lively(name: str, **arguments: Any) -> SpikingNetwork:
    """An untrained network whose neurons fire at some places and not at others."""
    cls: type[SpikingNetwork] = getattr(sv, name)
    network = cls(num_classes=7, **arguments).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.constant_(module.weight, 4.0)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            assert module.running_mean is not None
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
    return network


def spike_rates(network: SpikingNetwork, features: Tensor) -> dict[str, float]:
    """Share of the neurons and steps that fire, by layer."""
    rates: dict[str, float] = {}

    def tap(name: str, tensor: Tensor) -> None:
        if not name.endswith(".mem"):
            rates[name] = float(tensor.mean())

    with torch.no_grad():
        network.forward_steps(features, tap=tap)
    return rates


class Even(sv.TempoSNN):
    """All of its layers step as often."""

    stem_shape = (24, 7, 2)
    block_shapes = (Shape(24, 1, 2), Shape(32, 2, 1), Shape(32, 3, 1))


class Slowing(sv.TempoSNN):
    """Some of its layers step half as often as others, some a quarter as often."""

    frames_per_step = 4
    stem_shape = (24, 5, 1)
    block_shapes = (Shape(24, 1, 2), Shape(32, 1, 1, 2), Shape(32, 2, 1), Shape(24, 1, 2, 2))


class EvenCNN(sv.TempoCNN):
    """Without neurons."""

    stem_shape = Even.stem_shape
    block_shapes = Even.block_shapes


def on_frames(cls: type[sv.TempoSNN], **arguments: Any) -> sv.TempoSNN:
    """A small network on frames, untrained, each of whose layers fires at some places and not at others."""
    network = cls(num_classes=7, **{"num_steps": 100 // cls.frames_per_step, "learn_beta": True} | arguments)
    stir(network)
    generator = torch.Generator().manual_seed(4)
    for module in network.modules():
        if isinstance(module, sv.models.Lif):
            module.beta.data.uniform_(0.3, 1.1, generator=generator)  # some do not leak
    return network.eval()
