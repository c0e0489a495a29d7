"""The kernels' view of a program: `Layer` structures, packed weights, and the plan of a clip's memory."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.inference.engines.events.program import Program

LANES = 16
_BLOCK = 8 * LANES  # channels that the kernels compute together
_ALIGN = 64
_NONE = -1
_EXTERNAL = 0  # the place of the dense input, and of the output


class Layer(ctypes.Structure):
    """`struct Layer` of events.cpp, where the fields are explained."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("in_index", "in_count", "in_h", "in_w", "in_c")),
        *((name, ctypes.c_int64) for name in ("current", "current_steps")),
        *((name, ctypes.c_void_p) for name in ("weight", "bias")),
        *(
            (name, ctypes.c_int64)
            for name in ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w")
        ),
        *((name, ctypes.c_int64) for name in ("out_h", "out_w", "channels")),
        *((name, ctypes.c_int64) for name in ("residual", "residual_steps", "kept", "fires")),
        *((name, ctypes.c_float) for name in ("beta", "threshold")),
        *((name, ctypes.c_int64) for name in ("decays_reset", "pool_h", "pool_w", "pool_current")),
        *((name, ctypes.c_int64) for name in ("out_index", "out_count", "sums")),
    )


def padded(channels: int) -> int:
    """Channels in whole vectors."""
    return -(-channels // LANES) * LANES


def pack(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and bias as the kernels read them.

    Args:
        weight: `[out, in, kernel_h, kernel_w]`.
        bias: `[out]`.

    Returns:
        Weights `[blocks of out channels][kernel_h, kernel_w, in_channels, block]` in one row, and the bias;
        channels in whole vectors.
    """
    out, into, high, wide = weight.shape
    whole = weight.new_zeros(padded(out), padded(into), high, wide)
    whole[:out, :into] = weight
    blocks = [part.permute(2, 3, 1, 0).reshape(-1) for part in torch.split(whole, _BLOCK)]
    row = bias.new_zeros(padded(out))
    row[:out] = bias
    return torch.cat(blocks), row


def address(tensor: Tensor, dtype: torch.dtype, count: int) -> int:
    """Where `count` values of a tensor lie in memory, one behind the other.

    Raises:
        Unsupported: They do not: what the kernels read or write is never taken on trust.
    """
    if (
        tensor.dtype != dtype
        or tensor.device.type != "cpu"
        or tensor.layout != torch.strided
        or tensor.numel() != count
        or not tensor.is_contiguous()
    ):
        raise Unsupported(
            f"{list(tensor.shape)} of {tensor.dtype} on {tensor.device}, "
            f"where the kernels need {count} of {dtype}"
        )
    return tensor.data_ptr()


class Memory:
    """Hands out places of one clip's workspace."""

    def __init__(self) -> None:
        self.size = _ALIGN  # place 0 means the input and the output

    def take(self, count: int) -> int:
        """The offset of `count` bytes."""
        place = self.size
        self.size += -(-count // _ALIGN) * _ALIGN
        return place


@dataclass(frozen=True)
class Plan:
    """A program as the kernels read it.

    Attributes:
        layers: The kernels' structures.
        weights: What they point to.
        memory: Bytes that one clip needs.
        inputs: Values of one clip's dense input, whole vectors of channels.
        width: Channels of the output.
        channels: The same in whole vectors.
        positions: Over how many positions the output sums.
    """

    layers: ctypes.Array[Layer]
    weights: list[tuple[Tensor, Tensor]]
    memory: int
    inputs: int
    width: int
    channels: int
    positions: int


@dataclass
class _Places:
    """Where a stage's results lie, for those that read them."""

    index: int = _NONE
    count: int = _NONE
    kept: int = _NONE
    steps: int = 0


def make_plan(program: Program, weights: dict[int, tuple[Tensor, Tensor]], num_steps: int) -> Plan:
    """Lay out a program.

    Args:
        program: The program.
        weights: What `pack` gave, by the stage's number.
        num_steps: T.

    Returns:
        The plan.
    """
    memory = Memory()
    stages = program.stages
    layers = (Layer * len(stages))()
    places = {_NONE: _Places(kept=_EXTERNAL, steps=program.dense.shape[0])}  # of the dense input
    last = stages[-1]
    for stage, layer in zip(stages, layers, strict=True):
        before = places[_NONE if stage.source is None else stage.source]
        here = places[stage.number] = _Places(steps=num_steps)
        channels = padded(stage.channels)
        layer.out_h, layer.out_w = stage.size
        layer.channels = channels
        layer.in_index = layer.in_count = layer.current = layer.residual = _NONE
        if stage.convolution is None:
            layer.current, layer.current_steps = before.kept, before.steps
        else:
            assert stage.source is not None, "spikes come from a stage"
            conv, source = stage.convolution, stages[stage.source]
            layer.in_index, layer.in_count = before.index, before.count
            layer.in_h, layer.in_w = source.pooled
            layer.in_c = padded(source.channels)
            layer.kernel_h, layer.kernel_w = conv.kernel
            layer.stride_h, layer.stride_w = conv.stride
            layer.pad_h, layer.pad_w = conv.padding
            weight, bias = weights[stage.number]
            count = channels * layer.in_c * layer.kernel_h * layer.kernel_w
            layer.weight = address(weight, torch.float32, count)
            layer.bias = address(bias, torch.float32, channels)
        if stage.residual is not None:
            other = places[stage.residual]
            layer.residual, layer.residual_steps = other.kept, other.steps
        values = num_steps * stage.size[0] * stage.size[1] * channels
        layer.kept = here.kept = memory.take(4 * values) if stage.keeps else _NONE
        layer.pool_h, layer.pool_w = stage.pool
        layer.pool_current = stage.pools_current
        if stage.neurons is not None:
            layer.fires = 1
            layer.beta = min(1.0, max(0.0, float(stage.neurons.beta.detach())))
            layer.threshold = float(stage.neurons.threshold.detach())
            layer.decays_reset = stage.neurons.reset == "subtract-before-decay"
        positions = stage.pooled[0] * stage.pooled[1]
        layer.out_index = layer.out_count = layer.sums = _NONE
        if stage.lists:
            layer.out_index = here.index = memory.take(2 * num_steps * positions * channels)
            layer.out_count = here.count = memory.take(2 * num_steps * positions)
        if stage.sums:
            layer.sums = _EXTERNAL
            last = stage
    first = next(stage for stage in stages if stage.convolution is None)
    inputs = program.dense.shape[0] * first.size[0] * first.size[1] * padded(first.channels)
    return Plan(
        layers,
        list(weights.values()),
        memory.size,
        inputs,
        last.channels,
        padded(last.channels),
        last.pooled[0] * last.pooled[1],
    )
