"""What a model keeps of a stream, where the network's steps are the frames of the sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snn_voice_hub.config import FeatureConfig, VoiceConfig
from snn_voice_hub.features import Features, MelPower
from snn_voice_hub.inference.hearing.ringed import RingHearing, on_cpu
from snn_voice_hub.models.framed import LEAD, Framed
from snn_voice_hub.streaming.chunks import Samples
from snn_voice_hub.streaming.detector import Scores
from snn_voice_hub.streaming.log_mel import Floats, LogMel
from snn_voice_hub.streaming.ring import Ring
from snn_voice_hub.streaming.search import SoughtWindow
from snn_voice_hub.streaming.session import Due

Fired = dict[str, npt.NDArray[np.bool_]]


def step_samples(config: FeatureConfig, network: Framed) -> int:
    """Samples of sound in a step of a network whose steps are those of the sound."""
    return config.hop_length * network.frames_per_step


@dataclass(frozen=True, eq=False)
class FrameRow:
    """The next steps of a stream, on their way to the network.

    Attributes:
        samples: The sound that they are made of, `[N]`.
        begins: Whether they are the first of the stream.
        state: What is remembered of the stream before them, `[n]`.
        front: Makes their spectrogram.
        watched: Whether the membranes after each of them are wanted.
    """

    samples: Samples
    begins: bool
    state: Floats
    front: FrameFront
    watched: bool = False


class NeuronsInState:
    """The neurons of a network, N in all, as they lie in the state of a stream.

    Args:
        network: The network.
    """

    def __init__(self, network: Framed) -> None:
        parts, thresholds = network.membranes(), network.thresholds()
        sizes = [part.stop - part.start for part in parts.values()]
        self._parts = list(parts.values())
        self._limits = np.repeat(np.array(list(thresholds.values()), np.float32), sizes)
        ends = np.cumsum(sizes, dtype=int).tolist()
        layers = zip(parts, ends, sizes, strict=True)
        self._layers = {name: slice(end - size, end) for name, end, size in layers}

    def __len__(self) -> int:
        return len(self._limits)

    def membranes(self, state: Floats) -> Floats:
        """Those `[N]` in a state `[n]`."""
        return np.concatenate([state[:0], *(state[part] for part in self._parts)])

    def fired(self, membranes: Floats) -> Fired:
        """Which of them have fired, by layer `[..., C]`, where they leave such membranes `[..., N]`."""
        spk = membranes > self._limits
        return {name: spk[..., part] for name, part in self._layers.items()}


class FrameFront:
    """Sound -> the steps that a network hears, as `Framed.encoded` makes them of a whole spectrogram.

    Args:
        features: The front end of a model.
        network: Its network.
        steps: Of the network in a hop.
    """

    def __init__(self, features: Features, network: Framed, steps: int) -> None:
        c = features.config
        assert isinstance(features.mel, MelPower), "a network on frames has a front end with bands"
        self._log_mel = LogMel(
            features.mel.window.cpu().numpy(),
            features.mel.filters.cpu().numpy(),
            c.log_offset,
            c.feature_mean,
            c.feature_std,
            c.zero_below,
        )
        self._mean, self._std = np.float32(c.waveform_mean), np.float32(c.waveform_std)
        self._is_scaled = (c.waveform_mean, c.waveform_std) != (0.0, 1.0)
        self.steps, self._per_step = steps, network.frames_per_step
        self.hop = steps * step_samples(c, network)
        self._around = c.n_fft // 2
        before = LEAD * c.hop_length + self._around
        # Hops that are looked at together: this one, and those before it that its first frames reach into.
        self.hops = 1 + -(-before // self.hop)
        self._here = (self.hops - 1) * self.hop
        starts = self._here - before + c.hop_length * np.arange(steps * network.frames_per_step)
        self._places: npt.NDArray[np.intp] = starts[:, np.newaxis] + np.arange(c.n_fft)

    def __call__(self, rows: Sequence[FrameRow]) -> Tensor:
        """Steps `[T, B, 1, n_mels, frames_per_step]` of a hop of B streams."""
        frames = np.empty((len(rows), *self._places.shape), dtype=np.float32)
        for row, out in zip(rows, frames, strict=True):
            samples = row.samples
            if row.begins:  # what would be before the stream is mirrored, as at the beginning of a clip
                samples = samples.copy()
                ahead = samples[self._here + 1 : self._here + 1 + self._around]
                samples[self._here - len(ahead) : self._here] = ahead[::-1]
            np.take(samples, self._places, out=out, mode="clip")
        if self._is_scaled:
            frames -= self._mean
            frames /= self._std
        columns = self._log_mel(frames)
        for row, out in zip(rows, columns, strict=True):
            if row.begins:
                out[:LEAD] = 0.0
        by_step = columns.reshape(len(rows), self.steps, self._per_step, -1)
        return torch.from_numpy(np.ascontiguousarray(by_step.transpose(1, 0, 3, 2))[:, :, np.newaxis])


class FrameHearing(RingHearing):
    """The newest sound, and what the network remembers of all before.

    A stream begins as a clip does. Where nothing was louder than the gate for as long as an answer looks
    back, the network does not run, and what was heard is forgotten: the next sound finds it at rest.

    Args:
        config: Of the model.
        front: Makes what the network hears.
        network: The network.
        gate: What is not louder is silence, in dB of full scale; None for none.
        raster: Whether it is to be known of every step which neurons fired, not of the newest alone.
        sound: Whether `Hearing.sound` will be asked.
        trouble: Says what is wrong with the network itself where its scores are not finite; "" for nothing.
    """

    def __init__(
        self,
        config: VoiceConfig,
        front: FrameFront,
        network: Framed,
        gate: float | None,
        *,
        raster: bool = False,
        sound: bool = False,
        trouble: Callable[[], str] = str,
    ) -> None:
        size = front.hops * front.hop
        back = max(0, config.features.num_samples - size) if sound else 0
        super().__init__(config, Ring(size, front.hop, back), gate, trouble)
        self._front = front
        self._size = network.state_size()
        self._answer = network.num_steps
        # So many quiet hops in a row, and nothing that an answer looks back at was loud.
        self._asleep = -(-network.num_steps // front.steps)
        self._neurons, self._watched = NeuronsInState(network), raster
        self.reset()

    def reset(self) -> None:
        """See `Hearing.reset`."""
        super().reset()
        self._begun = False
        self._quiet = 0  # hops in a row
        self._rest()

    def _rest(self) -> None:
        self._state = np.zeros(self._size, dtype=np.float32)
        self._outputs = np.zeros((self._answer, len(self.silence)), dtype=np.float32)
        self._membranes = np.zeros((0, len(self._neurons)), dtype=np.float32)

    @property
    def spikes(self) -> Fired:
        """Which neurons fired in the newest step, by layer; see `VoiceStream.spikes`."""
        return self._neurons.fired(self._neurons.membranes(self._state))

    @property
    def raster(self) -> Fired:
        """Which fired in each step behind the scores before; see `VoiceStream.raster`."""
        return self._neurons.fired(self._membranes) if self._watched else {}

    def next(self) -> SoughtWindow | None:
        """The next hop."""
        window = self._ring.next()
        if window is None:
            return None
        begins, self._begun = not self._begun, True
        self._quiet = self._quiet + 1 if self._is_quiet(self.level) else 0
        end = (window.begin + self._front.hops * self._front.hop) / self._config.features.sample_rate
        if self._quiet < self._asleep:
            return SoughtWindow((window.begin, begins), end)
        if self._quiet == self._asleep:
            self._rest()
        return SoughtWindow(None, end)

    def row(self, window: SoughtWindow) -> FrameRow:
        """What `outputs_of_frames` takes."""
        begin, begins = window.place
        return FrameRow(self._ring.samples(begin), begins, self._state, self._front, self._watched)

    def scores(self, due: Due, outputs: Any) -> Scores:
        """Scores `[W, C]`; silence has those that no word is in.

        Args:
            due: The hops.
            outputs: What `outputs_of_frames` gave for its row, a tensor or an array.

        Raises:
            AudioError: They are not finite, and the network is sound.
            CheckpointError: They are not finite, as the network is not.
        """
        found = self._silent(due)
        if self._watched:  # at rest in silence
            self._membranes = np.zeros((len(due.ends) * self._front.steps, len(self._neurons)), np.float32)
        if len(due):
            given = on_cpu(outputs)
            if not np.isfinite(given.sum()):
                self._rest()
                raise self._not_finite()
            steps, (count, classes) = self._front.steps, self._outputs.shape
            row, end = given[0], self._size + steps * classes
            self._state, newest = row[: self._size], row[self._size : end]
            self._outputs = np.concatenate([self._outputs, newest.reshape(steps, classes)])[-count:]
            if self._watched:
                self._membranes[-steps:] = row[end : end + steps * len(self._neurons)].reshape(steps, -1)
            found[-1] = self._shares(self._outputs.sum(0))
        return found


def outputs_of_frames(
    rows: Sequence[FrameRow],
    advance: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    watch: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
) -> Tensor:
    """What a model gives for rows of any of its streams, at least one.

    Args:
        rows: Of `FrameHearing.row`.
        advance: Steps `[T, B, ...]` and states `[B, n]` -> outputs `[T, B, C]` and states.
        watch: The same, and the membranes after every step `[T, B, N]`.

    Returns:
        `[R, n + T * C + T * N]`: the state after the steps, then their outputs, then for rows that want them
        the membranes after each of them. Of rows with fewer values than others, the rest is 0.
    """
    alike: dict[tuple[int, bool], list[int]] = {}
    for i, row in enumerate(rows):
        alike.setdefault((row.front.steps, row.watched), []).append(i)
    found = []
    for (_, watched), places in alike.items():
        part = [rows[i] for i in places]
        x, state = part[0].front(part), torch.from_numpy(np.stack([row.state for row in part]))
        outputs, after, *membranes = watch(x, state) if watched else advance(x, state)
        by_step = (each.movedim(0, 1).flatten(1) for each in (outputs, *membranes))
        found.append(torch.cat([after, *by_step], 1))
    if len(found) == 1:
        return found[0]
    out = found[0].new_zeros((len(rows), max(part.shape[1] for part in found)))
    for places, given in zip(alike.values(), found, strict=True):
        out[places, : given.shape[1]] = given
    return out
