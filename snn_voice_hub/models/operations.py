"""What the operations of a trace mean: PyTorch's functions by kind, with their arguments by name."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from snn_voice_hub.models.causal import causal_conv
from snn_voice_hub.models.network import summed_linear
from snn_voice_hub.models.trace import Operation, fire, past


def _takes(*names: str, **defaults: Any) -> inspect.Signature:
    """The signature of a function that has none which Python knows."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    required = [inspect.Parameter(name, kind) for name in names]
    return inspect.Signature(
        [*required, *(inspect.Parameter(n, kind, default=v) for n, v in defaults.items())]
    )


_CONV = _takes("input", "weight", bias=None, stride=1, padding=0, dilation=1, groups=1)
_NORM = _takes(
    *("input", "running_mean", "running_var"),
    **{"weight": None, "bias": None, "training": False, "momentum": 0.1, "eps": 1e-5},
)
_POOL = _takes(
    *("input", "kernel_size"),
    **{"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False},
)
_DROPOUT = _takes("input", p=0.5, training=True, inplace=False)
_ANYTHING = inspect.signature(lambda input, *args, **kwargs: None)

# Kind -> its functions, and their arguments.
_KINDS: dict[str, tuple[tuple[Any, ...], inspect.Signature]] = {
    "fire": ((fire,), _takes("lif", "input")),
    "past": ((past,), _takes("input", "count")),
    "causal": ((causal_conv,), _takes("input", "weight", "stride", "dilation")),
    "conv": ((functional.conv1d, functional.conv2d), _CONV),
    "norm": ((functional.batch_norm,), _NORM),
    "pool": ((functional.max_pool1d, functional.max_pool2d), _POOL),
    "average": ((functional.adaptive_avg_pool2d,), _takes("input", "output_size")),
    "linear": ((functional.linear, summed_linear), _takes("input", "weight", bias=None)),
    "dropout": (
        (functional.dropout, functional.dropout1d, functional.dropout2d, functional.alpha_dropout),
        _DROPOUT,
    ),
    "add": ((torch.add, Tensor.add), _takes("input", "other", alpha=1)),
    "divide": (
        (torch.div, Tensor.div, torch.true_divide, Tensor.true_divide, Tensor.__truediv__),
        _takes("input", "other", rounding_mode=None),
    ),
    "mean": ((torch.mean, Tensor.mean), _takes("input", dim=None, keepdim=False, dtype=None)),
    "squeeze": ((torch.squeeze, Tensor.squeeze), _ANYTHING),
    "flatten": ((torch.flatten, Tensor.flatten), _ANYTHING),
    "reshape": (
        (
            *(torch.reshape, Tensor.reshape, Tensor.view, Tensor.contiguous),
            *(torch.unflatten, Tensor.unflatten),
        ),
        _ANYTHING,
    ),
}
_BY_FUNCTION = {
    function: (kind, signature) for kind, (functions, signature) in _KINDS.items() for function in functions
}


def reading(op: Operation) -> tuple[str, dict[str, Any]]:
    """An operation's kind and its arguments by name, defaults included; ("", {}) for any other operation.

    "dropout" is one that does nothing. Of "flatten" and "reshape", the shapes tell what they do.
    """
    kind, signature = _BY_FUNCTION.get(op.function, ("", None))
    if signature is None:
        return "", {}
    try:
        bound = signature.bind(*op.args, **op.kwargs)
    except TypeError:
        return "", {}
    bound.apply_defaults()
    arguments = bound.arguments
    if not isinstance(arguments["input"], Operation) or (kind == "dropout" and arguments["training"]):
        return "", {}
    return kind, arguments


def reshapes(op: Operation) -> bool:
    """Whether an operation gives the values it reads, in their order, another shape."""
    return reading(op)[0] in ("flatten", "reshape")


def bare(op: Operation) -> Operation:
    """The operation whose values these are, behind those that reshape them."""
    while reshapes(op):
        op = op.inputs[0]
    return op


def uses(op: Operation) -> int:
    """How many operations read a value, in whatever shape."""

    def below(op: Operation) -> int:
        return sum(below(reader) if reshapes(reader) else 1 for reader in op.readers)

    return below(bare(op))


def axes(arguments: dict[str, Any], ndim: int) -> tuple[int, ...]:
    """The axes of a mean, counted from the front, in order."""
    dim = arguments["dim"]
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    return tuple(sorted(d % ndim for d in dims)) or tuple(range(ndim))


def norm_constants(arguments: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """A batch norm in evaluation, as `x * scale + shift`: both `[C]`, in float64."""
    mean, var = arguments["running_mean"].detach().double(), arguments["running_var"].detach().double()
    scale = (var + arguments["eps"]).rsqrt()
    if arguments["weight"] is not None:
        scale = scale * arguments["weight"].detach().double()
    shift = -mean * scale
    return scale, shift if arguments["bias"] is None else shift + arguments["bias"].detach().double()
