"""The kernels' view of a program: `Layer` structures, packed weights, and the plan of a clip's memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_voice_hub.inference.engines.events.lowering import Convolution, Stage

LANES = 16
_BLOCK = 8 * LANES  # channels that the kernels compute together
_ALIGN = 64
_NONE = -1
_EXTERNAL = 0  # the place of the dense input, and of the output


class Layer(ctypes.Structure):
    """`struct Layer` of kernels.cpp, where the fields are explained."""

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


def pack(conv: Convolution, in_channels: int) -> tuple[Tensor, Tensor]:
    """Weights and bias as the kernels read them.

    Args:
        conv: The convolution.
        in_channels: Padded channels of its input.

    Returns:
        Weights `[blocks of out channels][kernel_h, kernel_w, in_channels, block]` in one row, and the bias.
    """
    out, into, high, wide = conv.weight.shape
    whole = conv.weight.new_zeros(padded(out), in_channels, high, wide)
    whole[:out, :into] = conv.weight
    blocks = [part.permute(2, 3, 1, 0).reshape(-1) for part in torch.split(whole, _BLOCK)]
    bias = conv.bias.new_zeros(padded(out))
    bias[:out] = conv.bias
    return torch.cat(blocks).float().contiguous(), bias.float().contiguous()


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
    """A program for one shape of the dense input.

    Attributes:
        layers: The kernels' structures.
        memory: Bytes that one clip needs.
        channels: Padded channels of the output.
        positions: Over how many positions the output sums.
    """

    layers: ctypes.Array[Layer]
    memory: int
    channels: int
    positions: int


@dataclass
class _Shape:
    """What is known of a stage once the shape of the dense input is."""

    high: int = 0
    wide: int = 0
    channels: int = 0
    index: int = _NONE
    count: int = _NONE
    kept: int = _NONE
    steps: int = 0


def make_plan(
    stages: Sequence[Stage], weights: dict[int, tuple[Tensor, Tensor]], num_steps: int, dense: Sequence[int]
) -> Plan:
    """Lay out a program.

    Args:
        stages: The program's stages.
        weights: What `pack` gave, by the stage's number; must outlive the plan.
        num_steps: T.
        dense: Shape of one clip's dense input: `[T or 1, C, W]` or `[T or 1, C, H, W]`.

    Returns:
        The plan. Its sizes are 0 where the input is too small for a layer: the sums are then empty.
    """
    memory = Memory()
    layers = (Layer * len(stages))()
    # After the pooling, as later stages see it; the dense input has the number -1.
    shapes: dict[int, _Shape] = {}
    high = dense[2] if len(dense) == 4 else 1
    shapes[_NONE] = _Shape(high, dense[-1], padded(dense[1]), kept=_EXTERNAL, steps=dense[0])
    output = (0, 0)
    for stage, layer in zip(stages, layers, strict=True):
        before = shapes[_NONE if stage.source is None else stage.source]
        here = _Shape(before.high, before.wide, before.channels, steps=num_steps)
        layer.in_index = layer.in_count = layer.current = layer.residual = _NONE
        if stage.convolution is None:
            layer.current, layer.current_steps = before.kept, before.steps
        else:
            conv = stage.convolution
            kernel = conv.weight.shape[2:]
            layer.in_index, layer.in_count = before.index, before.count
            layer.in_h, layer.in_w, layer.in_c = before.high, before.wide, before.channels
            layer.kernel_h, layer.kernel_w = kernel
            layer.stride_h, layer.stride_w = conv.stride
            layer.pad_h, layer.pad_w = conv.padding
            layer.weight, layer.bias = (tensor.data_ptr() for tensor in weights[stage.number])
            here.high, here.wide = (
                max(0, (size + 2 * pad - k) // stride + 1)
                for size, pad, k, stride in zip(
                    (before.high, before.wide), conv.padding, kernel, conv.stride, strict=True
                )
            )
            here.channels = padded(conv.weight.shape[0])
        layer.out_h, layer.out_w, layer.channels = here.high, here.wide, here.channels
        if stage.residual is not None:
            other = shapes[stage.residual]
            layer.residual, layer.residual_steps = other.kept, other.steps
        values = num_steps * here.high * here.wide * here.channels
        layer.kept = here.kept = memory.take(4 * values) if stage.keeps else _NONE
        layer.pool_h, layer.pool_w = stage.pool
        layer.pool_current = stage.pools_current
        here.high, here.wide = here.high // stage.pool[0], here.wide // stage.pool[1]
        if stage.neurons is not None:
            layer.fires = 1
            layer.beta = min(1.0, max(0.0, float(stage.neurons.beta)))
            layer.threshold = float(stage.neurons.threshold)
            layer.decays_reset = stage.neurons.reset == "subtract-before-decay"
        positions = here.high * here.wide
        layer.out_index = layer.out_count = layer.sums = _NONE
        if stage.lists:
            layer.out_index = here.index = memory.take(2 * num_steps * positions * here.channels)
            layer.out_count = here.count = memory.take(2 * num_steps * positions)
        if stage.sums:
            layer.sums = _EXTERNAL
            output = (here.channels, positions)
        shapes[stage.number] = here
    return Plan(layers, memory.size, *output)
