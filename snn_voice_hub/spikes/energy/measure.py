"""Runs clips through a network and its twin, and counts both; which network is whose twin."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import AudioError, ConfigError
from snn_voice_hub.hub.bundled import bundled_names, bundled_root
from snn_voice_hub.hub.checkpoints import read_config
from snn_voice_hub.hub.choice import CONFIG_FILE
from snn_voice_hub.inference.ends import Clip, Ends
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.registry import find_architecture, get_architecture
from snn_voice_hub.samples import are_several
from snn_voice_hub.spikes.energy.count import Counter
from snn_voice_hub.spikes.energy.estimate import Energy
from snn_voice_hub.writing import writing_into

_SPIKING, _PLAIN = "-snn", "-cnn"


@dataclass(frozen=True)
class Counted:
    """A network that is to be counted.

    Attributes:
        network: The network, in evaluation mode.
        config: Of its model.
        inputs: Windows `[W, N]` on the CPU -> what the network takes, and a seed a window or None.
        shapes_only: Whether its weights mean nothing.
    """

    network: nn.Module
    config: VoiceConfig
    inputs: Callable[[Tensor], tuple[Tensor, list[int] | None]]
    shapes_only: bool = False


# --- twins --------------------------------------------------------------------------------------------


def twin_architecture(name: str) -> str | None:
    """The architecture of the same shapes without spikes, or with them: ResMelSNN <-> ResMelCNN.

    Args:
        name: A registered architecture. The hybrid HjhSCNN has HjhCNN as its twin.

    Returns:
        A registered name, or None where there is no such architecture.
    """
    found = find_architecture(name)
    if found is None:
        return None
    stem = name.removesuffix("SCNN").removesuffix("SNN").removesuffix("CNN")
    spiking = issubclass(found, SpikingNetwork)
    wanted = f"{stem}{'CNN' if spiking else 'SNN'}"
    twin = None if stem == name else find_architecture(wanted)
    return wanted if twin is not None and issubclass(twin, SpikingNetwork) is not spiking else None


def bundled_twin(config: VoiceConfig) -> Path | None:
    """The bundled checkpoint that is a model's twin: of the same name with -cnn for -snn, or -snn for -cnn.

    Args:
        config: Of the model.

    Returns:
        Its folder, or None where none is bundled, or one of another architecture or window.
    """
    for ending, other in ((_SPIKING, _PLAIN), (_PLAIN, _SPIKING)):
        if not config.name.endswith(ending):
            continue
        name = config.name.removesuffix(ending) + other
        if name in bundled_names():
            folder = bundled_root() / name
            found = read_config(folder)
            same = _window(found) == _window(config)
            if same and found.architecture == twin_architecture(config.architecture):
                return folder
    return None


def untrained_twin(config: VoiceConfig) -> Network | None:
    """The CNN twin of a spiking network with fresh weights, for its shapes.

    A CNN gets none: what a spiking network costs depends on its spikes.

    Args:
        config: Of the spiking model.
    """
    name = twin_architecture(config.architecture)
    if name is None or issubclass(get_architecture(name), SpikingNetwork):
        return None
    with torch.random.fork_rng(devices=[]):
        return get_architecture(name)(num_classes=len(config.labels)).eval()


def _window(config: VoiceConfig) -> tuple[int, int]:
    return config.features.sample_rate, config.features.num_samples


# --- counting -----------------------------------------------------------------------------------------


def measure(
    counted: Counted,
    twin: Counted | None,
    clips: Clip | list[Clip] | tuple[Clip, ...],
    ends: Ends,
) -> Energy:
    """Count what clips cost a network and its twin; see `SnnVoice.energy`.

    Args:
        counted: The network.
        twin: What it is compared with; it gets the same windows.
        clips: One clip, or a list or tuple of clips.
        ends: Makes windows of them.

    Raises:
        AudioError: A clip can't be used; in a list the message names which.
        ConfigError: There is no clip, the twin hears windows of another length, or a network has layers that
            are not counted.
    """
    if twin is not None and _window(twin.config) != _window(counted.config):
        ours, theirs = ("{1:,} samples at {0:,} Hz".format(*_window(c.config)) for c in (counted, twin))
        what = f"the twin {twin.config.title} hears windows of {theirs}"
        raise ConfigError(f"{what}, not of {ours}", hint="a twin with the same window, or none")
    counter = Counter(counted.network)
    other = None if twin is None else Counter(twin.network)
    number = 0
    batch: list[Tensor] = []

    def run() -> None:
        windows = torch.stack(batch)
        counter.count(*counted.inputs(windows))
        if twin is not None and other is not None:
            # Shapes are the same in all windows.
            rows = windows[:1] if twin.shapes_only else windows
            if not (twin.shapes_only and other.windows):
                other.count(*twin.inputs(rows))
        batch.clear()

    for windows in _windows(clips, ends):
        number += 1
        for window in windows:
            batch.append(window)
            if len(batch) == ends.batch_size:
                run()
    if batch:
        run()
    if not number:
        raise ConfigError("there is no clip to count operations with", hint="one clip at least")
    found = counter.energy(counted.config.name, clips=number)
    if twin is None or other is None:
        return found
    beside = other.energy(twin.config.name, clips=number, shapes_only=twin.shapes_only)
    return dataclasses.replace(found, twin=beside)


def _windows(clips: Any, ends: Ends) -> Iterator[list[Tensor]]:
    if not are_several(clips):
        yield ends.prepare(clips).windows
        return
    for index, clip in enumerate(clips):
        try:
            yield ends.prepare(clip).windows
        except AudioError as error:
            if isinstance(clip, str | os.PathLike):
                raise  # its message names the file
            raise AudioError(f"clip {index}: {error.message}", hint=error.hint, code=error.code) from error


def write_energy(folder: Path, energy: Energy) -> None:
    """Put totals into a checkpoint's configuration, from which its card is made; other metrics stay.

    Args:
        folder: Checkpoint folder.
        energy: What was counted with it.

    Raises:
        CheckpointError: It is no checkpoint folder.
        SnnVoiceError: It can't be written.
    """
    config = read_config(folder)
    config = dataclasses.replace(config, metrics={**config.metrics, "energy": energy.summary()})
    with writing_into(folder, "a folder of your own"):
        config.save(folder / CONFIG_FILE)
