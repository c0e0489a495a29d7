"""Counts synaptic operations while a network runs; what the counts mean stands in `spikes.energy.layers`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.causal import causal_conv
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import PAST, Pass, SpikingNetwork, State
from snn_voice_hub.spikes.energy.estimate import Energy
from snn_voice_hub.spikes.energy.layers import LayerActivity, LayerEnergy

_Function = Callable[..., Any]
_CONVOLUTIONS: tuple[_Function, ...] = (torch.conv1d, torch.conv2d, torch.conv3d)
_RELUS: tuple[_Function, ...] = (functional.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
# What has weights, or multiplies tensors, and is not counted here: a network with one of these is refused, as
# its figures would be too small.
_REFUSED: frozenset[_Function] = frozenset(
    (
        *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
        *(torch.matmul, torch.mm, torch.mv, torch.bmm, torch.addmm, torch.baddbmm, torch.einsum),
        *(Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, Tensor.mm, Tensor.mv, Tensor.bmm),
        *(torch.bilinear, functional.scaled_dot_product_attention, functional.multi_head_attention_forward),
        *(torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu),
        *(torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell),
    )
)


@dataclass
class _Operations:
    """Sums over all windows for one layer."""

    dense: int = 0
    effective: int = 0
    binary: bool = True
    used: bool = False
    constant: bool = False
    sound: bool = False


@dataclass
class _Outputs:
    """Sums over all windows and steps for one spiking layer or ReLU."""

    spiking: bool
    values: int = 0
    zeros: int = 0


class Counter:
    """Runs a network and counts what it does.

    The network itself stays as it is, also for other threads: the calls of the thread that counts are watched
    (`TorchFunctionMode`), and spikes come through the `tap` argument.

    Args:
        network: A `SpikingNetwork`, or any module that makes logits `[B, C]` of features; in evaluation mode.

    Raises:
        ConfigError: The network is in training mode.
    """

    def __init__(self, network: nn.Module) -> None:
        if network.training:
            raise ConfigError("a network in training mode can't be counted", hint="model.eval()")
        self.network = network
        self.num_steps = network.num_steps if isinstance(network, SpikingNetwork | Framed) else 1
        self.windows = 0
        self._operations: dict[str, _Operations] = {}
        self._outputs: dict[str, _Outputs] = {}
        self._names = {
            id(parameter): name.removesuffix(".weight") for name, parameter in network.named_parameters()
        }
        self._watch = _LayerCalls(self)
        # Of the pass that is running.
        self._constant = self._sound = False
        self._relus = 0
        self._bytes_a_membrane = 0

    @torch.inference_mode()
    def count(self, features: Tensor, clip_seeds: Sequence[int] | None = None) -> Tensor:
        """Run a batch and add what it took.

        Args:
            features: Model input `[B, 1, ...]`.
            clip_seeds: See `SpikingNetwork.forward_steps`.

        Returns:
            Logits `[B, C]`, summed over the steps.

        Raises:
            ConfigError: The network has other layers with weights than convolutions and linear ones.
        """
        self.windows += len(features)
        self._relus = 0
        network = self.network
        if isinstance(network, Framed):
            x = network.encoded(features)
            self.num_steps = len(x)
            return self.go_on(x)[0][-network.num_steps :].sum(0)
        if not isinstance(network, SpikingNetwork):
            with self._watch:
                return cast(Tensor, network(features))
        x = network.encoded(features, clip_seeds)
        self._constant = self._sound = len(x) < self.num_steps
        # In full at each step, also where the input is the same at all.
        x = x.expand(self.num_steps, *x.shape[1:])
        with self._watch:
            return network.layers(x, Pass(self.num_steps, tap=self._see_spikes)).sum(0)

    @torch.inference_mode()
    def go_on(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Count the next steps of streams, of a network whose time steps are those of the sound.

        Args:
            x: As `Framed.steps` takes them.
            state: What is remembered of the streams; None where they begin.

        Returns:
            The output of each step `[T, B, C]`, and the state after them.

        Raises:
            ConfigError: As for `count`.
        """
        assert isinstance(self.network, Framed)
        self._relus = 0
        self._constant, self._sound = False, True
        with self._watch:
            return self.network.steps(x, state, tap=self._see_spikes)

    def layers(self, count: float, *, shapes_only: bool = False) -> tuple[LayerEnergy, ...]:
        """What was counted, layer by layer.

        Args:
            count: Of what the mean is wanted: windows, or seconds of sound.
            shapes_only: See `energy`.
        """
        spiking = isinstance(self.network, SpikingNetwork)
        return tuple(
            LayerEnergy(
                name,
                done.dense / count,
                None if shapes_only else done.effective / count,
                # A layer that saw zeros only: they were spikes, or silence as it comes from the front end.
                done.binary and (done.used or (spiking and not done.sound)),
                done.constant,
            )
            for name, done in self._operations.items()
        )

    def energy(self, model: str = "", *, clips: int = 0, shapes_only: bool = False) -> Energy:
        """What was counted, for one window on average.

        Args:
            model: The checkpoint's name; the architecture's by default.
            clips: How many clips the windows were.
            shapes_only: Whether the weights mean nothing, so that only what follows from the shapes is said.
        """
        count = max(1, self.windows)
        activity = tuple(
            LayerActivity(
                name, out.values // (count * self.num_steps), out.zeros / max(1, out.values), out.spiking
            )
            for name, out in self._outputs.items()
        )
        architecture = type(self.network).__name__
        membranes = sum(layer.neurons for layer in activity if layer.spiking)
        if isinstance(self.network, Framed):  # its layers may step more often than the network
            membranes = _membranes(self.network)
        return Energy(
            model=model or architecture,
            architecture=architecture,
            windows=0 if shapes_only else self.windows,
            clips=0 if shapes_only else clips,
            num_steps=self.num_steps,
            layers=self.layers(count, shapes_only=shapes_only),
            activity=() if shapes_only else activity,
            footprint=footprint(self.network),
            state=membranes * self._bytes_a_membrane,
        )

    def see_layer(self, function: _Function, x: Tensor, weight: Tensor, options: Mapping[str, Any]) -> None:
        """Count one call of a convolution or linear layer.

        Args:
            function: The layer's function.
            x: Its input, `[..., H]` or `[..., C, ...]`.
            weight: Its weight.
            options: What else the function takes, without a bias.
        """
        name = self._names.get(id(weight), function.__name__)
        done = self._operations.setdefault(name, _Operations())
        # Operations are linear in the inputs that are not zero, so all rows go through the layer at once. In
        # float64 these whole numbers are exact.
        rows = x.reshape(-1, *x.shape[1 - weight.ndim :])
        groups = options.get("groups", 1)
        used = (weight != 0).cpu().double().reshape(groups, -1, *weight.shape[1:])
        inputs = rows.count_nonzero(0).cpu().double()
        every = torch.full_like(inputs, len(rows))
        done.dense += _sum(function, every, torch.ones_like(used).sum(1), options)
        done.effective += _sum(function, inputs, used.sum(1), options)
        done.binary = done.binary and bool(((x == 0) | (x.abs() == 1)).all())
        done.used = done.used or bool(inputs.any())
        done.constant = done.constant or self._constant
        done.sound = done.sound or self._sound

    def see_relu(self, out: Tensor) -> None:
        """Count the zeros of what a ReLU gave out."""
        self._add_outputs(f"relu.{self._relus}", out, spiking=False)
        self._relus += 1

    def _see_spikes(self, name: str, tensor: Tensor) -> None:
        if name.endswith(".mem"):
            self._bytes_a_membrane = tensor.element_size()
        else:
            # What comes after the first spikes differs from step to step, and is made of spikes.
            self._constant = self._sound = False
            self._add_outputs(name, tensor, spiking=True)

    def _add_outputs(self, name: str, out: Tensor, *, spiking: bool) -> None:
        sums = self._outputs.setdefault(name, _Outputs(spiking))
        sums.values += out.numel()
        sums.zeros += out.numel() - int(out.count_nonzero())


