"""Training of a layer of neurons with its pooling, by the C++ kernels of `lif.cpp`.

The numbers are those of PyTorch's operations on membranes and spikes, bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
from typing import Any

import torch
from snn_voice_lite.visible import module_logger
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.native.build import BuildError, Kernels
from snn_voice_hub.native.kernels import load_kernels

_LANES = 16  # channels of a row, in channels-last tensors
_MOST = 1 << 31  # values of a step: the kernels count the positions of a row in 32 bits
logger = module_logger(__name__)

# snnTorch's surrogates with their default slopes; the numbers are those of lif.cpp.
_SURROGATES = {
    "atan": (0, 2.0),
    "fast_sigmoid": (1, 25.0),
    "heaviside": (2, 0.0),
    "straight_through": (3, 0.0),
}


class _Neurons(ctypes.Structure):
    """`struct Neurons` of lif.cpp."""

    _fields_ = (
        *(
            (n, ctypes.c_int64)
            for n in ("steps", "current_steps", "rows", "height", "width", "pool_h", "pool_w", "channels")
        ),
        *((n, ctypes.c_float) for n in ("beta", "threshold")),
        *((n, ctypes.c_int64) for n in ("decays_reset", "surrogate")),
        ("slope", ctypes.c_float),
        ("threads", ctypes.c_int64),
    )


@functools.cache
def _kernels() -> Kernels | None:
    try:
        return load_kernels()
    except BuildError as error:
        logger.info("training goes without the C++ kernels: %s", error)
        return None


def can_train(
    x: Tensor,
    mem: Tensor | None,
    beta: Tensor,
    threshold: Tensor,
    surrogate: str,
    then: object,
    num_steps: int | None = None,
) -> bool:
    """Whether `train` can do what `lif_train` is asked to do; `num_steps` are those of `x` unless given."""
    steps = x.shape[0] if num_steps is None and x.ndim else num_steps
    return (
        all(map(_plain, (x, mem, beta, threshold)))
        and 3 <= x.ndim <= 5
        and x.numel() > 0
        and x.shape[1:].numel() < _MOST
        and steps is not None
        and steps > 0
        and x.shape[0] in (1, steps)
        and (mem is None or _broadcasts(mem, x))
        and all(t.numel() == 1 and t.ndim < x.ndim for t in (beta, threshold))
        # NaN would be clamped away, and nought times infinity is NaN to PyTorch.
        and not math.isnan(float(beta.detach()))
        and math.isfinite(float(threshold.detach()))
        and surrogate in _SURROGATES
        and window_of(then, x) is not None
        and _kernels() is not None
    )


def _plain(tensor: Tensor | None) -> bool:
    """Whether there is memory of float32 on the CPU behind a tensor."""
    return tensor is None or (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
    )


def _broadcasts(mem: Tensor, x: Tensor) -> bool:
    step = x.shape[1:]
    fill = (1,) * (len(step) - mem.ndim)
    return mem.ndim <= len(step) and all(a in (1, b) for a, b in zip((*fill, *mem.shape), step, strict=True))


def window_of(then: object, x: Tensor) -> tuple[int, int] | None:
    """Height and width of a max pooling that the kernels know, of currents `[T, B, C, ...]`.

    Returns:
        (1, 1) where there is no pooling. None where PyTorch is to do it, or to say what is wrong with it: it
        pools other axes than the positions, its windows overlap or are larger than the input, or somebody
        listens to it by a hook.
    """
    if then is None:
        return 1, 1
    if type(then) not in (nn.Identity, nn.MaxPool1d, nn.MaxPool2d):
        return None
    assert isinstance(then, nn.Module)
    if then._forward_hooks or then._forward_pre_hooks or then._backward_hooks or then._backward_pre_hooks:
        return None
    if not isinstance(then, nn.MaxPool1d | nn.MaxPool2d):
        return 1, 1
    axes = 1 if isinstance(then, nn.MaxPool1d) else 2
    kernel, stride, padding, dilation = (
        (value,) * axes if isinstance(value, int) else tuple(value)
        for value in (then.kernel_size, then.stride, then.padding, then.dilation)
    )
    plain = not any(padding) and set(dilation) == {1} and not then.ceil_mode and not then.return_indices
    if not plain or stride != kernel or len(kernel) != axes or x.ndim != 3 + axes:
        return None
    if not all(0 < window <= size for window, size in zip(kernel, x.shape[3:], strict=True)):
        return None
    high, wide = (1, *kernel)[-2:]
    return int(high), int(wide)


def train(
    x: Tensor,
    mem: Tensor | None,
    beta: Tensor,
    threshold: Tensor,
    *,
    num_steps: int,
    reset: str,
    surrogate: str,
    then: nn.Module | None,
) -> Tensor:
    """What `models.lif_layer.lif_train` does, where `can_train` says so.

    Args:
        x: Input currents `[T, B, C, ...]`, or `[1, B, C, ...]` where they are the same in all steps.
        mem: Membrane potential before the first step `[B, C, ...]`; None means rest.
        beta: Decay, a scalar.
        threshold: Firing threshold, a scalar.
        num_steps: T.
        reset: One of `models.lif.RESETS`.
        surrogate: A name in `models.lif.SURROGATES`.
        then: A max pooling, or nothing.

    Returns:
        Spikes `[T, B, C, ...]`, after the pooling.

    Raises:
        ConfigError: `can_train` says no.
    """
    if not can_train(x, mem, beta, threshold, surrogate, then, num_steps):
        raise ConfigError("the kernels can't train that layer", hint="can_train() tells; else lif_train()")
    if mem is not None:
        mem = mem.expand(x.shape[1:])
    window = window_of(then, x)
    if x.ndim > 3:
        out: Tensor = _LifTraining.apply(x, mem, beta, threshold, num_steps, reset, surrogate, window)
        return out
    # A row of the kernels is what they run at a time: without positions, all channels of a clip.
    start = None if mem is None else mem.unsqueeze(1)
    rows: Tensor = _LifTraining.apply(
        x.unsqueeze(2), start, beta, threshold, num_steps, reset, surrogate, window
    )
    return rows.squeeze(2)


class _LifTraining(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        start: Tensor | None,
        beta: Tensor,
        threshold: Tensor,
        num_steps: int,
        reset: str,
        surrogate: str,
        window: tuple[int, int],
    ) -> Tensor:
        high, wide = ([1, 1, *x.shape[3:]])[-2:]
        # Channels-last where the current is; strides of four and five axes tell it alike.
        last = x.ndim > 3 and x.shape[2] % _LANES == 0 and x.stride(2) == 1 and x.stride(-1) == x.shape[2]
        x = _laid(x, last)
        start = None if start is None else _laid(start.unsqueeze(0), last)
        kind, slope = _SURROGATES[surrogate]
        neurons = _Neurons(
            num_steps,
            x.shape[0],
            x.shape[1] * x.shape[2] // (_LANES if last else 1),
            high,
            wide,
            *window,
            x.shape[2] if last else 0,
            min(1.0, max(0.0, float(beta))),
            float(threshold),
            reset == "subtract-before-decay",
            kind,
            slope,
            min(torch.get_num_threads(), os.cpu_count() or 1),
        )
        pooled = {3: [], 4: [wide // window[1]], 5: [high // window[0], wide // window[1]]}[x.ndim]
        shape = (num_steps, *x.shape[1:3], *pooled)
        out = x.new_empty((*shape[:2], *shape[3:], shape[2])).movedim(-1, 2) if last else x.new_empty(shape)
        _done(
            _library().snn_lif_forward(
                ctypes.byref(neurons),
                _at(x, x.shape, last),
                _at(start, (1, *x.shape[1:]), last),
                _at(out, shape, last),
            )
        )
        ctx.save_for_backward(x, start, beta, threshold)
        ctx.neurons, ctx.last, ctx.shape = neurons, last, shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, start, beta, threshold = ctx.saved_tensors
        need_start, need_beta, need_threshold = ctx.needs_input_grad[1:4]
        grad_out = _laid(grad_out, ctx.last)
        grad_x = torch.empty_like(x)  # with its strides
        grad_start = torch.empty_like(start) if need_start else None
        learns = need_beta or need_threshold
        sums = torch.zeros(2, dtype=torch.float64, device="cpu") if learns else None
        one = (1, *x.shape[1:])
        _done(
            _library().snn_lif_backward(
                ctypes.byref(ctx.neurons),
                _at(x, x.shape, ctx.last),
                _at(start, one, ctx.last),
                _at(grad_out, ctx.shape, ctx.last),
                _at(grad_x, x.shape, ctx.last),
                _at(grad_start, one, ctx.last),
                ctypes.c_void_p(None if sums is None else sums.data_ptr()),
            )
        )
        grad_beta = grad_threshold = None
        if sums is not None:
            # At the bounds themselves the gradient passes; see lif_scan.
            inside = ((beta >= 0) & (beta <= 1)).to(beta.dtype)
            grad_beta = sums[0].to(beta.dtype).view_as(beta) * inside if need_beta else None
            grad_threshold = sums[1].to(threshold.dtype).view_as(threshold) if need_threshold else None
        if grad_start is not None:
            grad_start = grad_start.squeeze(0)
        return grad_x, grad_start, grad_beta, grad_threshold, None, None, None, None


def _laid(x: Tensor, channels_last: bool) -> Tensor:
    """`[T, B, C, ...]` with its values in the kernels' order."""
    x = x.resolve_neg()
    return x.movedim(2, -1).contiguous().movedim(-1, 2) if channels_last else x.contiguous()


def _library() -> ctypes.CDLL:
    kernels = _kernels()
    assert kernels is not None, "can_train was asked"
    return kernels.library


def _done(status: int) -> None:
    if status:
        raise MemoryError("no memory for the membranes of a layer")


def _at(tensor: Tensor | None, shape: tuple[int, ...], channels_last: bool) -> ctypes.c_void_p:
    """Where the memory of a tensor begins, once it is sure to be what the kernels take it for."""
    if tensor is None:
        return ctypes.c_void_p(None)
    rows = tensor.movedim(2, -1) if channels_last else tensor
    if not _plain(tensor) or tensor.shape != shape or not rows.is_contiguous() or tensor.is_neg():
        raise RuntimeError(
            f"the kernels want float32 {list(shape)} and were given {tensor.dtype} {list(tensor.shape)}, "
            f"{tensor.stride()}, on {tensor.device}"
        )
    return ctypes.c_void_p(tensor.data_ptr())
