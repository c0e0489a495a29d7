"""A spiking network, taken apart into nodes and edges of the Neuromorphic Intermediate Representation (NIR).

NIR knows weights, sums (several edges into one node), sum and average pooling, leaky integrators, thresholds,
and neurons that are reset to a value. What it lacks and our networks have is said by what it has:

- Reset by subtraction: either a `LIF` node whose metadata name the rule, or ("parts") a leaky integrator, a
  threshold, and an edge back from the spike that subtracts, one step later, as the rule says.
- Maximum of spikes: at least one of them is 1, so their sum exceeds a half.
- Mean over positions before a linear layer: one convolution over all of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn
from torch.fx.node import Node

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export import nir_nodes as made
from snn_voice_hub.export.onnx import averages
from snn_voice_hub.models.network import SpikingNetwork, fold_steps, unfold_steps
from snn_voice_hub.models.spiking import Lif
from snn_voice_hub.models.trace import trace
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


class Lowering:
    """One network on its way into a graph.

    Args:
        network: The network, in evaluation mode, on the CPU, in float32.
        clip_shape: Shape of one clip's features without batch and channel.
        form: How neurons are said, one of `names.FORMS`.

    Attributes:
        nodes: The graph's nodes by name.
        edges: Its edges.
    """

    def __init__(self, network: SpikingNetwork, clip_shape: tuple[int, ...], form: str) -> None:
        self._network = network
        self._form = form
        self._input = (1, *clip_shape)
        self._values: dict[Node, _Value] = {}
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []

    def run(self) -> None:
        """Fill `nodes` and `edges`.

        Raises:
            SnnVoiceError: The network has what NIR can't say.
        """
        import nir

        try:
            root, steps = trace(self._network)
        except Exception as error:
            raise self._refusal(f"its layers can't be followed: {error}".splitlines()[0]) from error
        for node in steps:
            if node.op == "placeholder":
                self._values[node] = _Value(("input",), self._input, self._input)
            elif node.op == "output":
                end = self._values[cast(Node, node.args[0])]
                self._emit("output", nir.Output(output_type={"output": np.array(end.actual)}), end.sources)
            else:
                self._values[node] = self._value(root, node)

    def _refusal(self, why: str) -> SnnVoiceError:
        return SnnVoiceError(
            f"{type(self._network).__name__} can't be said in NIR: {why}",
            hint="--to onnx exports it exactly",
            code="not_exportable",
        )

    def _value(self, root: nn.Module, node: Node) -> _Value:
        inputs = [self._values[argument] for argument in node.all_input_nodes]
        if node.op == "call_module":
            path = str(node.target)
            return self._module(path.removeprefix("network."), root.get_submodule(path), inputs[0], node)
        if node.target in (fold_steps, unfold_steps):
            return inputs[0]
        if node.target in (operator.add, torch.add) and len(inputs) == 2:
            return self._add(*inputs)
        handler: Callable[[_Value, Node], _Value] | None = {
            "squeeze": self._squeeze,
            "flatten": self._flatten,
            "mean": self._mean,
        }.get(str(node.target))
        if node.op != "call_method" or handler is None:
            name = getattr(node.target, "__name__", str(node.target))
            raise self._refusal(f"it has the operation {name} on its way, for which there is no node")
        return handler(inputs[0], node)

    def _emit(self, layer: str, node: nir.NIRNode, sources: tuple[str, ...]) -> str:
        import nir

        if not self.nodes:  # by now it is known what shape the input has
            self.nodes["input"] = nir.Input(input_type={"input": np.array(self._input)})
        name = layer.replace(".", "_")
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    # --- layers -------------------------------------------------------------------------------------

    def _module(self, path: str, module: nn.Module, value: _Value, node: Node) -> _Value:
        if isinstance(module, nn.Identity | nn.Dropout):
            return value
        if value.factor != 1 and not isinstance(module, nn.Linear):
            raise self._refusal(f"{path} takes a mean over positions and is no linear layer")
        if isinstance(module, Lif):
            return self._fire(path, module, value)
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            return self._convolve(path, module, value)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            return self._normalise(path, module, value, node)
        if isinstance(module, nn.Linear):
            return self._linear(path, module, value)
        if isinstance(module, nn.MaxPool1d | nn.MaxPool2d):
            return self._maximum(path, module, value)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            return self._average(path, module, value)
        raise self._refusal(f"{path} is a {type(module).__name__}, for which there is no node")

    def _convolve(self, path: str, conv: nn.Conv1d | nn.Conv2d, value: _Value) -> _Value:
        sizes, padding = conv.kernel_size, conv.padding
        # Of two unlike sizes, the package derives a wrong shape of the output.
        if conv.groups != 1 or conv.padding_mode != "zeros" or len(set(sizes)) > 1:
            raise self._refusal(f"{path} is a convolution with groups, unusual padding or unlike sizes")
        if isinstance(padding, str):
            if padding == "same" and any(size % 2 == 0 for size in sizes):
                raise self._refusal(f"{path} pads an even kernel on one side more than on the other")
            reach = [hole * (size // 2) for size, hole in zip(sizes, conv.dilation, strict=True)]
            padding = tuple(reach if padding == "same" else [0] * len(reach))
        bias = torch.zeros(conv.out_channels, **FLOAT32) if conv.bias is None else conv.bias
        node = made.convolution(
            value.actual[1:],
            made.array(conv.weight),
            made.array(bias),
            conv.stride,
            padding,
            conv.dilation,
        )
        shape = tuple(int(n) for n in node.output_type["output"])
        return _Value((self._emit(path, node, value.sources),), shape, shape)

    def _normalise(
        self, path: str, norm: nn.BatchNorm1d | nn.BatchNorm2d, value: _Value, node: Node
    ) -> _Value:
        import nir

        conv = self.nodes.get(value.sources[0])
        alone = len(value.sources) == 1 and len(node.all_input_nodes[0].users) == 1
        if not alone or not isinstance(conv, nir.Conv1d | nir.Conv2d) or norm.running_mean is None:
            raise self._refusal(f"{path} is a batch norm that does not follow a convolution of its own")
        made.fold_norm(conv, norm)
        return value

    def _linear(self, path: str, linear: nn.Linear, value: _Value) -> _Value:
        import nir

        if len(value.shape) != 1:
            raise self._refusal(f"{path} is a linear layer on the last of several axes")
        positions = value.actual[1:]
        bias = made.array(torch.zeros(linear.out_features, **FLOAT32) if linear.bias is None else linear.bias)
        weight = (linear.weight.detach().double() * value.factor).float()
        if positions:  # all of them at once; of a mean there are many, else there is one
            weight = weight.view(*weight.shape, *[1] * len(positions)).expand(-1, -1, *positions)
            node = made.convolution(positions, made.array(weight), bias)
        else:
            node = nir.Affine(weight=made.array(weight), bias=bias)
        shape = (linear.out_features,)
        return _Value((self._emit(path, node, value.sources),), shape, shape + (1,) * len(positions))

    # --- neurons ------------------------------------------------------------------------------------

    def _fire(self, path: str, lif: Lif, value: _Value) -> _Value:
        import nir

        if lif.beta.numel() not in (1, value.actual[0]) or lif.threshold.numel() != 1:
            raise self._refusal(f"{path} has a beta for each neuron, or a threshold for each")
        beta = made.each_neuron(lif.beta.detach().clamp(0, 1), value.actual)
        threshold = made.each_neuron(lif.threshold, value.actual)
        said = {"layer": path, "reset": lif.reset}
        if self._form == "lif":
            name = self._emit(path, made.neuron(beta, threshold, said), value.sources)
        else:
            mem = self._emit(f"{path}.mem", made.integrator(beta), value.sources)
            name = self._emit(path, nir.Threshold(threshold=threshold, metadata=said), (mem,))
            drop = threshold if lif.reset == "subtract" else beta * threshold
            back = self._emit(f"{path}.reset", nir.Scale(scale=-drop), (name,))
            self.edges.append((back, mem))
        return replace(value, sources=(name,), spikes=True)

    def _maximum(self, path: str, pool: nn.MaxPool1d | nn.MaxPool2d, value: _Value) -> _Value:
        import nir

        if not value.spikes:
            raise self._refusal(f"{path} takes the maximum of currents, for which there is no node")
        channels, *sizes = value.actual
        kernel, stride, padding, dilation = (
            (n,) * len(sizes) if isinstance(n, int) else tuple(n)
            for n in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        )
        if any(padding) or any(n != 1 for n in dilation) or pool.ceil_mode:
            raise self._refusal(f"{path} is a pooling with padding, dilation or ceil_mode")
        shape = (channels, *((n - k) // s + 1 for n, k, s in zip(sizes, kernel, stride, strict=True)))
        total = self._emit(f"{path}.sum", made.window_sum(value.actual, kernel, stride), value.sources)
        half = np.full(shape, 0.5, np.float32)
        said = {"layer": path, "reset": "zero"}
        # A neuron that is reset to zero has no memory here: it fires whenever anything comes in.
        neuron = made.neuron(half, half, said)
        node = neuron if self._form == "lif" else nir.Threshold(threshold=half, metadata=said)
        return _Value((self._emit(path, node, (total,)),), shape, shape, spikes=True)

    # --- sums, means and shapes ---------------------------------------------------------------------

    def _add(self, left: _Value, right: _Value) -> _Value:
        sources = left.sources + right.sources
        plain = left.factor == right.factor == 1 and left.actual == right.actual
        if not plain or len(set(sources)) < len(sources):
            raise self._refusal("it has a sum of tensors of unlike shapes, or of one with itself")
        return replace(left, sources=sources, spikes=False)

    def _mean(self, value: _Value, node: Node) -> _Value:
        import nir

        axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        found = (axes,) if isinstance(axes, int) else tuple(cast(tuple[int, ...], axes or ()))
        channels, *positions = value.actual
        usual = found in ((-1,), (-2, -1)) and len(found) == len(positions)
        if not usual or value.factor != 1 or node.kwargs.get("keepdim"):
            raise self._refusal("it has a mean over other axes than all positions")
        if len(positions) == 1:
            return replace(value, shape=(channels,), factor=1 / positions[0], spikes=False)
        size = np.array(positions)
        pool = nir.AvgPool2d(kernel_size=size, stride=size, padding=np.array((0, 0)))
        return _Value((self._emit("mean", pool, value.sources),), (channels,), (channels, 1, 1))

    def _average(self, path: str, pool: nn.AdaptiveAvgPool2d, value: _Value) -> _Value:
        import nir

        channels, *sizes = value.actual
        wanted = pool.output_size
        out = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        shape = (channels, *(size if n is None else n for size, n in zip(sizes, out, strict=True)))
        rows, columns = (averages(size, n) for size, n in zip(sizes, shape[1:], strict=True))
        # Windows of unlike sizes are no pooling of NIR's; as a matrix, all are.
        matrix = torch.kron(torch.eye(channels, **FLOAT32), torch.kron(rows, columns))
        flat = self._flat(f"{path}.flatten", value)
        name = self._emit(path, nir.Linear(weight=made.array(matrix)), flat.sources)
        return _Value((name,), shape, (prod(shape),))

    def _squeeze(self, value: _Value, node: Node) -> _Value:
        axis = cast(int, node.args[1]) - 2  # after steps and batch
        shape = value.shape[:axis] + value.shape[axis + 1 :]
        if value.sources != ("input",) or self.nodes or axis < 0 or prod(shape) != prod(value.shape):
            raise self._refusal("it takes away an axis that is not the input's")
        self._input = shape
        return replace(value, shape=shape, actual=shape)

    def _flatten(self, value: _Value, node: Node) -> _Value:
        if node.args[1:] != (2,) or node.kwargs or value.factor != 1:
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