class _LayerCalls(TorchFunctionMode):
    """Shows a counter the layers that are called in this thread."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(
        self,
        func: _Function,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in _CONVOLUTIONS:
            self._see_convolution(func, *args, **given)
        elif func is functional.linear:
            self._see_linear(*args, **given)
        elif func is causal_conv:
            self._see_causal(*args, **given)
        elif func in _REFUSED:
            name = getattr(func, "__name__", str(func)).strip("_")
            what = f"the network calls {name}, whose operations are not counted"
            raise ConfigError(what, hint="convolutions and linear layers are")
        out = func(*args, **given)
        if func in _RELUS:
            self._counter.see_relu(out)
        return out

    def _see_convolution(
        self,
        function: _Function,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> None:
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self._counter.see_layer(function, input, weight, options)

    def _see_causal(self, x: Tensor, weight: Tensor, stride: int, dilation: int) -> None:
        # The same products are those of a convolution whose first output is made of the first frames.
        options = {"stride": stride, "dilation": dilation}
        self._counter.see_layer(torch.conv1d, x[stride - 1 :].permute(1, 2, 0), weight, options)

    def _see_linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:
        self._counter.see_layer(functional.linear, input, weight, {})


def _sum(function: _Function, inputs: Tensor, weight: Tensor, options: Mapping[str, Any]) -> int:
    return int(function(inputs.unsqueeze(0), weight, **options).sum())


def _membranes(network: Framed) -> int:
    """Membranes of one stream; past frames aside."""
    return sum(math.prod(shape) for name, shape in network.state_layout().items() if not name.endswith(PAST))


def footprint(network: nn.Module) -> int:
    """Bytes of a network's parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
