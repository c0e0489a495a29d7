"""Counts what a network takes that hears each frame once: silence, then clips, one after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.features import Features
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import State
from snn_voice_hub.spikes.energy.count import Counter
from snn_voice_hub.spikes.energy.second import Cost, Second, of_kind
from snn_voice_hub.tensors import FLOAT32, device_of, dtype_of

# Seconds of silence until membranes and past frames hold nothing else.
_SETTLED = 2
# Windows of sound that are heard at once.
_AT_ONCE = 10


class CountedStream:
    """One stream, and what it takes.

    Args:
        network: In evaluation mode.
        config: Of its front end.

    Raises:
        ConfigError: The network is in training mode, or has layers that are not counted.
    """

    def __init__(self, network: Framed, config: FeatureConfig) -> None:
        self._network, self._config = network, config
        self._device, self._dtype = device_of(network), dtype_of(network)
        self._features = Features(config).to(self._device)
        self._step_seconds = network.frames_per_step * config.hop_length / config.feature_rate
        self._frames: Tensor | None = None  # of a step that is not whole yet
        self._state: State | None = None
        self._sound, self._silence = Counter(network), Counter(network)
        self._steps = 0
        silence = torch.zeros(config.sample_rate, **FLOAT32)
        for _ in range(_SETTLED):
            self._count(Counter(network), silence)
        self._silent_steps = self._count(self._silence, silence)

    def hear(self, wave: Tensor) -> None:
        """Count a clip `[N]`, at least a window long."""
        for part in wave.tensor_split(max(1, len(wave) // (_AT_ONCE * self._config.num_samples))):
            self._steps += self._count(self._sound, part)

    def _count(self, counter: Counter, wave: Tensor) -> int:
        # The last frame lies around the end of the sound: so does the first one of what comes next.
        frames: Tensor = self._features(wave.unsqueeze(0).to(self._device)).to(self._dtype)
        frames = frames[..., : len(wave) // self._config.hop_length]
        if self._frames is not None:
            frames = torch.cat([self._frames, frames], -1)
        per_step = self._network.frames_per_step
        steps, rest = divmod(frames.shape[-1], per_step)
        whole, self._frames = torch.split(frames, [steps * per_step, rest], -1)
        if steps:
            _, self._state = counter.go_on(
                whole.reshape(*whole.shape[:-1], steps, per_step).movedim(-2, 0), self._state
            )
        return steps

    def second(self) -> Second:
        """What was counted; there was a clip at least."""
        seconds, a_second = self._steps * self._step_seconds, round(1 / self._step_seconds)
        sound = Cost(self._sound.layers(seconds), a_second)
        silence = Cost(self._silence.layers(self._silent_steps * self._step_seconds), a_second)
        return Second(sound, of_kind(silence, sound), seconds=seconds)
