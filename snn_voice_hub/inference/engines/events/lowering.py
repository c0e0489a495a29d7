"""A traced network -> what PyTorch computes before, what the kernels compute, what PyTorch computes after.

Before: all that comes ahead of the first neurons. The kernels: from there to the mean over the positions;
batch norm is folded into the convolutions, and neurons, pooling and residual sums into the layer whose
convolution makes their current. After: the head.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.fx.node import Node

from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.inference.engines.packed import PackedLinear
from snn_voice_hub.models.network import SpikingNetwork, fold_steps, unfold_steps
from snn_voice_hub.models.spiking import Lif
from snn_voice_hub.models.trace import trace

_CONVS = (nn.Conv1d, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d)

MAX_WINDOW = 16  # positions that the kernels pool together
# With fewer channels, looking for spikes costs more than adding all weights would.
MIN_CHANNELS = 16
Pair: TypeAlias = tuple[int, int]


@dataclass
class Convolution:
    """A convolution of spikes, batch norm folded in.

    Attributes:
        weight: `[out, in, kernel_h, kernel_w]`, float32.
        bias: `[out]`, float32.
        stride: Down and across, as the padding.
        padding: Zeros on each side.
    """

    weight: Tensor
    bias: Tensor
    stride: Pair
    padding: Pair


@dataclass
class Stage:
    """One layer of the kernels.

    Attributes:
        number: Its place in the list of layers; its spikes and its current are known by it.
        source: The stage whose spikes are convolved; None where the current is the dense input.
        convolution: None where the current is the dense input.
        residual: A stage whose kept current is added; -1 is the dense input.
        keeps: Whether the current is wanted by a later stage.
        neurons: The LIF layer, if the stage has one.
        pool: Window of the max pooling.
        pools_current: Whether it comes before the neurons.
        lists: Whether a later stage convolves the spikes.
        sums: Whether their sum over the positions is the kernels' output.
    """

    number: int
    source: int | None = None
    convolution: Convolution | None = None
    residual: int | None = None
    keeps: bool = False
    neurons: Lif | None = None
    pool: Pair = (1, 1)
    pools_current: bool = False
    lists: bool = False
    sums: bool = False


@dataclass
class Program:
    """A network, taken apart.

    Attributes:
        root: The module that the names in the operations refer to.
        nodes: All operations.
        dense: The operation whose value is the dense input of the stages, `[T or 1, B, C, ...]`.
        stages: What the kernels run.
        mean: The operation whose value `[T, B, C]` is the stages' output, divided by the positions.
        output: The operation whose value is the network's output.
    """

    root: nn.Module
    nodes: list[Node]
    dense: Node
    stages: list[Stage]
    mean: Node
    output: Node


@dataclass
class _Spikes:
    """Spikes that a stage makes."""

    stage: Stage


@dataclass
class _Current:
    """A current that a stage makes: it has not fired yet, so more can be folded into it."""

    stage: Stage


@dataclass
class _Dense:
    """What PyTorch computes, before the kernels or after them."""


_Value: TypeAlias = _Spikes | _Current | _Dense


def lower(network: SpikingNetwork) -> Program:
    """Take a network apart.

    Raises:
        Unsupported: It has an operation between its neurons that the kernels do not know, or nothing for them
            to gain.
    """
    try:
        root, nodes = trace(network, (PackedLinear,))
    except Exception as error:
        raise Unsupported(
            f"{type(network).__name__}.layers can't be traced: {error}".splitlines()[0]
        ) from error
    return _Lowering(root, nodes).run()


@dataclass
class _Lowering:
    root: nn.Module
    nodes: list[Node]
    values: dict[Node, _Value] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    dense: Node | None = None
    mean: Node | None = None

    def run(self) -> Program:
        output = None
        for node in self.nodes:
            if node.op == "output":
                output = cast(Node, node.args[0])
            else:
                self.values[node] = self._value(node)
        if self.dense is None or self.mean is None or output is None:
            raise Unsupported("no neurons whose spikes are averaged over the positions")
        if not any(stage.convolution for stage in self.stages):
            raise Unsupported("no convolution of spikes that could be made cheaper")
        if not isinstance(self.values[output], _Dense):
            raise Unsupported("the output is made of spikes")
        return Program(self.root, self.nodes, self.dense, self.stages, self.mean, output)

    def _value(self, node: Node) -> _Value:
        inputs = [self.values[argument] for argument in node.all_input_nodes]
        module = self.root.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, Lif):
            return self._fire(module, cast(Node, node.args[0]))
        if node.target in (fold_steps, unfold_steps):
            return inputs[0]
        if all(isinstance(value, _Dense) for value in inputs):
            return _Dense()
        first = inputs[0]
        if isinstance(module, nn.Identity | nn.Dropout):
            return first
        if isinstance(module, _CONVS) and isinstance(first, _Spikes):
            return self._convolve(module, first)
        if isinstance(module, _NORMS) and isinstance(first, _Current):
            return self._normalise(module, first, node)
        if isinstance(module, _POOLS) and isinstance(first, _Spikes | _Current):
            return self._pool(module, first, node)
        if node.target in (operator.add, torch.add) and len(inputs) == 2:
            return self._add(cast(Node, node.args[0]), cast(Node, node.args[1]))
        if node.target == "mean" and isinstance(first, _Spikes):
            return self._mean(first, node)
        raise Unsupported(f"{node.op} {node.target} on spikes")

    # --- operations ---------------------------------------------------------------------------------

    def _stage(self) -> Stage:
        self.stages.append(Stage(len(self.stages)))
        return self.stages[-1]

    def _fire(self, lif: Lif, current: Node) -> _Value:
        if lif.beta.numel() != 1 or lif.threshold.numel() != 1:
            raise Unsupported("neurons with a beta or threshold of their own each")
        value = self.values[current]
        if isinstance(value, _Spikes):
            raise Unsupported("neurons fed by spikes without weights between")
        if isinstance(value, _Dense):
            self._see(current)
            stage = self._stage()
        else:
            stage = value.stage
            if stage.neurons is not None:
                raise Unsupported("two layers of neurons on one current")
            stage.keeps = _uses(current) > 1
            if stage.keeps and stage.pool != (1, 1):
                raise Unsupported("a pooled current that is used twice")
        stage.neurons = lif
        return _Spikes(stage)

    def _see(self, node: Node) -> None:
        """Note the kernels' dense input; there is one."""
        if self.mean is not None or (self.dense is not None and _bare(node) is not _bare(self.dense)):
            raise Unsupported("neurons on more than one dense current")
        self.dense = self.dense or node

    def _convolve(self, module: nn.Conv1d | nn.Conv2d, spikes: _Spikes) -> _Value:
        if module.groups != 1 or any(d != 1 for d in module.dilation) or module.padding_mode != "zeros":
            raise Unsupported("grouped, dilated or not zero-padded convolution")
        padding = module.padding
        if isinstance(padding, str):
            sizes = module.kernel_size
            if padding == "same" and any(size % 2 == 0 for size in sizes):
                raise Unsupported("padding 'same' of an even kernel")
            padding = tuple(size // 2 if padding == "same" else 0 for size in sizes)
        weight = module.weight.detach()
        weight = weight.unsqueeze(2) if weight.ndim == 3 else weight
        bias = module.bias.detach() if module.bias is not None else weight.new_zeros(len(weight))
        if weight.shape[1] < MIN_CHANNELS or max(weight.shape[:2]) >= 1 << 16:
            raise Unsupported(
                f"convolution of {weight.shape[1]} channels, which gains nothing spike by spike"
            )
        stage = self._stage()
        stage.source = spikes.stage.number
        stage.convolution = Convolution(
            weight, bias, _pair(module.stride, module, 1), _pair(padding, module, 0)
        )
        spikes.stage.lists = True
        return _Current(stage)

    def _normalise(self, module: nn.BatchNorm1d | nn.BatchNorm2d, current: _Current, node: Node) -> _Value:
        conv = current.stage.convolution
        if conv is None or current.stage.residual is not None or current.stage.pool != (1, 1):
            raise Unsupported("batch norm that does not follow a convolution")
        self._alone(cast(Node, node.args[0]))
        current.stage.convolution = fold_norm(conv, module)
        return _Current(current.stage)

    def _pool(self, module: nn.MaxPool1d | nn.MaxPool2d, value: _Spikes | _Current, node: Node) -> _Value:
        window, stride = _pair(module.kernel_size, module, 1), _pair(module.stride, module, 1)
        plain = _pair(module.padding, module, 0) == (0, 0) and _pair(module.dilation, module, 1) == (1, 1)
        if window != stride or not plain or module.ceil_mode or module.return_indices:
            raise Unsupported("max pooling with overlap, padding, dilation or ceil_mode")
        if window[0] * window[1] > MAX_WINDOW or value.stage.pool != (1, 1) or value.stage.keeps:
            raise Unsupported("max pooling that does not follow its neurons or its convolution")
        self._alone(cast(Node, node.args[0]))
        value.stage.pool = window
        value.stage.pools_current = isinstance(value, _Current)
        return type(value)(value.stage)

    def _alone(self, node: Node) -> None:
        if _uses(node) > 1:
            raise Unsupported(f"{node.name} is used before and after the operation that follows it")

    def _add(self, left: Node, right: Node) -> _Value:
        a, b = self.values[left], self.values[right]
        # The later convolution takes the other as its residual: the earlier one is complete by then.
        pairs = [
            (x, n, y, m)
            for x, n, y, m in ((a, left, b, right), (b, right, a, left))
            if isinstance(x, _Current)
        ]
        pairs.sort(key=lambda pair: -pair[0].stage.number if isinstance(pair[0], _Current) else 0)
        for current, node, other, other_node in pairs:
            stage = current.stage
            if stage.residual is not None or stage.neurons or stage.pool != (1, 1) or _uses(node) > 1:
                continue
            if (
                isinstance(other, _Current)
                and other.stage.pool == (1, 1)
                and other.stage.number < stage.number
            ):
                other.stage.keeps = True
                stage.residual = other.stage.number
            elif isinstance(other, _Dense):
                self._see(other_node)
                stage.residual = -1
            else:
                continue
            return _Current(stage)
        raise Unsupported("a sum that is not of two currents")

    def _mean(self, spikes: _Spikes, node: Node) -> _Value:
        axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        axes = (axes,) if isinstance(axes, int) else tuple(cast(tuple[int, ...], axes or ()))
        if axes not in ((-1,), (-2, -1)) or node.kwargs.get("keepdim") or len(node.args) > 2:
            raise Unsupported("a mean over other axes than the positions")
        if self.mean is not None or spikes.stage.convolution is None:
            raise Unsupported("two means over positions, or one of neurons without a convolution")
        spikes.stage.sums = True
        self.mean = node
        return _Dense()


def fold_norm(conv: Convolution, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Convolution:
    """Fold a batch norm into the convolution before it; computed in float64."""
    mean, var = norm.running_mean, norm.running_var
    if mean is None or var is None:
        raise Unsupported("batch norm without running statistics")
    scale = (var.double() + norm.eps).rsqrt()
    shift = -mean.double() * scale
    if norm.affine:
        scale = scale * norm.weight.detach().double()
        shift = -mean.double() * scale + norm.bias.detach().double()
    weight = conv.weight.double() * scale.view(-1, *[1] * (conv.weight.ndim - 1))
    bias = conv.bias.double() * scale + shift
    return Convolution(weight.float(), bias.float(), conv.stride, conv.padding)


def _pair(value: int | tuple[int, ...], module: nn.Module, fill: int) -> Pair:
    """A size of a module as (down, across); where the module has one axis, it lies across."""
    if isinstance(module, nn.Conv1d | nn.MaxPool1d):
        return fill, value if isinstance(value, int) else value[0]
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _bare(node: Node) -> Node:
    """The value behind its folded and unfolded forms."""
    while node.target in (fold_steps, unfold_steps):
        node = cast(Node, node.args[0])
    return node


def _uses(node: Node) -> int:
    """How many operations read a value, in whatever form."""

    def below(node: Node) -> int:
        count = 0
        for user in node.users:
            if user.target not in (fold_steps, unfold_steps):
                count += 1
            elif user.args[0] is node:  # not only the model of another's shape
                count += below(user)
        return count

    return below(_bare(node))
