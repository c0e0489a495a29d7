"""A network taken apart for the kernels: their layers, and what PyTorch computes before and after them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.operations import norm_constants
from snn_voice_hub.models.trace import Operation, Trace

NORM = ("running_mean", "running_var", "weight", "bias")  # tensors of a batch norm
Pair: TypeAlias = tuple[int, int]


@dataclass
class Convolution:
    """A convolution of spikes.

    Attributes:
        weight: `[out, in, kernel]` or `[out, in, kernel_h, kernel_w]`, float32.
        bias: `[out]`, float32; None for none.
        stride: Down and across, as the padding.
        padding: Zeros on each side.
        norm: Arguments of the batch norm that follows; None for none.
    """

    weight: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Pair
    norm: dict[str, Any] | None = None

    @property
    def kernel(self) -> Pair:
        """Down and across."""
        sizes = self.weight.shape[2:]
        return (sizes[0], sizes[1]) if len(sizes) == 2 else (1, sizes[0])


@dataclass
class Stage:
    """One layer of the kernels.

    Attributes:
        number: Its place in the list of layers; its spikes and its current are known by it.
        channels: Of its current.
        size: Positions of its current, down and across.
        dims: Whether the network sees one axis of positions, or two.
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
    channels: int
    size: Pair
    dims: int
    source: int | None = None
    convolution: Convolution | None = None
    residual: int | None = None
    keeps: bool = False
    neurons: Lif | None = None
    pool: Pair = (1, 1)
    pools_current: bool = False
    lists: bool = False
    sums: bool = False

    @property
    def pooled(self) -> Pair:
        """Positions after the pooling."""
        return self.size[0] // self.pool[0], self.size[1] // self.pool[1]


@dataclass(frozen=True)
class Program:
    """A network, taken apart, for clips of one shape.

    Attributes:
        trace: All operations.
        dense: The operation whose value is the dense input of the stages, `[T or 1, B, C, ...]`.
        stages: What the kernels run.
        mean: The operation whose value `[T, B, C]` or `[T * B, C]` is the stages' output, divided by the
            positions.
    """

    trace: Trace
    dense: Operation
    stages: list[Stage]
    mean: Operation


def folded(conv: Convolution) -> tuple[Tensor, Tensor]:
    """Weights `[out, in, kernel_h, kernel_w]` and bias `[out]`, batch norm folded in; by way of float64.

    Raises:
        Unsupported: They are not float32 on the CPU, not finite, or so large that sums of them might not be.
    """
    norm: dict[str, Any] = conv.norm or dict.fromkeys(NORM)
    _check_kind(conv.weight, conv.bias, *(norm[name] for name in NORM))
    out = len(conv.weight)
    weight = conv.weight.detach().reshape(out, conv.weight.shape[1], *conv.kernel).double()
    bias = weight.new_zeros(out) if conv.bias is None else conv.bias.detach().double()
    if conv.norm is not None:
        scale, shift = norm_constants(conv.norm)
        weight, bias = weight * scale.view(-1, 1, 1, 1), bias * scale + shift
    check_sums(weight, bias)
    return weight.float(), bias.float()


def check_sums(weight: Tensor, bias: Tensor) -> None:
    """Refuse weights `[out, ...]` and a bias `[out]` of which sums might not be finite.

    Raises:
        Unsupported: They are not float32 or float64 on the CPU, not finite, or too large.
    """
    _check_kind(weight, bias, kinds=(torch.float32, torch.float64))
    # A weight that is not finite is never added where nothing fires, but 0 times it is no number either.
    largest = (weight.abs().flatten(1).sum(1) + bias.abs()).max()
    if not bool(largest < torch.finfo(torch.float32).max / 2):
        raise Unsupported("weights that are not finite, or whose sums might not be")


def _check_kind(*tensors: Tensor | None, kinds: tuple[torch.dtype, ...] = (torch.float32,)) -> None:
    for tensor in tensors:
        if tensor is not None and (tensor.dtype not in kinds or tensor.device.type != "cpu"):
            raise Unsupported("weights that are not float32 on the CPU")
