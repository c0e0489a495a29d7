"""How a network hears a stream: by windows, or by frames with what it remembers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from snn_voice_lite.hearing.frames import FrameHearing
from snn_voice_lite.listening import Listener
from snn_voice_lite.streaming.session import Hearing
from torch import Tensor, nn

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.features import Features
from snn_voice_hub.inference.engines.slot import EngineSlot
from snn_voice_hub.inference.hearing.frames import front_of, outputs_of_frames
from snn_voice_hub.inference.hearing.windows import SlidingHearing, outputs_of_rows
from snn_voice_hub.models.encoding import DRAWN
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.tensors import no_autocast


class Streamed(nn.Module, Listener):
    """The part of a model that is about streams; what it needs of the others is named here."""

    config: VoiceConfig
    features: Features
    _engine: EngineSlot

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """What the network computes in."""

    @abstractmethod
    def to_device(self, waveforms: Tensor) -> Tensor:
        """Values where the weights are."""

    @abstractmethod
    def _bare_network(self) -> nn.Module: ...

    @abstractmethod
    def _logits(self, x: Tensor, seeds: list[int] | None) -> Tensor: ...

    @abstractmethod
    def _trouble(self) -> str: ...

    @property
    def remembers(self) -> bool:
        """Whether the network remembers the sound before; otherwise it hears windows, each by itself."""
        return isinstance(self._bare_network(), Framed)

    @torch.inference_mode()
    def run_inputs(self, inputs: Sequence[Any]) -> Tensor:
        """Run the network on what streams have prepared, for whoever makes batches of several streams.

        Args:
            inputs: Rows of `VoiceStream.take(...).inputs`, of any streams of this model, which alone knows
                what they are; at least one.

        Returns:
            What `VoiceStream.give` takes: `[B, C]`, on the network's device.
        """
        if isinstance(network := self._bare_network(), Framed):
            return outputs_of_frames(inputs, partial(self._advance, network), partial(self._watch, network))
        return outputs_of_rows(
            inputs,
            lambda windows: cast(Tensor, self(self.to_device(windows))),
            lambda features: self._logits(self._as_weights(features)[0], None),
        )

    def _advance(self, network: Framed, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        with no_autocast(self.device):
            outputs, after = self._engine.advance(network, *self._as_weights(x, state))
            return outputs.float(), after.float()

    def _watch(self, network: Framed, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with no_autocast(self.device):
            outputs, after, mems = self._engine.watch(network, *self._as_weights(x, state))
            return outputs.float(), after.float(), mems.float()

    def _as_weights(self, *values: Tensor) -> list[Tensor]:
        """Values on the CPU where the weights are, in their number type."""
        device, dtype = self.device, self.dtype  # once: to find them takes a walk through the modules
        if device.type == "cpu":
            return [each.to(dtype) for each in values]
        return [self.to_device(each).to(dtype) for each in values]

    def _hop_of(self, seconds: float) -> int:
        network = self._bare_network()
        if not isinstance(network, Framed):
            return super()._hop_of(seconds)
        return network.facts().hop_samples(seconds, self.config.features)

    def _hearing(
        self, hop: int, gate: float | None, back: int, *, spikes: bool = False, sound: bool = False
    ) -> Hearing:
        network = self._bare_network()
        if isinstance(network, Framed):
            if spikes and not isinstance(network, SpikingNetwork):
                raise ConfigError(
                    f"{type(network).__name__} has no neurons that spike", hint="a spiking network"
                )
            facts = network.facts()
            front = front_of(self.features, facts, hop // facts.step_samples(self.config.features))
            return FrameHearing(
                self.config, front, facts, gate, raster=spikes, sound=sound, trouble=self._trouble
            )
        if spikes:
            raise ConfigError(
                f"{self.config.title} hears windows, and its neurons forget the one before",
                hint="a network whose steps are those of the sound; record_spikes() tells of a clip",
            )
        reuse = not self._draws()
        return SlidingHearing(
            self.config, self.features, hop, gate, back=back, reuse=reuse, trouble=self._trouble
        )

    def _draws(self) -> bool:
        """Whether the network draws random numbers, by a seed made of the clip."""
        network = self._bare_network()
        return isinstance(network, SpikingNetwork) and network.encoding in DRAWN
