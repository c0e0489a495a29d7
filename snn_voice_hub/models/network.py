"""What all spiking networks share: the run over the time steps, as a loop or all at once.

Networks are stateless layers over `[T, B, ...]`: `SpikingNetwork.layers` is the one definition of a network
that serves both ways of running it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function_unary

from snn_voice_hub.config import MAX_STEPS, check_bool, check_choice, check_int, check_number
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.base import Network, Tap
from snn_voice_hub.models.encoding import ENCODINGS, encode
from snn_voice_hub.models.lif import RESETS, SURROGATES
from snn_voice_hub.models.lif_layer import Lif

State = dict[str, Tensor]

# Behind a layer's name: what it looks back at.
PAST = ".past"


class Pass:
    """One pass of one batch through a spiking network: what its layers read and leave behind.

    Args:
        num_steps: Steps in this pass.
        state: Membranes before the pass, by layer name.
        keep_state: Whether to keep those after it.
        tap: Sees the spikes and membranes of every layer.
        summed: Whether only the sum over the steps is wanted; see `readout`.

    Attributes:
        num_steps: Steps in this pass.
        state: Membranes after the pass, by layer name, where they were to be kept.
        largest: Values of the largest tensor that went in or out of a layer of neurons.
    """

    def __init__(
        self,
        num_steps: int,
        *,
        state: State | None = None,
        keep_state: bool = False,
        tap: Tap | None = None,
        summed: bool = False,
    ) -> None:
        self.num_steps = num_steps
        self._before = state or {}
        self._keep_state = keep_state
        self._tap = tap
        self._summed = summed
        self.state: State = {}
        self.largest = 0
        self._fired: set[str] = set()

    def fire(
        self, name: str, lif: Lif, x: Tensor, then: OverBatch | None = None, *, steps: int | None = None
    ) -> Tensor:
        """Let one layer of neurons run over all steps of this pass.

        Args:
            name: The layer's name in the state dict; the key of its membrane.
            lif: The layer.
            x: Input current `[T, B, C, ...]`, or `[1, B, C, ...]` where it is the same in all steps.
            then: What the spikes go through next, a layer that treats each channel by itself: pooling.
            steps: Of this layer in the pass, a multiple of `num_steps`, where it steps more often than those.

        Returns:
            Spikes `[T, B, C, ...]`, after `then`.

        Raises:
            ConfigError: A layer of that name has fired in this pass already.
        """
        self._check_fires_once(name)
        before = self._before.get(name)
        count = self.num_steps if steps is None else steps
        spk: Tensor
        spikes_alone = self._tap is None and not self._keep_state and not torch.compiler.is_compiling()
        if spikes_alone and not _is_own(lif, Lif):
            run = lif.train_spikes if _wants_gradient(x, lif) else lif.spikes
            spk = run(x, before, count, then)
            self.largest = max(self.largest, x.numel(), spk.numel())
            return spk
        spk, mems = lif(x, before, count)
        if self._keep_state:
            self.state[name] = mems[-1]
        if self._tap is not None:
            self._tap(name, self._by_step(spk))
            self._tap(f"{name}.mem", self._by_step(mems))
        return spk if then is None else over_time(then, spk)

    def _by_step(self, x: Tensor) -> Tensor:
        """`[T * k, B, C]` of a layer that steps k times in a step of the pass, as `[T, B, C, k]`."""
        if x.shape[0] == self.num_steps:
            return x
        return x.reshape(self.num_steps, -1, *x.shape[1:]).movedim(1, -1)

    def with_past(self, name: str, x: Tensor, count: int) -> Tensor:
        """Steps with those before them, which a layer looks back at.

        Args:
            name: Of the layer; the key of what it looks back at.
            x: Its input `[T, B, ...]`.
            count: How many steps it looks back.

        Returns:
            `[count + T, B, ...]`; before the first pass there was nothing, 0.
        """
        if not count:
            return x
        key = f"{name}{PAST}"
        before = self._before.get(key)
        if before is None:
            before = x.new_zeros(count, *x.shape[1:])
        joined = torch.cat([before, x])
        if self._keep_state:
            self.state[key] = joined[-count:]
        return joined

    def _check_fires_once(self, name: str) -> None:
        if name in self._fired:
            raise ConfigError(
                f"two layers of neurons fire as {name!r} in one pass",
                hint="a name each: the membrane is kept by it, also where they share their constants",
            )
        self._fired.add(name)

    def readout(self, layer: nn.Module, x: Tensor) -> Tensor:
        """The last layer; where only the sum over the steps is wanted, a linear one is applied once.

        Args:
            layer: The layer.
            x: Its input at each step, `[T, B, H]`.

        Returns:
            `[T, B, C]`, or the sum over the steps as `[1, B, C]`.
        """
        if not self._summed or not isinstance(layer, nn.Linear) or _is_own(layer, nn.Linear):
            out: Tensor = layer(x)
            return out
        return summed_linear(x, layer.weight, layer.bias)


def _is_own(module: nn.Module, cls: type[nn.Module]) -> bool:
    """Whether a module has to be called, for it is not known to do what one of that class does."""
    changed = type(module).forward is not cls.forward or "forward" in vars(module)
    return changed or is_hooked(module) or bool(module._backward_hooks or module._backward_pre_hooks)


def is_hooked(module: nn.Module) -> bool:
    """Whether somebody wants to see or change what goes in or out of a module."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def summed_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer, summed over the steps: `[T, B, H]` -> `[1, B, C]`."""
    if has_torch_function_unary(x):  # whoever traces `layers` takes it as one operation
        traced: Tensor = handle_torch_function(summed_linear, (x,), x, weight, bias)
        return traced
    total = None if bias is None else bias * x.shape[0]
    return functional.linear(x.sum(0, keepdim=True), weight, total)


