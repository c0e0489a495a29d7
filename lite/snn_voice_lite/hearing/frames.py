"""What a model keeps of a stream, where the network's steps are the frames of the sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_voice_lite.config import FeatureConfig, ModelConfig
from snn_voice_lite.hearing.ringed import RingHearing, on_cpu
from snn_voice_lite.streaming.chunks import Samples
from snn_voice_lite.streaming.detector import Scores
from snn_voice_lite.streaming.log_mel import Floats, LogMel
from snn_voice_lite.streaming.ring import Ring
from snn_voice_lite.streaming.search import SoughtWindow
from snn_voice_lite.streaming.session import Due

Fired = dict[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class LayerInState:
    """A layer of neurons of a network on frames, as it lies in the state of a stream.

    Attributes:
        name: Of the layer.
        begin: Where in a state its membranes begin.
        end: Where they end.
        threshold: Over which they fire.
    """

    name: str
    begin: int
    end: int
    threshold: float


@dataclass(frozen=True)
class FrameFacts:
    """What is known of a network on frames without its weights.

    Attributes:
        frames_per_step: Frames of the spectrogram that a step hears.
        lead_frames: Frames of 0 before the first of a clip or stream.
        num_steps: Outputs that make an answer.
        state_size: Values that are remembered of a stream, n.
        neurons: Its layers of neurons, in the order of their membranes in a state.
    """

    frames_per_step: int
    lead_frames: int
    num_steps: int
    state_size: int
    neurons: tuple[LayerInState, ...] = ()

    def step_samples(self, features: FeatureConfig) -> int:
        """Samples of sound in a step."""
        return features.hop_length * self.frames_per_step

    def hop_samples(self, seconds: float, features: FeatureConfig) -> int:
        """Samples between scores that are asked for every so many seconds: those of whole steps."""
        step = self.step_samples(features)
        return step * max(1, round(seconds * features.sample_rate / step))


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
        layers: Of the network.
    """

    def __init__(self, layers: Sequence[LayerInState]) -> None:
        sizes = [layer.end - layer.begin for layer in layers]
        self._parts = [slice(layer.begin, layer.end) for layer in layers]
        self._limits = np.repeat(np.array([layer.threshold for layer in layers], np.float32), sizes)
        ends = np.cumsum(sizes, dtype=int).tolist()
        found = zip(layers, ends, sizes, strict=True)
        self._layers = {layer.name: slice(end - size, end) for layer, end, size in found}

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
    """Sound -> the steps that a network hears, as it hears those of a whole spectrogram.

    Args:
        config: The front end of a model.
        log_mel: Its columns, of frames.
        facts: Of its network.
        steps: Of the network in a hop.
    """

    def __init__(self, config: FeatureConfig, log_mel: LogMel, facts: FrameFacts, steps: int) -> None:
        c = config
        self._log_mel = log_mel
        self._mean, self._std = np.float32(c.waveform_mean), np.float32(c.waveform_std)
        self._is_scaled = (c.waveform_mean, c.waveform_std) != (0.0, 1.0)
        self.steps, self._per_step, self._lead = steps, facts.frames_per_step, facts.lead_frames
        self.hop = steps * facts.step_samples(c)
        self._around = c.n_fft // 2
        before = self._lead * c.hop_length + self._around
        # Hops that are looked at together: this one, and those before it that its first frames reach into.
        self.hops = 1 + -(-before // self.hop)
        self._here = (self.hops - 1) * self.hop
        starts = self._here - before + c.hop_length * np.arange(steps * self._per_step)
        self._places: npt.NDArray[np.intp] = starts[:, np.newaxis] + np.arange(c.n_fft)

    def __call__(self, rows: Sequence[FrameRow]) -> Floats:
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
                out[: self._lead] = 0.0
        by_step = columns.reshape(len(rows), self.steps, self._per_step, -1)
        return np.ascontiguousarray(by_step.transpose(1, 0, 3, 2))[:, :, np.newaxis]


class FrameHearing(RingHearing):
    """The newest sound, and what the network remembers of all before.

    A stream begins as a clip does. Where nothing was louder than the gate for as long as an answer looks
    back, the network does not run, and what was heard is forgotten: the next sound finds it at rest.

    Args:
        config: Of the model.
        front: Makes what the network hears.
        facts: Of the network.
        gate: What is not louder is silence, in dB of full scale; None for none.
        raster: Whether it is to be known of every step which neurons fired, not of the newest alone.
        sound: Whether `Hearing.sound` will be asked.
        trouble: Says what is wrong with the network itself where its scores are not finite; "" for nothing.
    """

    def __init__(
        self,
        config: ModelConfig,
        front: FrameFront,
        facts: FrameFacts,
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
        self._size = facts.state_size
        self._answer = facts.num_steps
        # So many quiet hops in a row, and nothing that an answer looks back at was loud.
        self._asleep = -(-facts.num_steps // front.steps)
        self._neurons, self._watched = NeuronsInState(facts.neurons), raster
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
        """What the model runs."""
        begin, begins = window.place
        return FrameRow(self._ring.samples(begin), begins, self._state, self._front, self._watched)

    def scores(self, due: Due, outputs: Any) -> Scores:
        """Scores `[W, C]`; silence has those that no word is in.

        Args:
            due: The hops.
            outputs: `[1, n + T * C]`, or `[1, n + T * C + T * N]` where the row is watched: the state after
                its T steps, their outputs, the membranes after each of them; a tensor or an array.

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
