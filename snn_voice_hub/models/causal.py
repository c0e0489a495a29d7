"""Convolutions over frames that look back only, on tensors whose first axis is time.

All frames at once are one matrix product over shifted copies of the input, which on a CPU is faster than a
convolution for frames `[T, B, C]`; a few frames at a time are the same product of fewer rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function_unary


class CausalConvNorm(nn.Module):
    """Convolution over past frames without bias, then batch norm.

    The output of a step is made of its newest frame and of those `dilation`, 2 `dilation`, … before it.

    Args:
        channels: In.
        out_channels: Out.
        kernel: Taps.
        stride: Frames a step.
        dilation: Frames between taps.

    Attributes:
        past: Frames before the first one that the first output is made of.
    """

    def __init__(
        self, channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out_channels, kernel, stride, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm1d(out_channels)
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        self.past = (kernel - 1) * dilation

    def forward(self, x: Tensor) -> Tensor:
        """`[past + N * stride, B, C]` -> `[N, B, C']`."""
        current = causal_conv(x, self.conv.weight, self.stride, self.dilation)
        out: Tensor = self.bn(current.flatten(0, 1))
        return out.view(current.shape[0], -1, out.shape[-1])

    def folded(self) -> CausalLinear:
        """The same in evaluation mode, with batch norm in the weights; computed in float64."""
        bn, weight = self.bn, self.conv.weight.detach()
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = (bn.running_var.double() + bn.eps).rsqrt() * bn.weight.detach().double()
        bias = bn.bias.detach().double() - bn.running_mean.double() * scale
        matrix = (weight.double() * scale.view(-1, 1, 1)).permute(2, 1, 0).flatten(0, 1)
        return CausalLinear(self, matrix.to(weight.dtype), bias.to(weight.dtype))


class CausalLinear(nn.Module):
    """A `CausalConvNorm` as one product with a matrix and a sum.

    Args:
        of: The layer.
        weight: `[kernel * C, C']`, the oldest tap first.
        bias: `[C']`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, of: CausalConvNorm, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.kernel, self.stride, self.dilation, self.past = of.kernel, of.stride, of.dilation, of.past
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """See `CausalConvNorm.forward`."""
        rows = taps(x, self.kernel, self.stride, self.dilation)
        return torch.addmm(self.bias, rows.flatten(0, 1), self.weight).view(rows.shape[0], -1, len(self.bias))


def causal_conv(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """A convolution over past frames.

    Args:
        x: `[past + N * stride, B, C]`.
        weight: Of an `nn.Conv1d`, `[C', C, kernel]`; its last tap is for the newest frame.
        stride: Frames a step.
        dilation: Frames between taps.

    Returns:
        `[N, B, C']`.
    """
    if has_torch_function_unary(x):  # whoever traces `layers` takes it as one operation
        traced: Tensor = handle_torch_function(causal_conv, (x,), x, weight, stride, dilation)
        return traced
    rows = taps(x, weight.shape[2], stride, dilation)
    # Under autocast the product is in bfloat16, but membranes stay in float32.
    current = (rows.flatten(0, 1) @ weight.permute(2, 1, 0).flatten(0, 1)).to(x.dtype)
    return current.view(rows.shape[0], -1, len(weight))


def taps(x: Tensor, kernel: int, stride: int, dilation: int) -> Tensor:
    """What each output is made of: `[past + N * stride, B, C]` -> `[N, B, kernel * C]`, oldest first."""
    places = [(stride - 1 + j * dilation, stride) for j in range(kernel)]
    count = (x.shape[0] - (kernel - 1) * dilation) // stride
    if x.requires_grad and not torch.compiler.is_compiling():
        learned: Tensor = _Taps.apply(x, places, count)
        return learned
    return _joined(x, places, count)


def _joined(x: Tensor, places: Sequence[tuple[int, int]], count: int) -> Tensor:
    return torch.cat([x[first::stride][:count] for first, stride in places], -1)


class _Taps(torch.autograd.Function):
    """`_joined`; autograd itself would fill a tensor with zeros for each tap, and add them up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Sequence[tuple[int, int]], count: int) -> Tensor:
        ctx.shape, ctx.places, ctx.count = x.shape, places, count
        return _joined(x, places, count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        out = grad.new_zeros(ctx.shape)
        for (first, stride), part in zip(ctx.places, grad.chunk(len(ctx.places), -1), strict=True):
            out[first::stride][: ctx.count] += part
        return out, None, None
