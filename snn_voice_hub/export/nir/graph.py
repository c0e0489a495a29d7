"""A spiking network, taken apart into nodes and edges of the Neuromorphic Intermediate Representation (NIR).

NIR knows weights, sums (several edges into one node), sum and average pooling, leaky integrators, thresholds,
and neurons that are reset to a value. What it lacks and our networks have is said by what it has:

- Reset by subtraction: either a `LIF` node whose metadata name the rule, or ("parts") a leaky integrator, a
  threshold, and an edge back from the spike that subtracts, one step later, as the rule says.
- Maximum of spikes: at least one of them is 1, so their sum exceeds a half.
- Mean over positions before a linear layer: one convolution over all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from snn_voice_hub.export.nir import nodes as made
from snn_voice_hub.export.nir.building import Builder
from snn_voice_hub.export.onnx import averages
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.models.operations import axes, norm_constants, reading, uses
from snn_voice_hub.models.trace import Operation, Untraceable, name_of, trace
from snn_voice_hub.tensors import FLOAT32

if TYPE_CHECKING:
    import nir


@dataclass(frozen=True)
class _Value:
    """A tensor of the network, as nodes of the graph.

    Attributes:
        sources: The nodes whose sum it is.
        shape: Of one clip and step, in the network.
        actual: The same in the graph, which leaves axes of size 1, and means over positions, to the weights.
        spikes: Whether it is 0 or 1.
        factor: What the weights that come next multiply it by: one part of a mean.
    """

    sources: tuple[str, ...]
    shape: tuple[int, ...]
    actual: tuple[int, ...]
    spikes: bool = False
    factor: float = 1.0


class GraphBuilder(Builder):
    """One network that hears windows on its way into a graph.

    Args:
        network: The network, in evaluation mode, on the CPU, in float32.
        clip_shape: Shape of one clip's features without batch and channel.
        form: How neurons are said, one of `names.FORMS`.
    """

    def __init__(self, network: SpikingNetwork, clip_shape: tuple[int, ...], form: str) -> None:
        super().__init__(network, form)
        self._input = (1, *clip_shape)
        self._values: dict[Operation, _Value] = {}

    def run(self) -> None:
        """Fill `nodes` and `edges`.

        Raises:
            SnnVoiceError: The network has what NIR can't say.
        """
        import nir

        steps = 1 if self._network.encoding == "repeat" else self._network.num_steps
        try:
            traced = trace(self._network, (steps, *self._input))
        except Untraceable as error:
            raise self._refusal(f"its layers can't be followed: {error}") from error
        for op in traced.operations:
            if op.function is None:
                self._values[op] = _Value(("input",), self._input, self._input)
            else:
                self._values[op] = self._value(op)
        end = self._values[traced.output]
        self._emit("output", nir.Output(output_type={"output": np.array(end.actual)}), end.sources)

    def _value(self, op: Operation) -> _Value:
        inputs = [self._values[argument] for argument in op.inputs]
        kind, arguments = reading(op)
        if kind == "add" and len(inputs) == 2 and arguments["alpha"] == 1:
            return self._add(*inputs)
        handler: Callable[[Operation, _Value, dict[str, Any]], _Value] | None = {
            "fire": self._fire,
            "conv": self._convolve,
            "norm": self._normalise,
            "linear": self._linear,
            "pool": self._maximum,
            "average": self._average,
            "squeeze": self._squeeze,
            "mean": self._mean,
            "flatten": self._reshape,
            "reshape": self._reshape,
            "dropout": lambda _, value, __: value,
        }.get(kind)
        if handler is None or len(inputs) != 1:
            raise self._refusal(f"it has the operation {name_of(op)} on its way, for which there is no node")
        value = inputs[0]
        if value.factor != 1 and kind not in ("linear", "dropout", "reshape"):
            raise self._refusal(
                f"{op.module or name_of(op)} takes a mean over positions and is no linear layer"
            )
        return handler(op, value, arguments)

    def _emit(self, layer: str, node: nir.NIRNode, sources: tuple[str, ...]) -> str:
        import nir

        if not self.nodes:  # by now it is known what shape the input has
            self.nodes["input"] = nir.Input(input_type={"input": np.array(self._input)})
        return super()._emit(layer, node, sources)

    # --- layers -------------------------------------------------------------------------------------

    def _convolve(self, op: Operation, value: _Value, arguments: dict[str, Any]) -> _Value:
        path = op.module
        weight, bias, padding = arguments["weight"], arguments["bias"], arguments["padding"]
        sizes = tuple(weight.shape[2:])
        stride, dilation = (_each(arguments[name], len(sizes)) for name in ("stride", "dilation"))
        # Of two unlike sizes, the package derives a wrong shape of the output.
        if arguments["groups"] != 1 or len(set(sizes)) > 1:
            raise self._refusal(f"{path} is a convolution with groups, unusual padding or unlike sizes")
        if isinstance(padding, str):
            if padding == "same" and any(size % 2 == 0 for size in sizes):
                raise self._refusal(f"{path} pads an even kernel on one side more than on the other")
            reach = [hole * (size // 2) for size, hole in zip(sizes, dilation, strict=True)]
            padding = reach if padding == "same" else 0
        node = made.convolution(
            value.actual[1:],
            made.array(weight),
            made.array(torch.zeros(len(weight), **FLOAT32) if bias is None else bias),
            stride,
            _each(padding, len(sizes)),
            dilation,
        )
        shape = tuple(int(n) for n in node.output_type["output"])
        return _Value((self._emit(path, node, value.sources),), shape, shape)

    def _normalise(self, op: Operation, value: _Value, arguments: dict[str, Any]) -> _Value:
        import nir

        conv = self.nodes.get(value.sources[0])
        alone = len(value.sources) == 1 and uses(arguments["input"]) == 1 and not arguments["training"]
        if not alone or not isinstance(conv, nir.Conv1d | nir.Conv2d) or arguments["running_mean"] is None:
            raise self._refusal(f"{op.module} is a batch norm that does not follow a convolution of its own")
        made.fold_norm(conv, *norm_constants(arguments))
        return value

    def _linear(self, op: Operation, value: _Value, arguments: dict[str, Any]) -> _Value:
        import nir

        if len(value.shape) != 1:
            raise self._refusal(f"{op.module} is a linear layer on the last of several axes")
        positions = value.actual[1:]
        weight, given = arguments["weight"], arguments["bias"]
        out = len(weight)
        bias = made.array(torch.zeros(out, **FLOAT32) if given is None else given)
        weight = (weight.detach().double() * value.factor).float()
        if positions:  # all of them at once; of a mean there are many, else there is one
            weight = weight.view(*weight.shape, *[1] * len(positions)).expand(-1, -1, *positions)
            node = made.convolution(positions, made.array(weight), bias)
        else:
            node = nir.Affine(weight=made.array(weight), bias=bias)
        return _Value((self._emit(op.module, node, value.sources),), (out,), (out,) + (1,) * len(positions))

    # --- neurons ------------------------------------------------------------------------------------

    def _fire(self, op: Operation, value: _Value, arguments: dict[str, Any]) -> _Value:
        name = self._neurons(op.module, arguments["lif"], value.actual, value.sources)
        return replace(value, sources=(name,), spikes=True)

    def _maximum(self, op: Operation, value: _Value, arguments: dict[str, Any]) -> _Value:
        import nir

        path = op.module
        if not value.spikes:
            raise self._refusal(f"{path} takes the maximum of currents, for which there is no node")
        channels, *sizes = value.actual
        kernel, padding, dilation = (
            _each(arguments[name], len(sizes)) for name in ("kernel_size", "padding", "dilation")
        )
        stride = _each(arguments["stride"] or kernel, len(sizes))
        if any(padding) or any(n != 1 for n in dilation) or arguments["ceil_mode"]:
            raise self._refusal(f"{path} is a pooling with padding, dilation or ceil_mode")
        shape = (channels, *((n - k) // s + 1 for n, k, s in zip(sizes, kernel, stride, strict=True)))
        total = self._emit(f"{path}.sum", made.window_sum(value.actual, kernel, stride), value.sources)
        half = np.full(shape, 0.5, np.float32)
        said = {"layer": path, "reset": "zero"}
        # A neuron that is reset to zero has no memory here: it fires whenever anything comes in.
        neuron = made.neuron(half, half, said)
        node = neuron if self.form == "lif" else nir.Threshold(threshold=half, metadata=said)
        return _Value((self._emit(path, node, (total,)),), shape, shape, spikes=True)

    # --- sums, means and shapes ---------------------------------------------------------------------

    def _add(self, left: _Value, right: _Value) -> _Value:
        sources = left.sources + right.sources
        plain = left.factor == right.factor == 1 and left.actual == right.actual
        if not plain or len(set(sources)) < len(sources):
            raise self._refusal("it has a sum of tensors of unlike shapes, or of one with itself")
        return replace(left, sources=sources, spikes=False)

    def _mean(self, op: Operation, value: _Value, arguments: dict[str, Any]) -> _Value:
        import nir

        channels, *positions = value.actual
        ndim = len(arguments["input"].shape)
        usual = axes(arguments, ndim) == tuple(range(ndim - len(positions), ndim))
        if not usual or not positions or arguments["keepdim"] or value.actual != value.shape:
            raise self._refusal("it has a mean over other axes than all positions")
        if len(positions) == 1:
            return replace(value, shape=(channels,), factor=1 / positions[0], spikes=False)
        size = np.array(positions)
        pool = nir.AvgPool2d(kernel_size=size, stride=size, padding=np.array((0, 0)))
        return _Value((self._emit("mean", pool, value.sources),), (channels,), (channels, 1, 1))

    def _average(self, op: Operation, value: _Value, arguments: dict[str, Any]) -> _Value:
        import nir

        path = op.module
        channels, *sizes = value.actual
        wanted = arguments["output_size"]
        out = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        shape = (channels, *(size if n is None else n for size, n in zip(sizes, out, strict=True)))
        rows, columns = (averages(size, n) for size, n in zip(sizes, shape[1:], strict=True))
        # Windows of unlike sizes are no pooling of NIR's; as a matrix, all are.
        matrix = torch.kron(torch.eye(channels, **FLOAT32), torch.kron(rows, columns))
        flat = self._flat(f"{path}.flatten", value)
        name = self._emit(path, nir.Linear(weight=made.array(matrix)), flat.sources)
        return _Value((name,), shape, (prod(shape),))

    def _squeeze(self, op: Operation, value: _Value, arguments: dict[str, Any]) -> _Value:
        shape = op.shape[2:]
        if value.sources != ("input",) or self.nodes or prod(shape) != prod(value.shape) or not shape:
            raise self._refusal("it takes away an axis that is not the input's")
        self._input = shape
        return replace(value, shape=shape, actual=shape)

    def _reshape(self, op: Operation, value: _Value, arguments: dict[str, Any]) -> _Value:
        """Steps folded into the batch or unfolded again, which is nothing here; or all axes made one."""
        found = op.shape
        if found[-len(value.shape) :] == value.shape and len(found) - len(value.shape) in (1, 2):
            return value
        if value.factor != 1 or found[2:] != (prod(value.shape),):
            raise self._refusal("it flattens other axes than all those after the batch")
        return self._flat("flatten", value)

    def _flat(self, path: str, value: _Value) -> _Value:
        import nir

        size = (prod(value.actual),)
        if value.actual == size:
            return replace(value, shape=size)
        if all(made.is_per_neuron(node) for node in self.nodes.values()):
            # The graph can be flat from its input on. Importers do not agree on the axes of a node that
            # flattens.
            self.nodes = {name: made.flattened(node) for name, node in self.nodes.items()}
            self._input = size
            return replace(value, shape=size, actual=size)
        node = nir.Flatten(input_type={"input": np.array(value.actual)}, start_dim=0, end_dim=-1)
        return _Value((self._emit(path, node, value.sources),), size, size, spikes=value.spikes)


def _each(value: Any, count: int) -> tuple[int, ...]:
    """A size for each axis."""
    return (value,) * count if isinstance(value, int) else tuple(value)
