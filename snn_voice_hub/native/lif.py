"""Training of a layer of neurons with its pooling, by the C++ kernels of `lif.cpp`.

The numbers are those of PyTorch's operations on membranes and spikes, bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from snn_voice_hub.native.build import BuildError, Kernels
from snn_voice_hub.native.kernels import load_kernels

_LANES = 16  # channels of a row, in channels-last tensors
logger = logging.getLogger(__name__)

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
    x: Tensor, mem: Tensor | None, beta: Tensor, threshold: Tensor, surrogate: str, then: object
) -> bool:
    """Whether `train` can do what `lif_train` is asked to do."""
    tensors = [t for t in (x, mem, beta, threshold) if t is not None]
    return (
        all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
        and 3 <= x.ndim <= 5
        and x.numel() > 0
        and beta.numel() == threshold.numel() == 1
        and surrogate in _SURROGATES
        and window_of(then) is not None
        and _kernels() is not None
    )


def window_of(then: object) -> tuple[int, int] | None:
    """Height and width of a max pooling that the kernels know; (1, 1) where there is none."""
    if then is None or isinstance(then, nn.Identity):
        return 1, 1
    if not isinstance(then, nn.MaxPool1d | nn.MaxPool2d):
        return None

    def pair(value: Any, fill: int) -> tuple[int, int]:
        if isinstance(then, nn.MaxPool1d):
            return fill, value if isinstance(value, int) else value[0]
        return (value, value) if isinstance(value, int) else tuple(value)

    window = pair(then.kernel_size, 1)
    plain = pair(then.padding, 0) == (0, 0) and pair(then.dilation, 1) == (1, 1) and not then.ceil_mode
    return window if plain and pair(then.stride, 1) == window and not then.return_indices else None


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
    """What `models.spiking.lif_train` does, where `can_train` says so.

    Args:
        x: Input currents `[T, B, C, ...]`, or `[1, B, C, ...]` where they are the same in all steps.
        mem: Membrane potential before the first step `[B, C, ...]`; None means rest.
        beta: Decay, a scalar.
        threshold: Firing threshold, a scalar.
        num_steps: T.
        reset: One of `models.spiking.RESETS`.
        surrogate: A name in `models.spiking.SURROGATES`.
        then: A max pooling, or nothing.

    Returns:
        Spikes `[T, B, C, ...]`, after the pooling.
    """
    out: Tensor = _Lif.apply(x, mem, beta, threshold, num_steps, reset, surrogate, window_of(then))
    return out


class _Lif(torch.autograd.Function):
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
        start = None if start is None else _laid(start.expand_as(x[0]).unsqueeze(0), last)
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
            torch.get_num_threads(),
        )
        pooled = {3: [], 4: [wide // window[1]], 5: [high // window[0], wide // window[1]]}[x.ndim]
        shape = (num_steps, *x.shape[1:3], *pooled)
        out = x.new_empty((*shape[:2], *shape[3:], shape[2])).movedim(-1, 2) if last else x.new_empty(shape)
        _library().snn_lif_forward(ctypes.byref(neurons), _at(x), _at(start), _at(out))
        ctx.save_for_backward(x, start, beta, threshold)
        ctx.neurons, ctx.last = neurons, last
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, start, beta, threshold = ctx.saved_tensors
        need_start, need_beta, need_threshold = ctx.needs_input_grad[1:4]
        grad_out = _laid(grad_out, ctx.last)
        grad_x = torch.empty_like(x)  # with its strides
        grad_start = torch.empty_like(start) if need_start else None
        sums = torch.zeros(2, dtype=torch.float64) if need_beta or need_threshold else None
        _library().snn_lif_backward(
            ctypes.byref(ctx.neurons),
            _at(x),
            _at(start),
            _at(grad_out),
            _at(grad_x),
            _at(grad_start),
            _at(sums),
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
    return x.movedim(2, -1).contiguous().movedim(-1, 2) if channels_last else x.contiguous()


def _library() -> ctypes.CDLL:
    kernels = _kernels()
    assert kernels is not None, "can_train was asked"
    return kernels.library


def _at(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())
