"""The leaky integrate-and-fire neuron: a pure step, and its scan over all steps; see `lif_layer` for layers.

Membranes are arguments and results, never attributes: one network may serve many threads, and a step
loop and the whole sequence at once run the very same code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from snntorch import surrogate as _surrogate
from torch import Tensor
from torch.autograd.function import once_differentiable

from snn_voice_hub.errors import ConfigError

RESETS = ("subtract", "subtract-before-decay")

SpikeGrad = Callable[[Tensor], Tensor]

# Names of snnTorch's surrogates; "heaviside" passes the gradient through where a spike was, which is
# what the paper's snnTorch 0.5.3 did by default. Its "sigmoid" is not among them: its gradient is NaN
# (inf / inf) once a membrane lies 3.6 below the threshold.
SURROGATES: dict[str, Callable[[], SpikeGrad]] = {
    "atan": _surrogate.atan,
    "fast_sigmoid": _surrogate.fast_sigmoid,
    "heaviside": _surrogate.heaviside,
    "straight_through": _surrogate.straight_through_estimator,
}


def check_run(x: Tensor, mem: Tensor | None, num_steps: int, *constants: Tensor) -> Tensor | None:
    """Check what goes into a run over all steps.

    Args:
        x: Input currents, `[T, ...]` or `[1, ...]`.
        mem: Membrane potential before the first step, or None.
        num_steps: T.
        *constants: What is broadcast to one step: decay and threshold.

    Returns:
        `mem` in the shape of one step.

    Raises:
        ConfigError: Other steps than T, or a membrane or constant that can't be broadcast to one step.
    """
    if num_steps < 1:
        raise ConfigError(f"num_steps={num_steps} is not legal", hint="at least 1")
    if x.ndim < 1 or x.shape[0] not in (1, num_steps):
        raise ConfigError(
            f"a current of shape {list(x.shape)} for num_steps={num_steps}",
            hint=f"[{num_steps}, B, ...], or [1, B, ...] where it is the same in all steps",
        )
    step = x.shape[1:]
    for constant in constants:
        if constant.ndim:
            _expanded("a decay or threshold", constant, step)
    return mem if mem is None or mem.shape == step else _expanded("a membrane", mem, step)


def _expanded(what: str, tensor: Tensor, step: torch.Size) -> Tensor:
    try:
        return tensor.expand(step)
    except RuntimeError as error:
        raise ConfigError(
            f"{what} of shape {list(tensor.shape)} for a current of {list(step)} a step",
            hint=f"{list(step)}, or what can be broadcast to it",
        ) from error


def lif_step(
    x: Tensor,
    mem: Tensor,
    beta: Tensor,
    threshold: Tensor,
    *,
    reset: str = "subtract",
    spike_grad: SpikeGrad,
) -> tuple[Tensor, Tensor]:
    r"""One time step of a layer of leaky integrate-and-fire neurons.

    With :math:`s[t-1] = (m[t-1] > \theta)` and :math:`\beta` clamped to [0, 1]:

    - ``"subtract"``: :math:`m[t] = \beta m[t-1] + x[t] - s[t-1] \theta` (snnTorch 0.9.1 and later)
    - ``"subtract-before-decay"``: :math:`m[t] = \beta (m[t-1] - s[t-1] \theta) + x[t]` (snnTorch up to
      0.7.0, so the paper's nets)

    A neuron fires when :math:`m[t] > \theta`, strictly. The reset carries no gradient to the membrane.

    Args:
        x: Input current of this step, `[B, ...]`.
        mem: Membrane potential after the step before, of the same shape (or broadcastable to it).
        beta: Decay, a scalar tensor (or broadcastable to `x`).
        threshold: Firing threshold, a scalar tensor (or broadcastable to `x`).
        reset: One of `RESETS`.
        spike_grad: Heaviside step with a surrogate gradient, applied to `mem - threshold`.

    Returns:
        Spikes (0.0 or 1.0) and membrane potential of this step, each of the shape of `x`.
    """
    # Not clamp(): its gradient at the bounds themselves is 0 in newer torch, 1 in the paper's.
    decay = torch.where(beta < 0, 0.0, torch.where(beta > 1, 1.0, beta))
    drop = (mem > threshold).to(x.dtype) * threshold
    mem = decay * mem + x - drop if reset == "subtract" else decay * (mem - drop) + x
    return spike_grad(mem - threshold), mem


def lif_scan(
    x: Tensor,
    mem: Tensor | None,
    beta: Tensor,
    threshold: Tensor,
    *,
    num_steps: int,
    reset: str = "subtract",
    spike_grad: SpikeGrad,
) -> tuple[Tensor, Tensor]:
    """`lif_step` over all time steps, with the same numbers and gradients.

    For training it keeps one tensor a step (the membranes), where autograd through the steps would keep
    about six.

    Args:
        x: Input currents, `[T, B, ...]`; or `[1, B, ...]` for a current that is the same in all steps.
        mem: Membrane potential before the first step `[B, ...]`; None means rest (0).
        beta: As in `lif_step`.
        threshold: As in `lif_step`.
        num_steps: T.
        reset: As in `lif_step`.
        spike_grad: As in `lif_step`.

    Returns:
        Spikes and membrane potentials after each step, both `[T, B, ...]`.

    Raises:
        ConfigError: A current of other steps than T, or what can't be broadcast to one step.
    """
    mem = check_run(x, mem, num_steps, beta, threshold)
    if torch.compiler.is_compiling():  # exporters and compilers want to see the steps
        x = x.expand(num_steps, *x.shape[1:])
        mem = torch.zeros_like(x[0]) if mem is None else mem
        spks, mems = [], []
        for t in range(num_steps):
            spk, mem = lif_step(x[t], mem, beta, threshold, reset=reset, spike_grad=spike_grad)
            spks.append(spk)
            mems.append(mem)
        return torch.stack(spks), torch.stack(mems)
    out: tuple[Tensor, Tensor] = _Scan.apply(x, mem, beta, threshold, num_steps, reset, spike_grad)
    return out


class _Scan(torch.autograd.Function):
    """All steps of a layer; the backward pass runs the recursion of `lif_step` the other way."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        start: Tensor | None,
        beta: Tensor,
        threshold: Tensor,
        num_steps: int,
        reset: str,
        spike_grad: SpikeGrad,
    ) -> tuple[Tensor, Tensor]:
        decay = beta.clamp(0, 1)
        mems = x.new_empty((num_steps, *x.shape[1:]))
        spks = torch.empty_like(mems)
        before = start
        drop = None if start is None else (start > threshold) * threshold
        for mem, spk, current in zip(mems, spks, x.expand_as(mems), strict=True):
            # The operations and their order are those of lif_step: another order rounds differently.
            if before is None or drop is None:
                mem.copy_(current)
            elif reset == "subtract":
                torch.mul(before, decay, out=mem).add_(current).sub_(drop)
            else:
                torch.sub(before, drop, out=mem).mul_(decay).add_(current)
            spk.copy_(mem > threshold)
            before, drop = mem, spk * threshold
        ctx.save_for_backward(mems, start, beta, threshold)
        ctx.set_materialize_grads(False)
        ctx.one_current, ctx.reset, ctx.spike_grad = x.shape[0] < num_steps, reset, spike_grad
        return spks, mems

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spk: Tensor | None, grad_mems: Tensor | None) -> tuple[Tensor | None, ...]:
        mems, start, beta, threshold = ctx.saved_tensors
        decay = beta.clamp(0, 1)
        # Gradient at each membrane: by its own spike, by itself, and by the membrane that follows it.
        grad = torch.zeros_like(mems)
        if grad_spk is not None:
            with torch.enable_grad():
                over = (mems - threshold).requires_grad_()
                (grad,) = torch.autograd.grad(ctx.spike_grad(over), over, grad_spk)
        need_start, need_beta, need_threshold = ctx.needs_input_grad[1:4]
        grad_beta = torch.zeros_like(beta) if need_beta else None
        grad_threshold = -grad.sum_to_size(threshold.shape) if need_threshold else None
        if grad_mems is not None:
            grad = grad + grad_mems
        before_decay = ctx.reset == "subtract-before-decay"
        for t in reversed(range(len(grad))):
            if t + 1 < len(grad):
                grad[t].addcmul_(grad[t + 1], decay)
            if not (need_beta or need_threshold):
                continue
            before = mems[t - 1] if t else start
            if before is None:  # at rest: neither decay nor reset has anything to act on
                continue
            spk = (before > threshold).to(grad.dtype)
            if grad_beta is not None:
                left = before - spk * threshold if before_decay else before
                grad_beta += (grad[t] * left).sum_to_size(beta.shape)
            if grad_threshold is not None:
                by_reset = grad[t] * spk * decay if before_decay else grad[t] * spk
                grad_threshold -= by_reset.sum_to_size(threshold.shape)
        if grad_beta is not None:
            # At the bounds themselves the gradient passes, as in the paper's torch: a beta that was learned
            # down to 0 can come back.
            grad_beta *= (beta >= 0) & (beta <= 1)
        grad_start = grad[0] * decay if need_start else None
        grad_x = grad.sum(0, keepdim=True) if ctx.one_current else grad
        return grad_x, grad_start, grad_beta, grad_threshold, None, None, None
