"""What the neurons of a model do, and what its arithmetic costs."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import Never

import torch
from torch import nn

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.inference.ends import Clip, Ends, check_names
from snn_voice_hub.spikes.energy.estimate import Energy
from snn_voice_hub.spikes.energy.measure import Counted, measure
from snn_voice_hub.spikes.record import MAX_MEGABYTES, Recording, recording
from snn_voice_hub.tensors import no_autocast


class Observed:
    """The part of a model that is about spikes and energy; what it needs of the others is named here."""

    config: VoiceConfig

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the weights are."""

    @abstractmethod
    def _bare_network(self) -> nn.Module: ...

    @abstractmethod
    def _counted(self) -> Counted: ...

    @abstractmethod
    def _counted_twin(self, twin: str | Observed | bool) -> Counted | None: ...

    def record_spikes(
        self, *, mem: bool = False, max_megabytes: float = MAX_MEGABYTES
    ) -> AbstractContextManager[Recording]:
        """Record what every neuron does while clips run inside the block, in this thread.

            with model.record_spikes() as rec:
                model.classify("yes.wav")
            rec.spk["lif"]  # [T, B, ...]

        Inside the block the network runs as the engine "torch" runs it, in float32 also where the engine's
        linear layers are bfloat16; outside it nothing changes. Several calls are appended to each other. Of
        blocks inside each other, each records. A clip that is longer than the model's window has a row for
        each window; `Recording.clips` says which.

        Args:
            mem: Whether to keep the membranes too.
            max_megabytes: What the recording may hold; more is a `ConfigError`, and what was recorded before
                stays.

        Returns:
            A context manager that gives the `Recording`.

        Raises:
            ConfigError: On entering: the network does not spike.
        """
        return recording(self._bare_network(), mem=mem, max_megabytes=max_megabytes)

    def energy(
        self,
        clips: Clip | list[Clip] | tuple[Clip, ...],
        *,
        twin: str | Observed | bool = True,
        sample_rate: int | None = None,
        batch_size: int = 8,
        max_seconds: float = 600.0,
        **unknown: Never,
    ) -> Energy:
        """Estimate what the network's arithmetic costs on clips, beside its twin: operations and microjoules.

        Of a window of sound, and of a second of listening: windows overlap, or where time steps are those of
        the sound, all clips are heard as one stream; and of a second of digital silence.

        Operations are counted by NeuroBench's definitions, at every time step in full; energy is their number
        times 4.6 pJ a MAC and 0.9 pJ an AC (Horowitz 2014, 45 nm, float32). It leaves out memory traffic,
        neuron updates, batch norm, pooling and the front end; see `snn_voice_hub.spikes.energy.layers`.

        Args:
            clips: One clip or a list of clips, as `classify` takes them.
            twin: What to compare with. True for the bundled model of the same name with -cnn for -snn (or the
                other way), else, for a spiking network, the CNN of the same shapes, of which only the
                operations without any skipping are known. Or a model, or a name, folder or Hub id of one.
                False for none.
            sample_rate: Rate of arrays in Hz; files carry their own.
            batch_size: Windows that run together; it changes no figure.
            max_seconds: Longer clips are an error.
            **unknown: Other names are refused.

        Returns:
            Means over the windows; `print` shows tables, `to_dict` is for JSON.

        Raises:
            AudioError: A clip can't be used; in a list the message names which.
            CheckpointError: There is no such twin.
            ConfigError: No clip, a twin with another window, a network in training mode, or one with layers
                that are not counted.
        """
        check_names(unknown, inspect.getfullargspec(self.energy).kwonlyargs)
        ends = Ends(self.config, sample_rate=sample_rate, batch_size=batch_size, max_seconds=max_seconds)
        with no_autocast(self.device):
            return measure(self._counted(), self._counted_twin(twin), clips, ends)
