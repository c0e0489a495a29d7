"""A layer of leaky integrate-and-fire neurons, the module `Lif`, and its runs over all steps, part by part.

The neuron itself, its step and its scan, stands in `models.lif`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.lif import SURROGATES, SpikeGrad, check_run, lif_scan
from snn_voice_hub.native import lif as native
from snn_voice_hub.tensors import FLOAT32


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
        then: What comes next, `[T * b, c, ...]` -> `[T * b, c, ...]`: pooling. Another layer than PyTorch's
            pooling is given all clips and channels together.

    Returns:
        Spikes `[T, B, C, ...]`, after `then`.

    Raises:
        ConfigError: A current of other steps than T, or what can't be broadcast to one step.
    """
    mem = _check_run(x, mem, num_steps, beta, threshold)
    decay = beta.clamp(0, 1)
    x = x.expand(num_steps, *x.shape[1:])
    out: Tensor | None = None
    parts = _parts(x, then)
    for rows, channels in parts:
        start = None if mem is None else mem[rows, channels]
        decay_here, threshold_here = (_of_part(c, x, rows, channels) for c in (decay, threshold))
        spk = _run_part(x[:, rows, channels], start, decay_here, threshold_here, reset)
        if then is not None:
            pooled = then(spk.flatten(0, 1))
            spk = pooled.view(num_steps, len(pooled) // num_steps, *pooled.shape[1:])
        if len(parts) == 1:
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

    Raises:
        ConfigError: As `lif_spikes`.
    """
    mem = _check_run(x, mem, num_steps, beta, threshold)
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
        for rows, channels in _parts(x, ctx.then):
            part = (slice(None), rows, channels)
            inputs = [x[part], None if start is None else start[rows, channels]]
            inputs += [_of_part(constant, x, rows, channels) for constant in (beta, threshold)]
            leaves: list[Any] = [
                None if t is None else t.detach().requires_grad_(w)
                for t, w in zip(inputs, wanted, strict=True)
            ]
            with torch.enable_grad():
                spk, _ = lif_scan(
                    *leaves, num_steps=ctx.num_steps, reset=ctx.reset, spike_grad=ctx.spike_grad
                )
                if ctx.then is not None:
                    pooled = ctx.then(spk.flatten(0, 1))
                    spk = pooled.view(ctx.num_steps, len(pooled) // ctx.num_steps, *pooled.shape[1:])
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
                    of_part = _of_part(total, x, rows, channels)
                    of_part += next(found)
        return (*grads, None, None, None, None)


# Values of a membrane that are run together: 256 KiB, so that it stays in the second-level cache of today's
# cores. Half or twice as many were slower by up to a third.
_PART = 1 << 16

# Layers that treat each channel of each clip by itself, and the axes of the current that they are for.
_BY_CHANNEL: dict[type, int] = {
    **dict.fromkeys((nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveMaxPool1d, nn.AdaptiveAvgPool1d), 4),
    **dict.fromkeys((nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d), 5),
}


def _check_run(x: Tensor, mem: Tensor | None, num_steps: int, *constants: Tensor) -> Tensor | None:
    if x.ndim < 3:
        raise ConfigError(f"a current of shape {list(x.shape)}", hint="[T, B, C, ...]")
    return check_run(x, mem, num_steps, *constants)


def _parts(x: Tensor, then: object) -> list[tuple[slice, slice]]:
    return list(_each_part(x, then))


def _each_part(x: Tensor, then: object) -> Iterator[tuple[slice, slice]]:
    """Which clips and channels of `[T, B, C, ...]` run together."""
    clips, channels = x.shape[1:3]
    alone = then is None or type(then) is nn.Identity or _BY_CHANNEL.get(type(then)) == x.ndim
    # On other devices it is the number of launches that counts.
    if x.device.type != "cpu" or x.numel() == 0 or not alone:
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


def _of_part(constant: Tensor, x: Tensor, rows: slice, channels: slice) -> Tensor:
    """The part of a beta or threshold that is broadcast to the steps of `[T, B, C, ...]`."""
    if constant.ndim == 0:
        return constant
    step = constant.view(*[1] * (x.ndim - 1 - constant.ndim), *constant.shape)
    everything = slice(None)
    return step[rows if step.shape[0] > 1 else everything, channels if step.shape[1] > 1 else everything]


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


class Lif(nn.Module):
    """A layer of LIF neurons (snnTorch's names in the state dict).

    Args:
        beta: Membrane decay per step, used clamped to [0, 1].
        learn_beta: Whether beta is a parameter.
        channels: With a number C, each channel has a beta of its own, `[C]`; by default the layer has one.
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
        channels: int | None = None,
        threshold: float = 1.0,
        learn_threshold: bool = False,
        reset: str = "subtract",
        surrogate: str = "atan",
    ) -> None:
        super().__init__()
        for name, value, learn in (("threshold", threshold, learn_threshold), ("beta", beta, learn_beta)):
            shape = (channels,) if name == "beta" and channels is not None else ()
            tensor = torch.full(shape, float(value), **FLOAT32)
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
        return lif_spikes(x, mem, *self._constants(x), num_steps=num_steps, reset=self.reset, then=then)

    def _constants(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Beta as it is broadcast to `[B, C, ...]`, and the threshold."""
        beta = self.beta if self.beta.ndim == 0 else self.beta.view(-1, *[1] * (x.ndim - 3))
        return beta, self.threshold

    def train_spikes(
        self, x: Tensor, mem: Tensor | None, num_steps: int, then: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Run over all steps for the spikes, with gradients; see `lif_train`."""
        how: dict[str, Any] = {"num_steps": num_steps, "reset": self.reset, "then": then}
        if native.can_train(x, mem, self.beta, self.threshold, self.surrogate, then, num_steps):
            return native.train(x, mem, self.beta, self.threshold, surrogate=self.surrogate, **how)
        return lif_train(x, mem, *self._constants(x), spike_grad=SURROGATES[self.surrogate](), **how)

    def forward(self, x: Tensor, mem: Tensor | None, num_steps: int) -> tuple[Tensor, Tensor]:
        """Run over all steps; see `lif_scan` for the shapes."""
        how: dict[str, Any] = {"num_steps": num_steps, "reset": self.reset}
        return lif_scan(x, mem, *self._constants(x), spike_grad=SURROGATES[self.surrogate](), **how)

    def extra_repr(self) -> str:
        """Show the neuron's constants in `print(model)`."""
        decay = _shown(self.beta) + (" on average" if self.beta.ndim else "")
        return f"beta={decay}, threshold={_shown(self.threshold)}, reset={self.reset!r}"


def _shown(constant: Tensor) -> str:
    return "?" if constant.is_meta else f"{float(constant.detach().float().mean()):.3g}"
