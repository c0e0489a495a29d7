"""A traced network -> what PyTorch computes before, what the kernels compute, what PyTorch computes after.

Before: all that comes ahead of the first neurons. The kernels: from there to the mean over the positions;
batch norm is folded into the convolutions, and neurons, pooling and residual sums into the layer whose
convolution makes their current. After: the head.

A program is made for one shape of a clip, and every shape that the trace found is compared with what the
kernels will compute: nothing is broadcast, cut or left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.inference.engines.events.program import NORM, Convolution, Pair, Program, Stage
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.operations import axes, bare, reading, reshapes, uses
from snn_voice_hub.models.trace import Operation, Trace, name_of

MAX_WINDOW = 16  # positions that the kernels pool together
# With fewer channels, looking for spikes costs more than adding all weights would.
MIN_CHANNELS = 16
# Channels are numbered in 16 bits, whole vectors of 16 included.
MAX_CHANNELS = (1 << 16) - 16


@dataclass(frozen=True)
class _Spikes:
    """Spikes that a stage makes."""

    stage: Stage


@dataclass(frozen=True)
class _Current:
    """A current that a stage makes: it has not fired yet, so more can be folded into it."""

    stage: Stage


@dataclass(frozen=True)
class _Dense:
    """What PyTorch computes, before the kernels or after them."""


_Value: TypeAlias = _Spikes | _Current | _Dense


def lower(trace: Trace, num_steps: int) -> Program:
    """Take a network apart.

    Raises:
        Unsupported: It has an operation between its neurons that the kernels do not know, or nothing for them
            to gain.
    """
    return _Lowering(trace, num_steps).run()


@dataclass
class _Lowering:
    trace: Trace
    num_steps: int
    values: dict[Operation, _Value] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    dense: Operation | None = None
    mean: Operation | None = None

    def run(self) -> Program:
        for op in self.trace.operations:
            self.values[op] = self._value(op)
        if self.dense is None or self.mean is None:
            raise Unsupported("no neurons whose spikes are averaged over the positions")
        if not any(stage.convolution for stage in self.stages):
            raise Unsupported("no convolution of spikes that could be made cheaper")
        if not isinstance(self.values[self.trace.output], _Dense):
            raise Unsupported("the output is made of spikes")
        return Program(self.trace, self.dense, self.stages, self.mean)

    def _value(self, op: Operation) -> _Value:
        kind, arguments = reading(op)
        if kind == "fire":
            return self._checked(op, self._fire(arguments["lif"], arguments["input"]))
        inputs = [self.values[source] for source in op.inputs]
        if all(isinstance(value, _Dense) for value in inputs):
            if kind == "norm" and arguments["training"]:
                raise Unsupported("batch norm by the statistics of the batch")
            return _Dense()
        first = inputs[0]
        if isinstance(first, _Dense):
            first = inputs[-1]
        assert not isinstance(first, _Dense), "one of them is not"
        if kind == "mean" and isinstance(first, _Spikes):
            return self._mean(first, arguments, op)
        if reshapes(op) or kind == "dropout":
            return self._checked(op, first)
        if kind == "add":
            return self._checked(op, self._add(arguments))
        if kind in ("conv", "norm", "pool") and self._is_folded(arguments["input"], first):
            if kind == "conv" and isinstance(first, _Spikes):
                return self._checked(op, self._convolve(arguments, first))
            if kind == "norm" and isinstance(first, _Current):
                return self._checked(op, self._normalise(arguments, first))
            if kind == "pool":
                return self._checked(op, self._pool(arguments, first))
        raise Unsupported(f"{name_of(op)} on spikes")

    # --- shapes -------------------------------------------------------------------------------------

    def _checked(self, op: Operation, value: _Spikes | _Current) -> _Value:
        """Compare the shape that the trace found with what the kernels would make."""
        self._is_folded(op, value)
        return value

    def _is_folded(self, op: Operation, value: _Spikes | _Current) -> bool:
        """Whether a value of the kernels is seen as `[T * B, C, ...]`, not as `[T, B, C, ...]`."""
        stage, steps, clips = value.stage, self.num_steps, self.trace.clips
        one = (stage.channels, *stage.pooled[-stage.dims :])
        forms = [(steps, clips, *one), (steps * clips, *one)]
        if op.shape not in forms or min(one) < 1 or op.dtype != torch.float32:
            raise Unsupported(f"{name_of(op)} gives {self._shown(op)}, which the kernels would not")
        return forms.index(op.shape) == 1

    def _shown(self, op: Operation) -> str:
        names = {self.trace.clips: "B", self.num_steps * self.trace.clips: f"{self.num_steps} * B"}
        sizes = ", ".join(names.get(size, str(size)) for size in op.shape)
        return f"[{sizes}] of {str(op.dtype).removeprefix('torch.')}"

    # --- operations ---------------------------------------------------------------------------------

    def _stage(self, channels: int, size: Pair, dims: int) -> Stage:
        self.stages.append(Stage(len(self.stages), channels, size, dims))
        return self.stages[-1]

    def _fire(self, lif: Lif, current: Operation) -> _Spikes:
        value = self.values[current]
        if lif.beta.numel() != 1 or lif.threshold.numel() != 1:
            raise Unsupported("neurons with a beta or threshold of their own each")
        if not (torch.isfinite(lif.beta).all() and torch.isfinite(lif.threshold).all()):
            raise Unsupported("neurons whose beta or threshold is not finite")
        if isinstance(value, _Spikes):
            raise Unsupported("neurons fed by spikes without weights between")
        if isinstance(value, _Dense):
            self._see(current)
            dims = len(current.shape) - 3
            if dims not in (1, 2) or current.shape[1] != self.trace.clips:
                raise Unsupported(f"neurons on a current {self._shown(current)}")
            stage = self._stage(current.shape[2], _pair(current.shape[3:], dims, 1), dims)
        else:
            if self._is_folded(current, value):
                raise Unsupported("neurons on folded steps")
            stage = value.stage
            if stage.neurons is not None:
                raise Unsupported("two layers of neurons on one current")
            stage.keeps = uses(current) > 1
            if stage.keeps and stage.pool != (1, 1):
                raise Unsupported("a pooled current that is used twice")
        stage.neurons = lif
        return _Spikes(stage)

    def _see(self, op: Operation) -> None:
        """Note the kernels' dense input; there is one."""
        if self.mean is not None or (self.dense is not None and bare(op) is not bare(self.dense)):
            raise Unsupported("neurons on more than one dense current")
        self.dense = self.dense or op

    def _convolve(self, arguments: dict[str, Any], spikes: _Spikes) -> _Current:
        weight, bias = arguments["weight"], arguments["bias"]
        if isinstance(weight, Operation) or isinstance(bias, Operation):
            raise Unsupported("a convolution whose weights are made of the input")
        sizes = tuple(weight.shape[2:])
        dims = len(sizes)
        if arguments["groups"] != 1 or set(_each(arguments["dilation"], dims)) != {1}:
            raise Unsupported("grouped or dilated convolution")
        padding = arguments["padding"]
        if isinstance(padding, str):
            if padding == "same" and any(size % 2 == 0 for size in sizes):
                raise Unsupported("padding 'same' of an even kernel")
            padding = tuple(size // 2 if padding == "same" else 0 for size in sizes)
        out, into = weight.shape[:2]
        if into < MIN_CHANNELS or max(out, into) > MAX_CHANNELS:
            raise Unsupported(f"convolution of {into} channels, which gains nothing spike by spike")
        if into != spikes.stage.channels or dims != spikes.stage.dims:
            raise Unsupported("a convolution of other channels or axes than there are")
        convolution = Convolution(weight, bias, _pair(arguments["stride"], dims, 1), _pair(padding, dims, 0))
        high, wide = (
            (size + 2 * pad - k) // stride + 1
            for size, pad, k, stride in zip(
                spikes.stage.pooled,
                convolution.padding,
                convolution.kernel,
                convolution.stride,
                strict=True,
            )
        )
        if min(high, wide) < 1:
            raise Unsupported("an input that is too small for its layers")
        stage = self._stage(out, (high, wide), dims)
        stage.source = spikes.stage.number
        stage.convolution = convolution
        spikes.stage.lists = True
        return _Current(stage)

    def _normalise(self, arguments: dict[str, Any], current: _Current) -> _Current:
        conv = current.stage.convolution
        if conv is None or conv.norm or current.stage.residual is not None or current.stage.pool != (1, 1):
            raise Unsupported("batch norm that does not follow a convolution")
        if arguments["training"] or arguments["running_mean"] is None or arguments["running_var"] is None:
            raise Unsupported("batch norm without running statistics")
        if any(isinstance(arguments[name], Operation) for name in NORM):
            raise Unsupported("batch norm whose constants are made of the input")
        self._alone(arguments["input"])
        conv.norm = arguments
        return _Current(current.stage)

    def _pool(self, arguments: dict[str, Any], value: _Spikes | _Current) -> _Spikes | _Current:
        dims = len(arguments["input"].shape) - 2
        window = _pair(arguments["kernel_size"], dims, 1)
        stride = _pair(arguments["stride"], dims, 1) if arguments["stride"] else window
        plain = not any(_each(arguments["padding"], dims)) and set(_each(arguments["dilation"], dims)) == {1}
        if window != stride or not plain or arguments["ceil_mode"] or arguments["return_indices"]:
            raise Unsupported("max pooling with overlap, padding, dilation or ceil_mode")
        if window[0] * window[1] > MAX_WINDOW or value.stage.pool != (1, 1) or value.stage.keeps:
            raise Unsupported("max pooling that does not follow its neurons or its convolution")
        self._alone(arguments["input"])
        value.stage.pool = window
        value.stage.pools_current = isinstance(value, _Current)
        return value

    def _alone(self, op: Operation) -> None:
        if uses(op) > 1:
            raise Unsupported(f"{name_of(bare(op))} is used before and after the operation that follows it")

    def _add(self, arguments: dict[str, Any]) -> _Current:
        left, right = arguments["input"], arguments["other"]
        if arguments["alpha"] != 1 or not isinstance(right, Operation):
            raise Unsupported("a sum that is not of two currents")
        # The later convolution takes the other as its residual: the earlier one is complete by then.
        pairs = [
            (value, op, other)
            for op, other in ((left, right), (right, left))
            if isinstance(value := self.values[op], _Current)
        ]
        pairs.sort(key=lambda pair: -pair[0].stage.number)
        for current, op, other_op in pairs:
            stage, other = current.stage, self.values[other_op]
            if stage.residual is not None or stage.neurons or stage.pool != (1, 1) or uses(op) > 1:
                continue
            # No axis is broadcast but that of the steps, of a dense input that is the same in all.
            same = other_op.shape
            if isinstance(other, _Dense) and same[:1] == (1,):
                same = (*op.shape[:1], *same[1:])
            if op.shape != same or other_op.dtype != torch.float32:
                raise Unsupported(f"a sum of {self._shown(op)} and {self._shown(other_op)}")
            if isinstance(other, _Current):
                if other.stage.pool != (1, 1) or other.stage.number >= stage.number:
                    continue
                other.stage.keeps = True
                stage.residual = other.stage.number
            elif isinstance(other, _Dense):
                self._see(other_op)
                stage.residual = -1
            else:
                continue
            return _Current(stage)
        raise Unsupported("a sum that is not of two currents")

    def _mean(self, spikes: _Spikes, arguments: dict[str, Any], op: Operation) -> _Value:
        source = arguments["input"]
        ndim = len(source.shape)
        first = 2 if self._is_folded(source, spikes) else 3  # behind steps, batch and channels
        if axes(arguments, ndim) != tuple(range(first, ndim)):
            raise Unsupported("a mean over other axes than the positions")
        if arguments["keepdim"] or arguments["dtype"] is not None:
            raise Unsupported("a mean that keeps its axes, or in another number type")
        if self.mean is not None or spikes.stage.convolution is None:
            raise Unsupported("two means over positions, or one of neurons without a convolution")
        spikes.stage.sums = True
        self.mean = op
        return _Dense()


def _each(value: Any, dims: int) -> tuple[int, ...]:
    """A size for each axis."""
    sizes = (value,) if isinstance(value, int) else tuple(int(size) for size in value)
    return sizes * dims if len(sizes) == 1 else sizes


def _pair(value: Any, dims: int, fill: int) -> Pair:
    """A size as (down, across); where there is one axis, it lies across."""
    sizes = _each(value, dims)
    if len(sizes) != dims or dims not in (1, 2):
        raise Unsupported(f"a size {value} of {dims} axes")
    return (fill, sizes[0]) if dims == 1 else (sizes[0], sizes[1])
