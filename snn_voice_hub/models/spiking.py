"""The leaky integrate-and-fire neuron: a pure step, its scan over all steps, a thin module around them.

Membranes are arguments and results, never attributes: one network may serve many threads, and a step
loop and the whole sequence at once run the very same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from snntorch import surrogate as _surrogate
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from snn_voice_hub.native import lif as native

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
    """
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


def lif_spikes(
    x: Tensor,
    mem: Tensor | None,
    beta: Tensor,
    threshold: Tensor,
    *,
    num_steps: int,
    reset: str = "subtract",
    then: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The spikes of `lif_scan` alone, without gradients: one membrane is kept, not one a step.

    The layer is run in parts of a few clips or channels, so that the membrane stays in the cache and what
    the pooling throws away never exists as a whole.

    Args:
        x: Input currents, `[T, B, C, ...]`; or `[1, B, C, ...]` for a current that is the same in all steps.
        mem: As in `lif_scan`.
        beta: As in `lif_step`.
        threshold: As in `lif_step`.
        num_steps: T.
        reset: As in `lif_step`.
        then: What comes next, `[T * b, c, ...]` -> `[T * b, c, ...]`, each channel by itself: pooling.

    Returns:
        Spikes `[T, B, C, ...]`, after `then`.
    """
    decay = beta.clamp(0, 1)
    x = x.expand(num_steps, *x.shape[1:])
    out: Tensor | None = None
    for rows, channels in _parts(x):
        start = None if mem is None else mem[rows, channels]
        spk = _run_part(x[:, rows, channels], start, decay, threshold, reset)
        if then is not None:
            pooled = then(spk.flatten(0, 1))
            spk = pooled.view(num_steps, -1, *pooled.shape[1:])
        if spk.shape[1:3] == x.shape[1:3]:  # one part is all there is
            return spk
        if out is None:
            out = spk.new_empty((*x.shape[:3], *spk.shape[3:]))
        out[:, rows, channels] = spk
    assert out is not None
    return out


def lif_train(
    x: Tensor,
    mem: Tensor | None,
    beta: Tensor,
    threshold: Tensor,
    *,
    num_steps: int,
    reset: str = "subtract",
    spike_grad: SpikeGrad,
    then: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """`lif_spikes` with gradients, and with no more memory than it.

    Nothing but the current is kept for the backward pass; there, each part is run again and its membranes are
    used while they are in the cache. For a layer with pooling that is faster than writing all membranes to
    memory and reading them back.

    Args:
        x: As in `lif_spikes`.
        mem: As in `lif_spikes`.
        beta: As in `lif_step`.
        threshold: As in `lif_step`.
        num_steps: T.
        reset: As in `lif_step`.
        spike_grad: As in `lif_step`.
        then: As in `lif_spikes`; a layer without parameters that does the same whenever it is called.

    Returns:
        As `lif_spikes`.
    """
    out: Tensor = _Recomputed.apply(x, mem, beta, threshold, num_steps, reset, spike_grad, then)
    return out


class _Recomputed(torch.autograd.Function):
    """`lif_spikes`; its backward pass runs `lif_scan` and `then` again, part by part."""

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
        then: Callable[[Tensor], Tensor] | None,
    ) -> Tensor:
        ctx.save_for_backward(x, start, beta, threshold)
        ctx.num_steps, ctx.reset, ctx.spike_grad, ctx.then = num_steps, reset, spike_grad, then
        return lif_spikes(x, start, beta, threshold, num_steps=num_steps, reset=reset, then=then)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, start, beta, threshold = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:4]
        grads = [torch.empty_like(x) if wanted[0] else None]
        grads.append(torch.empty_like(start) if wanted[1] else None)
        grads += [torch.zeros_like(t) if w else None for t, w in ((beta, wanted[2]), (threshold, wanted[3]))]
        for rows, channels in _parts(x):
            part = (slice(None), rows, channels)
            leaves = [x[part], None if start is None else start[rows, channels], beta, threshold]
            leaves = [
                None if t is None else t.detach().requires_grad_(w)
                for t, w in zip(leaves, wanted, strict=True)
            ]
            with torch.enable_grad():
                spk, _ = lif_scan(
                    *leaves, num_steps=ctx.num_steps, reset=ctx.reset, spike_grad=ctx.spike_grad
                )
                if ctx.then is not None:
                    pooled = ctx.then(spk.flatten(0, 1))
                    spk = pooled.view(ctx.num_steps, -1, *pooled.shape[1:])
                found = iter(
                    torch.autograd.grad(
                        spk, [t for t in leaves if t is not None and t.requires_grad], grad[part]
                    )
                )
            for index, total in enumerate(grads):
                if total is None:
                    continue
                if index < 2:
                    total[part if index == 0 else (rows, channels)] = next(found)
                else:
                    total += next(found)
        return (*grads, None, None, None, None)


# Values of a membrane that are run together: 256 KiB, so that it stays in the second-level cache of today's
# cores. Half or twice as many were slower by up to a third.
_PART = 1 << 16


def _parts(x: Tensor) -> Iterator[tuple[slice, slice]]:
    """Which clips and channels of `[T, B, C, ...]` run together."""
    clips, channels = x.shape[1:3]
    if x.device.type != "cpu" or x.numel() == 0:  # elsewhere it is the number of launches that counts
        yield slice(0, clips), slice(0, channels)
        return
    one_channel = max(1, x.shape[3:].numel())
    one_clip = one_channel * channels
    if one_clip <= _PART:
        count = max(1, _PART // one_clip)
        for b in range(0, clips, count):
            yield slice(b, min(b + count, clips)), slice(0, channels)
        return
    count = max(1, _PART // one_channel)
    for b in range(clips):
        for c in range(0, channels, count):
            yield slice(b, b + 1), slice(c, min(c + count, channels))


def _run_part(x: Tensor, start: Tensor | None, decay: Tensor, threshold: Tensor, reset: str) -> Tensor:
    spks = x.new_empty(x.shape)
    # The operations and their order are those of lif_step: another order rounds differently.
    mem = x[0].clone() if start is None else start.clone()
    drop = None if start is None else (start > threshold).to(x.dtype) * threshold
    for spk, current in zip(spks, x, strict=True):
        if drop is None:
            pass  # at rest before the first step: the membrane is the current
        elif reset == "subtract":
            mem.mul_(decay).add_(current).sub_(drop)
        else:
            mem.sub_(drop).mul_(decay).add_(current)
        torch.gt(mem, threshold, out=spk)
        drop = spk * threshold
    return spks


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


class Lif(nn.Module):
    """A layer of LIF neurons with one beta and one threshold (snnTorch's names in the state dict).

    Args:
        beta: Membrane decay per step, used clamped to [0, 1].
        learn_beta: Whether beta is a parameter.
        threshold: Firing threshold.
        learn_threshold: Whether the threshold is a parameter.
        reset: One of `RESETS`.
        surrogate: A name in `SURROGATES`.
    """

    beta: Tensor
    threshold: Tensor

    def __init__(
        self,
        beta: float = 0.5,
        *,
        learn_beta: bool = False,
        threshold: float = 1.0,
        learn_threshold: bool = False,
        reset: str = "subtract",
        surrogate: str = "atan",
    ) -> None:
        super().__init__()
        for name, value, learn in (("threshold", threshold, learn_threshold), ("beta", beta, learn_beta)):
            tensor = torch.tensor(float(value))
            if learn:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        self.reset = reset
        self.surrogate = surrogate

    def spikes(
        self, x: Tensor, mem: Tensor | None, num_steps: int, then: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Run over all steps for the spikes alone, without gradients; see `lif_spikes`."""
        return lif_spikes(x, mem, self.beta, self.threshold, num_steps=num_steps, reset=self.reset, then=then)

    def train_spikes(
        self, x: Tensor, mem: Tensor | None, num_steps: int, then: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Run over all steps for the spikes, with gradients; see `lif_train`."""
        if native.can_train(x, mem, self.beta, self.threshold, self.surrogate, then):
            return native.train(
                x,
                mem,
                self.beta,
                self.threshold,
                num_steps=num_steps,
                reset=self.reset,
                surrogate=self.surrogate,
                then=cast(nn.Module | None, then),
            )
        return lif_train(
            x,
            mem,
            self.beta,
            self.threshold,
            num_steps=num_steps,
            reset=self.reset,
            spike_grad=SURROGATES[self.surrogate](),
            then=then,
        )

    def forward(self, x: Tensor, mem: Tensor | None, num_steps: int) -> tuple[Tensor, Tensor]:
        """Run over all steps; see `lif_scan` for the shapes."""
        return lif_scan(
            x,
            mem,
            self.beta,
            self.threshold,
            num_steps=num_steps,
            reset=self.reset,
            spike_grad=SURROGATES[self.surrogate](),
        )

    def extra_repr(self) -> str:
        """Show the neuron's constants in `print(model)`."""
        return f"beta={float(self.beta):.3g}, threshold={float(self.threshold):.3g}, reset={self.reset!r}"
