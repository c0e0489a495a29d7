"""Runs clips through a network and its twin, and counts both; which network is whose twin."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from snn_voice_lite.samples import are_several
from snn_voice_lite.streaming.detector import UNTUNED
from torch import Tensor, nn

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import AudioError, ConfigError
from snn_voice_hub.hub.bundled import bundled_names, bundled_root
from snn_voice_hub.hub.checkpoints import read_config
from snn_voice_hub.hub.choice import CONFIG_FILE
from snn_voice_hub.inference.ends import Clip, Ends
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.registry import find_architecture, get_architecture
from snn_voice_hub.spikes.energy.count import Counter
from snn_voice_hub.spikes.energy.estimate import Energy
from snn_voice_hub.spikes.energy.second import Second, Windowed, in_windows, shapes_alone
from snn_voice_hub.spikes.energy.stream import CountedStream
from snn_voice_hub.tensors import FLOAT32
from snn_voice_hub.writing import writing_into

_SPIKING, _PLAIN = "-snn", "-cnn"
# Beside which a network that hears each frame once stands.
_WINDOWED = "resmel-snn"


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
    both = [_Count(counted)] if twin is None else [_Count(counted), _Count(twin)]
    number = 0
    batch: list[Tensor] = []

    def run() -> None:
        windows = torch.stack(batch)
        for one in both:
            one.count(windows)
        batch.clear()

    for wave, windows in _windows(clips, ends):
        number += 1
        for one in both:
            one.hear(windows[0] if len(windows) == 1 else wave)
        for window in windows:
            batch.append(window)
            if len(batch) == ends.batch_size:
                run()
    if batch:
        run()
    if not number:
        raise ConfigError("there is no clip to count operations with", hint="one clip at least")
    found, *others = (one.energy(number) for one in both)
    if found.second is not None and found.second.hop is None:
        second = dataclasses.replace(found.second, beside=bundled_windows())
        found = dataclasses.replace(found, second=second)
    return dataclasses.replace(found, twin=others[0]) if others else found


class _Count:
    """A network while it is counted: window by window, and what it takes to listen."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._counter = Counter(counted.network)
        network = counted.network
        self._listening = (
            CountedStream(network, counted.config.features)
            if isinstance(network, Framed) and not counted.shapes_only
            else None
        )

    def hear(self, wave: Tensor) -> None:
        """A clip `[N]`, where the network hears clips as one stream."""
        if self._listening is not None:
            self._listening.hear(wave)

    def count(self, windows: Tensor) -> None:
        """Windows `[W, N]`."""
        if self._counted.shapes_only:
            if self._counter.windows:
                return
            windows = windows[:1]  # shapes are the same in all windows
        self._counter.count(*self._counted.inputs(windows))

    def energy(self, clips: int) -> Energy:
        """What was counted."""
        config, shapes_only = self._counted.config, self._counted.shapes_only
        found = self._counter.energy(config.name, clips=clips, shapes_only=shapes_only)
        return dataclasses.replace(found, second=self._second(found))

    def _second(self, window: Energy) -> Second:
        if self._listening is not None:
            return self._listening.second()
        network, c = self._counted.network, self._counted.config.features
        if isinstance(network, Framed):
            frames = window.num_steps * network.frames_per_step
            return shapes_alone(window, frames * c.hop_length / c.feature_rate)
        hop = (self._counted.config.detection or UNTUNED).hop
        if self._counted.shapes_only:
            return in_windows(window, window, hop)
        silence = Counter(network)
        silence.count(*self._counted.inputs(torch.zeros(1, c.num_samples, **FLOAT32)))
        return in_windows(window, silence.energy(), hop)


def bundled_windows() -> Windowed | None:
    """The bundled model that hears windows; None where none is, or was not measured."""
    if _WINDOWED not in bundled_names():
        return None
    config = read_config(bundled_root() / _WINDOWED)
    energy, hop = config.metrics.get("energy", {}), (config.detection or UNTUNED).hop
    try:
        a_window = (float(energy[name]) for name in ("energy_uj", "energy_once_uj"))
        return Windowed(config.name, hop, int(energy["windows"]), *(value / hop for value in a_window))
    except (KeyError, TypeError, ValueError):
        return None


def _windows(clips: Any, ends: Ends) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Each clip, and its windows."""

    def prepared(clip: Clip) -> tuple[Tensor, list[Tensor]]:
        wave = ends.load(clip)
        return wave, ends.split(wave).windows

    if not are_several(clips):
        yield prepared(clips)
        return
    for index, clip in enumerate(clips):
        try:
            yield prepared(clip)
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
