"""Networks whose time steps are the frames of the sound: what was heard is in their membranes.

Other networks here repeat a window of sound at each of T steps. These hear each frame once, when it comes, so
they can go on for as long as there is sound; their answer is the sum of the newest `num_steps` outputs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from snn_voice_lite.hearing.frames import FrameFacts, LayerInState
from torch import Tensor
from torch.nn import functional

from snn_voice_hub.config import FRAMES, MAX_STEPS, FeatureConfig, VoiceConfig, check_int
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.base import Network, Tap
from snn_voice_hub.models.network import PAST, Pass, SpikingNetwork, State
from snn_voice_hub.models.wiring import Wiring

# By so many frames a network is behind the sound: a step ends before the sound of its own time does, so the
# frames of a clip's last step lie in the clip, and those of a stream's are there when it is due.
LEAD = 1


def in_steps(features: Tensor, frames_per_step: int) -> Tensor:
    """Spectrograms `[B, 1, n_mels, frames]` as steps `[T, B, 1, n_mels, frames_per_step]`.

    The first step begins with `LEAD` frames of 0, and ends as many frames earlier; frames behind the last
    whole step are left out.
    """
    steps = (features.shape[-1] - LEAD) // frames_per_step
    whole = functional.pad(features, (LEAD, 0))[..., : steps * frames_per_step]
    return whole.reshape(*whole.shape[:-1], steps, frames_per_step).movedim(-2, 0)


class Framed(Network):
    """What a network on frames and its twin share.

    A subclass implements `layers(x, run)`. The first number of its `min_shape` is that of the bands, no less
    and no more.

    Attributes:
        frames_per_step: Frames of the spectrogram that a step hears.
        num_steps: Outputs that make an answer; as many as a window of the front end has.
    """

    frames_per_step: ClassVar[int] = 1
    num_steps: int
    _layout: dict[str, tuple[int, ...]] | None = None

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """The network itself, over any number of steps.

        Args:
            x: Steps `[T, B, 1, n_mels, frames_per_step]`.
            run: Fires the LIF layers, and holds membranes and past frames.

        Returns:
            The output of each step `[T, B, C]`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define layers()")

    @classmethod
    def from_config(cls, config: VoiceConfig) -> Self:
        """See `Network.from_config`; an answer is made of no more outputs than a window has steps."""
        network = super().from_config(config)
        steps = cls._steps(config.features.shape[1])
        if network.num_steps > steps:
            raise ConfigError(
                f"network.num_steps={network.num_steps} is not legal: a window of "
                f"{config.features.seconds:g} s has {steps} time steps",
                hint=f"{cls.__name__} takes 1 to {steps}, more with a larger features.num_samples",
            )
        return network

    @classmethod
    def check_front_end(cls, features: FeatureConfig) -> None:
        """Refuse a front end whose frames the layers can't take, or which needs more than each frame's sound.

        Raises:
            ConfigError: The message names the field.
        """
        super().check_front_end(features)
        for name, legal, why in (
            ("n_mels", cls.min_shape[0], "its first layer has so many inputs"),
            ("normalization", "fixed", "a frame is heard before those that come later are known"),
            (
                "feature_rate",
                features.sample_rate,
                "what resamples a stream does it before the front end",
            ),
        ):
            if (given := getattr(features, name)) != legal:
                raise ConfigError(
                    f"features.{name}={given!r} is not legal", hint=f"{cls.__name__} takes {legal!r}: {why}"
                )
        if not cls._steps(features.shape[1]):
            raise ConfigError(
                f"features.num_samples={features.num_samples} is not legal: {features.shape[1]} frames",
                hint=f"{cls.__name__} takes {LEAD + cls.frames_per_step} at least",
            )

    @classmethod
    def _steps(cls, frames: int) -> int:
        """Steps that a spectrogram of so many frames has."""
        return (frames - LEAD) // cls.frames_per_step

    def check_features(self, features: Tensor) -> None:
        """See `Network.check_features`."""
        super().check_features(features)
        bands = self.min_shape[0]
        if features.shape[2] != bands or not self._steps(features.shape[3]):
            raise ConfigError(
                f"{type(self).__name__} got features of shape {list(features.shape)}",
                hint=f"[B, 1, {bands}, >={LEAD + self.frames_per_step}]: bands, and frames",
            )

    def encoded(self, features: Tensor, clip_seeds: Sequence[int] | None = None) -> Tensor:
        """Spectrograms `[B, 1, n_mels, frames]` as steps, see `in_steps`."""
        self.check_features(features)
        return in_steps(features, self.frames_per_step)

    def forward_steps(
        self, features: Tensor, *, tap: Tap | None = None, clip_seeds: Sequence[int] | None = None
    ) -> Tensor:
        """Output of every time step.

        Args:
            features: Spectrograms `[B, 1, n_mels, frames]`, of any number of frames.
            tap: Called with `(layer name, spikes [T, B, C, k])` and `(layer name + ".mem", membranes)`, where
                k is how often the layer steps in a step of the network.
            clip_seeds: Is not used.

        Returns:
            `[T, B, C]`, T = (frames - 1) // frames_per_step.
        """
        x = self.encoded(features)
        return self.layers(x, Pass(x.shape[0], tap=tap))

    def step(self, x: Tensor, state: State | None = None, *, tap: Tap | None = None) -> tuple[Tensor, State]:
        """One time step, with all that is remembered as argument and result.

        Args:
            x: The newest frames `[B, 1, n_mels, frames_per_step]`.
            state: Membranes and past frames left by the step before; None to start at rest.
            tap: As in `forward_steps`, with T = 1.

        Returns:
            Output of this step `[B, C]` and the state after it.
        """
        out, state = self.steps(x.unsqueeze(0), state, tap=tap)
        return out[0], state

    def steps(self, x: Tensor, state: State | None = None, *, tap: Tap | None = None) -> tuple[Tensor, State]:
        """`step` for several at once: `[T, B, 1, n_mels, frames_per_step]` -> `[T, B, C]`."""
        run = Pass(x.shape[0], state=state, keep_state=True, tap=tap)
        return self.layers(x, run), run.state

    def state_layout(self) -> dict[str, tuple[int, ...]]:
        """What is remembered of one stream: shapes by name, in the order in which `advance` lays them out.

        Membranes `[C]` have the name of their layer, past frames `[count, C]` that of theirs and ".past".
        """
        if self._layout is None:
            x = next(self.parameters()).new_zeros(1, 1, 1, self.min_shape[0], self.frames_per_step)
            # In a copy: in training mode a step would change the statistics of batch norms, and `eval` is
            # felt by every thread.
            with torch.no_grad():
                _, state = copy.deepcopy(self).eval().steps(x)
            self._layout = {
                name: tuple(value.shape[1:] if _is_membrane(name) else (value.shape[0], *value.shape[2:]))
                for name, value in state.items()
            }
        return self._layout

    def state_size(self) -> int:
        """Values that are remembered of one stream, n."""
        return sum(math.prod(shape) for shape in self.state_layout().values())

    def thresholds(self) -> dict[str, float]:
        """Of each layer of neurons, in the order of `state_layout`; none of a network without."""
        return {
            name: float(self.get_submodule(name).threshold)  # type: ignore[arg-type]
            for name in self.membranes()
        }

    def membranes(self) -> dict[str, slice]:
        """Where in a row of `advance` the membranes of each layer of neurons are."""
        found, begin = {}, 0
        for name, shape in self.state_layout().items():
            end = begin + math.prod(shape)
            if _is_membrane(name):
                found[name] = slice(begin, end)
            begin = end
        return found

    def facts(self) -> FrameFacts:
        """What whoever runs it elsewhere has to know besides its weights."""
        thresholds = self.thresholds()
        parts = self.membranes().items()
        layers = (LayerInState(name, part.start, part.stop, thresholds[name]) for name, part in parts)
        return FrameFacts(self.frames_per_step, LEAD, self.num_steps, self.state_size(), tuple(layers))

    def advance(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`steps` with the state as one row for each stream, so that streams can be stacked.

        Args:
            x: The next steps `[T, B, 1, n_mels, frames_per_step]` of B streams.
            state: `[B, n]`, one after the other what `state_layout` says; None to start at rest.

        Returns:
            Outputs `[T, B, C]`, and the state after them `[B, n]`.
        """
        out, after = self.steps(x, None if state is None else self.from_row(state))
        return out, self.as_row(after)

    def watch(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """`advance`, with the membranes after every step: `[T, B, N]`, layer by layer as in `membranes`."""
        seen: State = {}
        before = None if state is None else self.from_row(state)
        out, after = self.steps(x, before, tap=seen.__setitem__)
        mems = [seen[f"{name}.mem"] for name in self.membranes()]
        # Where a layer steps more often, the newest of its steps counts.
        newest = [mem if mem.ndim == 3 else mem[..., -1] for mem in mems]
        return out, self.as_row(after), torch.cat(newest, -1) if newest else x.new_empty(*out.shape[:2], 0)

    def as_row(self, state: State) -> Tensor:
        """What is remembered as one row for each stream, `[B, n]`."""
        rows = [
            value.flatten(1) if _is_membrane(name) else value.movedim(1, 0).flatten(1)
            for name, value in state.items()
        ]
        return torch.cat(rows, 1)

    def from_row(self, state: Tensor) -> State:
        """What is remembered, of what `as_row` gives.

        Raises:
            ConfigError: The rows are of another size.
        """
        layout = self.state_layout()
        sizes = [math.prod(shape) for shape in layout.values()]
        if state.ndim != 2 or state.shape[1] != sum(sizes):
            raise ConfigError(
                f"a state of shape {list(state.shape)} for {type(self).__name__}",
                hint=f"[B, {sum(sizes)}], as advance() gives it",
            )
        parts = zip(layout.items(), torch.split(state, sizes, 1), strict=True)
        return {
            name: part if _is_membrane(name) else part.reshape(-1, *shape).movedim(1, 0)
            for (name, shape), part in parts
        }

    def loop_encoded(self, x: Tensor) -> Tensor:
        """Steps `[T, B, 1, n_mels, frames_per_step]`, one after the other -> `[T, B, C]`."""
        state: State | None = None
        outputs = []
        for frames in x:
            out, state = self.step(frames, state)
            outputs.append(out)
        return torch.stack(outputs)

    def forward(self, features: Tensor, *, clip_seeds: Sequence[int] | None = None) -> Tensor:
        """Logits `[B, C]` of spectrograms: the sum of the newest `num_steps` outputs."""
        return self.forward_encoded(self.encoded(features))

    def forward_encoded(self, x: Tensor) -> Tensor:
        """See `Network.forward_encoded`."""
        return self.layers(x, Pass(x.shape[0]))[-self.num_steps :].sum(0)


def _is_membrane(name: str) -> bool:
    return not name.endswith(PAST)


class FramedCNN(Framed):
    """The plain twin of a network on frames: it remembers past frames and has no membranes.

    Args:
        num_classes: Number of classes C, at least 1.
        num_steps: Outputs that make an answer, 1 to 1,000.

    Raises:
        ConfigError: A value is not legal.
    """

    def __init__(self, num_classes: int = 35, num_steps: int = 50) -> None:
        super().__init__(num_classes)
        self.num_steps = check_int("num_steps", num_steps, low=1, high=MAX_STEPS)
        self.make_layers()


class FramedSNN(Framed, SpikingNetwork):
    """A spiking network on frames.

    Args:
        num_classes: Number of classes C, at least 1.
        num_steps: Outputs that make an answer, 1 to 1,000.
        beta: Membrane decay a step of its layer, 0 to 1.
        learn_beta: Whether each layer's beta is a parameter.
        threshold: Firing threshold, above 0.
        learn_threshold: Whether each layer's threshold is a parameter.
        encoding: "frames": each step hears the next ones.
        reset: See `SpikingNetwork`.
        surrogate: See `SpikingNetwork`.
        beta_per_channel: Whether each channel has a beta of its own, instead of one for the layer.

    Raises:
        ConfigError: A value is not legal.
    """

    encodings = (FRAMES,)

    def __init__(
        self,
        num_classes: int = 35,
        num_steps: int = 50,
        beta: float = 0.5,
        learn_beta: bool = False,
        threshold: float = 1.0,
        learn_threshold: bool = False,
        encoding: str = FRAMES,
        reset: str = "subtract",
        surrogate: str = "atan",
        beta_per_channel: bool = False,
    ) -> None:
        SpikingNetwork.__init__(
            self,
            num_classes,
            num_steps,
            beta,
            learn_beta,
            threshold,
            learn_threshold,
            encoding,
            reset,
            surrogate,
            beta_per_channel,
        )

    def wiring(self) -> Wiring | None:
        """What the network is made of, for the native engine; None leaves it to the others.

        A class that changes `layers()` says it anew.
        """
        return None