def _wants_gradient(x: Tensor, lif: Lif) -> bool:
    learns = x.requires_grad or lif.beta.requires_grad or lif.threshold.requires_grad
    return torch.is_grad_enabled() and learns


class OverBatch(Protocol):
    """A stateless layer over a batch."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """`[T * B, ...]` -> `[T * B, ...]`."""


def over_time(layer: OverBatch, x: Tensor) -> Tensor:
    """Apply a stateless layer to every step: the steps `[T, B, ...]` are folded into its batch."""
    return unfold_steps(layer(fold_steps(x)), x)


def fold_steps(x: Tensor) -> Tensor:
    """`[T, B, ...]` -> `[T * B, ...]`."""
    return x.flatten(0, 1)


def unfold_steps(x: Tensor, like: Tensor) -> Tensor:
    """`[T * B, ...]` -> `[T, B, ...]`, with the T of `like`."""
    return x.view(like.shape[0], -1, *x.shape[1:])


class SpikingNetwork(Network):
    """What all spiking networks share: the neuron's settings, encoding, and the run over the steps.

    A subclass implements `build()`, where it takes its neurons from `self.make_lif()`, and `layers(x, run)`.

    Args:
        num_classes: Number of classes C, at least 1.
        num_steps: Number of time steps T, 1 to 1,000.
        beta: Membrane decay, 0 to 1.
        learn_beta: Whether each layer's beta is a parameter.
        beta_per_channel: Whether each channel has a beta of its own, instead of one for the layer.
        threshold: Firing threshold, above 0.
        learn_threshold: Whether each layer's threshold is a parameter.
        encoding: "repeat" (the same input at every step), "rate" or "latency"; see `models.encoding`.
        reset: "subtract", or "subtract-before-decay" for the paper's weights; see `lif_step`.
        surrogate: Surrogate gradient for training, a name in `SURROGATES`.

    Raises:
        ConfigError: A value is out of range; the message names it and the legal values.
    """

    # A network with a bare LIF on its input can't spike under latency encoding; it warns.
    lif_on_input = False
    # How its input may become time steps.
    encodings: tuple[str, ...] = ENCODINGS

    def __init__(
        self,
        num_classes: int = 35,
        num_steps: int = 5,
        beta: float = 0.5,
        learn_beta: bool = False,
        threshold: float = 1.0,
        learn_threshold: bool = False,
        encoding: str = "repeat",
        reset: str = "subtract",
        surrogate: str = "atan",
        beta_per_channel: bool = False,
    ) -> None:
        super().__init__(num_classes)
        self.num_steps = check_int("num_steps", num_steps, low=1, high=MAX_STEPS)
        self.beta = check_number("beta", beta, low=0.0, high=1.0)
        self.learn_beta = check_bool("learn_beta", learn_beta)
        self.beta_per_channel = check_bool("beta_per_channel", beta_per_channel)
        self.threshold = check_number("threshold", threshold, above=0.0)
        self.learn_threshold = check_bool("learn_threshold", learn_threshold)
        self.encoding = check_choice("encoding", encoding, self.encodings)
        self.reset = check_choice("reset", reset, RESETS)
        self.surrogate = check_choice("surrogate", surrogate, tuple(SURROGATES))
        if self.lif_on_input and self.encoding == "latency" and self.threshold >= 1.0:
            warnings.warn(
                f"{type(self).__name__} puts a bare LIF on its input; latency encoding gives it one spike of "
                f"1.0 in all, which never exceeds threshold={self.threshold:g}: the network stays silent",
                UserWarning,
                stacklevel=2,
            )
        self.make_layers()

    def make_lif(self, channels: int | None = None) -> Lif:
        """A LIF layer with this network's settings.

        Args:
            channels: Of its input; a network that doesn't say can't have a beta for each.

        Raises:
            ConfigError: A beta for each channel is wanted, and `channels` is not given.
        """
        if self.beta_per_channel and channels is None:
            raise ConfigError(
                f"{type(self).__name__} can't have a beta for each channel", hint="beta_per_channel=False"
            )
        return Lif(
            self.beta,
            learn_beta=self.learn_beta,
            channels=channels if self.beta_per_channel else None,
            threshold=self.threshold,
            learn_threshold=self.learn_threshold,
            reset=self.reset,
            surrogate=self.surrogate,
        )

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """The network itself, over all steps.

        Args:
            x: Encoded input `[T, B, ...]`, or `[1, B, ...]` where it is the same in all steps.
            run: Fires the LIF layers, holds their membranes, and applies the last linear layer.

        Returns:
            What `run.readout` gives: the output at each step `[T, B, C]`, or its sum `[1, B, C]`. A network
            without it returns the output at each step.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define layers()")

    def forward_steps(
        self, features: Tensor, *, tap: Tap | None = None, clip_seeds: Sequence[int] | None = None
    ) -> Tensor:
        """Output of every time step.

        Args:
            features: Model input `[B, 1, ...]`.
            tap: Called with `(layer name, spikes [T, B, ...])` and `(layer name + ".mem", membranes)`.
            clip_seeds: One seed a clip: each clip is then encoded by itself; see `models.encoding.encode`.

        Returns:
            Logits of each step `[T, B, C]`; their sum over T are the logits of `forward`.
        """
        return self.layers(self.encoded(features, clip_seeds), Pass(self.num_steps, tap=tap))

    def step(self, x: Tensor, state: State | None = None, *, tap: Tap | None = None) -> tuple[Tensor, State]:
        """One time step, with the membranes as argument and result.

        Args:
            x: Encoded input of this step `[B, 1, ...]`.
            state: Membranes left by the step before; None to start at rest.
            tap: As in `forward_steps`, with T = 1.

        Returns:
            Logits of this step `[B, C]` and the membranes after it.
        """
        run = Pass(1, state=state, keep_state=True, tap=tap)
        return self.layers(x.unsqueeze(0), run)[0], run.state

    def forward_loop(self, features: Tensor, *, clip_seeds: Sequence[int] | None = None) -> Tensor:
        """The same as `forward_steps`, one step after the other: readable, slow, for checks.

        Args:
            features: Model input `[B, 1, ...]`.
            clip_seeds: As in `forward_steps`.

        Returns:
            Logits of each step `[T, B, C]`.
        """
        return self.loop_encoded(self.encoded(features, clip_seeds))

    def loop_encoded(self, x: Tensor) -> Tensor:
        """`forward_loop` of encoded input `[T, B, 1, ...]` or `[1, B, 1, ...]`."""
        state: State | None = None
        outputs = []
        for t in range(self.num_steps):
            out, state = self.step(x[t] if x.shape[0] > 1 else x[0], state)
            outputs.append(out)
        return torch.stack(outputs)

    def forward(self, features: Tensor, *, clip_seeds: Sequence[int] | None = None) -> Tensor:
        """Logits `[B, C]` of features `[B, 1, ...]`: the sum of all steps' outputs."""
        return self.forward_encoded(self.encoded(features, clip_seeds))

    def encoded(self, features: Tensor, clip_seeds: Sequence[int] | None = None) -> Tensor:
        """See `Network.encoded`."""
        self.check_features(features)
        return encode(features, self.encoding, self.num_steps, clip_seeds)

    def forward_encoded(self, x: Tensor) -> Tensor:
        """See `Network.forward_encoded`."""
        return self.layers(x, Pass(self.num_steps, summed=True)).sum(0)
