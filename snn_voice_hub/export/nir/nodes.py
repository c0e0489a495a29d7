"""The nodes of a NIR graph, made from layers and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    import nir

# Seconds of a time step, as the importers of snnTorch and SpikingJelly take it.
DT = 1e-4
# 1 - dt / tau is 1 in floating point for such a tau, of neurons that do not leak: the standard has nodes
# without a leak, but importers know none of them, or only with a resistance of 1.
_NO_LEAK = 1e30

Array = npt.NDArray[Any]


def array(tensor: Tensor) -> Array:
    """A tensor as float32."""
    return np.ascontiguousarray(tensor.detach().float().numpy())


def each_neuron(constant: Tensor, shape: Sequence[int]) -> Array:
    """A constant of a layer, or one a channel, for each neuron of `[C, ...]`."""
    values = constant.detach()
    if values.numel() > 1:
        values = values.view(-1, *[1] * (len(shape) - 1))
    return np.ascontiguousarray(values.expand(*shape).numpy())


# --- neurons ----------------------------------------------------------------------------------------


def neuron(beta: Array, threshold: Array, said: dict[str, str]) -> nir.NIRNode:
    """A layer of neurons, with what its metadata say."""
    import nir

    zeros = np.zeros_like(threshold)
    tau, r = _time_constants(beta)
    return nir.LIF(tau=tau, r=r, v_leak=zeros, v_threshold=threshold, v_reset=zeros, metadata=said)


def integrator(beta: Array) -> nir.NIRNode:
    """The membranes of a layer, without a threshold."""
    import nir

    tau, r = _time_constants(beta)
    return nir.LI(tau=tau, r=r, v_leak=np.zeros_like(tau))


def _time_constants(beta: Array) -> tuple[Array, Array]:
    """Time constant and resistance for which a step of Euler's method is `beta * v + x`.

    In float64: 1 - dt / tau, rounded to float32, is then the very beta.
    """
    leak = 1 - beta.astype(np.float64)
    tau = np.divide(DT, leak, out=np.full(beta.shape, _NO_LEAK), where=leak > 0)
    return tau, tau / DT


def delay(steps: int, size: int) -> nir.NIRNode:
    """What so many values were a number of steps ago; 0 before the first one."""
    import nir

    return nir.Delay(delay=np.full(size, steps * DT))


# --- weights ----------------------------------------------------------------------------------------


def convolution(
    size: Sequence[int],
    weight: Array,
    bias: Array,
    stride: Sequence[int] = (),
    padding: Sequence[int] = (),
    dilation: Sequence[int] = (),
) -> nir.NIRNode:
    """A convolution over one axis or two.

    Args:
        size: Positions of its input.
        weight: `[out, in, ...]`.
        bias: `[out]`.
        stride: By default 1, as the dilation.
        padding: By default 0.
        dilation: See `stride`.
    """
    import nir

    ones = (1,) * len(size)
    steps, zeros, holes = tuple(stride) or ones, tuple(padding) or (0,) * len(size), tuple(dilation) or ones
    if len(size) == 1:
        return nir.Conv1d(size[0], weight, steps[0], zeros[0], holes[0], 1, bias)
    return nir.Conv2d(tuple(size), weight, steps, zeros, holes, 1, bias)


def fold_norm(conv: nir.Conv1d | nir.Conv2d, scale: torch.Tensor, shift: torch.Tensor) -> None:
    """Fold a batch norm into the convolution before it, in place; computed in float64."""
    weight, bias = torch.from_numpy(conv.weight).double(), torch.from_numpy(conv.bias).double()
    conv.weight = array(weight * scale.view(-1, *[1] * (weight.ndim - 1)))
    conv.bias = array(bias * scale + shift)


def window_sum(shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> nir.NIRNode:
    """The sum over each window of `[C, ...]`, each channel by itself."""
    import nir

    if len(kernel) == 2:
        return nir.SumPool2d(np.array(kernel), np.array(stride), np.array((0, 0)))
    # There is no pooling along one axis.
    ones = np.repeat(np.eye(shape[0], dtype=np.float32)[:, :, None], kernel[0], axis=2)
    return convolution(shape[1:], ones, np.zeros(shape[0], np.float32), stride)


# --- shapes -----------------------------------------------------------------------------------------


def is_per_neuron(node: nir.NIRNode) -> bool:
    """Whether a node treats each value by itself."""
    return type(node).__name__ in {"Input", "LIF", "IF", "LI", "I", "Threshold", "Scale"}


def flattened(node: nir.NIRNode) -> nir.NIRNode:
    """A node for which `is_per_neuron`, without its axes."""
    import nir

    if isinstance(node, nir.Input):
        return nir.Input(input_type={"input": np.array([prod(int(n) for n in node.input_type["input"])])})
    values = {field.name: getattr(node, field.name) for field in fields(node) if field.init}
    return type(node)(**{k: v.reshape(-1) if isinstance(v, np.ndarray) else v for k, v in values.items()})
