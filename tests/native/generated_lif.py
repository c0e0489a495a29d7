"""Generated layers of neurons through the training kernels, each held against PyTorch's own path.

`python -m tests.native.generated_lif COUNT [SEED]` runs that many and prints what became of them; it ends
with 1 where an answer differs, or where one path answers what the other refuses.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snn_voice_hub.models.lif import RESETS, SURROGATES
from snn_voice_hub.models.lif_layer import Lif, lif_train
from snn_voice_hub.native import lif as native
from tests.generated import main

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One call of a layer.

    Attributes:
        steps: T, as the layer is told.
        shape: Of the current, `[T, B, C, ...]`, where mostly its first axis is T or 1.
        layout: How the current lies in memory.
        dtype: Of current and membrane.
        mem: Shape of the membrane before the first step; None to start at rest.
        beta: The layer's decay.
        per_channel: How many of them; None for one.
        threshold: The layer's.
        reset: One of `RESETS`.
        surrogate: One of `SURROGATES`.
        pool: What comes next.
        odd: A value that is put into the current.
        seed: Of the values.
    """

    steps: int
    shape: Shape
    layout: str
    dtype: torch.dtype
    mem: Shape | None
    beta: float
    per_channel: int | None
    threshold: float
    reset: str
    surrogate: str
    pool: nn.Module | None
    odd: float | None
    seed: int


def case(r: random.Random) -> Case:
    """Draw one; about half are what networks do, the others what nobody should do."""
    axes = r.choice((0, 1, 1, 1, 2, 2, 2, 3)) if r.random() < 0.9 else 0
    steps = r.choice((1, 1, 2, 3, 5, 9))
    given = r.choice((1, steps, steps, steps)) if r.random() < 0.92 else r.choice((0, 2, steps + 1))
    clips = r.choice((1, 1, 2, 3, 9)) if r.random() < 0.96 else 0
    channels = r.choice((1, 3, 16, 17, 32)) if r.random() < 0.97 else 0
    places = tuple(r.choice((1, 2, 3, 5, 8, 9, 16, 17, 20)) for _ in range(axes))
    shape: Shape = (given, clips, channels, *places)
    if r.random() < 0.02:
        shape = shape[:2]
    mem: Shape | None = None
    if r.random() < 0.5:
        mem = shape[1:]
        if r.random() < 0.25:
            mem = tuple(1 if r.random() < 0.5 else size for size in mem)[r.choice((0, 0, 1)) :]
        if r.random() < 0.05:
            mem = tuple(size + r.choice((0, 1)) for size in mem)
    usual = r.random() < 0.8
    return Case(
        steps=steps if r.random() < 0.99 else 0,
        shape=shape,
        layout=r.choice(("plain", "plain", "channels last", "transposed", "strided", "expanded", "negated")),
        dtype=torch.float32
        if r.random() < 0.93
        else r.choice((torch.float64, torch.float16, torch.bfloat16)),
        mem=mem,
        beta=r.choice((0.0, 0.5, 0.9, 1.0) if usual else (1.5, -0.2, float("nan"), float("inf"))),
        per_channel=None if r.random() < 0.85 else r.choice((channels, channels, 1, 2)),
        threshold=r.choice((1.0, 0.3) if r.random() < 0.8 else (0.0, -0.5, float("nan"), float("inf"))),
        reset=r.choice(RESETS),
        surrogate=r.choice(list(SURROGATES)),
        pool=_pool(r, axes),
        odd=r.choice((float("nan"), float("inf"), -1e30, 1e-40)) if r.random() < 0.1 else None,
        seed=r.randrange(1 << 30),
    )


def _pool(r: random.Random, axes: int) -> nn.Module | None:
    if r.random() < (0.35 if axes in (1, 2) else 0.9):
        return r.choice((None, nn.Identity()))
    flat = axes == 1 if r.random() < 0.95 else r.random() < 0.5
    size = r.choice((1, 2, 2, 3, 4, 9) if flat else (1, 2, 2, 3, (1, 9), (9, 1), (2, 3), (3, 1)))
    other: dict[str, object] = {}
    if r.random() < 0.15:
        other = r.choice(({"stride": 1}, {"ceil_mode": True}, {"dilation": 2}, {"padding": 1}))
    kinds: tuple[type[nn.Module], ...] = (nn.MaxPool1d,) if flat else (nn.MaxPool2d,)
    if r.random() < 0.05:
        kinds, other = ((nn.AvgPool1d,) if flat else (nn.AvgPool2d,)), {}
    return kinds[0](size, **other)


def _laid_out(x: Tensor, layout: str) -> Tensor:
    if layout == "channels last" and x.ndim > 3:
        return x.movedim(2, -1).contiguous().movedim(-1, 2)
    if layout == "transposed" and x.ndim > 2:
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == "strided":
        return torch.stack((x, x), -1)[..., 0]
    if layout == "expanded" and x.ndim > 2 and len(x):
        return x[:, :, :1].expand_as(x)
    return torch._neg_view(-x) if layout == "negated" else x  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Outcome:
    """What a path gave: spikes and gradients, or the error it raised."""

    tensors: list[Tensor | None]
    error: Exception | None = None


def _by_kernels(lif: Lif, x: Tensor, mem: Tensor | None, c: Case) -> Tensor:
    return lif.train_spikes(x, mem, c.steps, c.pool)


def _by_torch(lif: Lif, x: Tensor, mem: Tensor | None, c: Case) -> Tensor:
    grad = SURROGATES[c.surrogate]()
    return lif_train(
        x, mem, *lif._constants(x), num_steps=c.steps, reset=c.reset, spike_grad=grad, then=c.pool
    )


def _outcome(run: object, c: Case) -> Outcome:
    generator = torch.Generator().manual_seed(c.seed)
    lif = Lif(
        c.beta, learn_beta=True, channels=c.per_channel, threshold=c.threshold, learn_threshold=True,
        reset=c.reset, surrogate=c.surrogate,
    )  # fmt: skip
    values = torch.randn(c.shape, generator=generator) * 1.5
    if c.odd is not None and values.numel():
        values.view(-1)[c.seed % values.numel()] = c.odd
    x = _laid_out(values.to(c.dtype), c.layout).detach().requires_grad_()
    start = None
    if c.mem is not None:
        start = torch.randn(c.mem, generator=generator).to(c.dtype).requires_grad_()
    try:
        out = run(lif, x, start, c)  # type: ignore[operator]
        weight = torch.randn(out.shape, generator=generator).to(out.dtype)
        out.backward(_laid_out(weight, c.layout))
    except Exception as error:
        return Outcome([], error)
    return Outcome(
        [out.detach(), x.grad, None if start is None else start.grad, lif.beta.grad, lif.threshold.grad]
    )


def run(c: Case) -> str:
    """What became of a case: how it was computed, or what is wrong, beginning with "WRONG"."""
    x, mem = torch.empty(c.shape, dtype=c.dtype), None if c.mem is None else torch.empty(c.mem, dtype=c.dtype)
    lif = Lif(c.beta, channels=c.per_channel, threshold=c.threshold)
    knows = native.can_train(x, mem, lif.beta, lif.threshold, c.surrogate, c.pool, c.steps)
    found, wanted = _outcome(_by_kernels, c), _outcome(_by_torch, c)
    if found.error is not None or wanted.error is not None:
        if found.error is None or wanted.error is None:
            return f"WRONG: kernels {found.error or 'answer'}, torch {wanted.error or 'answers'}: {c}"
        return "refused" if not knows else f"WRONG: refused, but known to the kernels: {found.error}: {c}"
    names = ("spikes", "gradient of x", "of the membrane", "of beta", "of the threshold")
    finite = c.odd is None
    for name, one, other in zip(names, found.tensors, wanted.tensors, strict=True):
        if (one is None) != (other is None):
            return f"WRONG: {name} is missing: {c}"
        if one is None or other is None:
            continue
        if one.shape != other.shape or one.dtype != other.dtype:
            return f"WRONG: {name} is {list(one.shape)}, not {list(other.shape)}: {c}"
        if name == "spikes":
            if not torch.equal(one, other):
                return f"WRONG: spikes: {c}"
            continue
        # Where a value is NaN or huge, an order of summation decides what else is.
        if finite and not torch.allclose(one, other, rtol=1e-3, atol=_slack(other), equal_nan=True):
            return f"WRONG: {name} is off by {(one - other).abs().max()}: {c}"
    return "by the kernels" if knows else "by torch"


def _slack(tensor: Tensor) -> float:
    return 1e-4 * (1 + float(tensor.nan_to_num(0, 0, 0).abs().max())) if tensor.numel() else 0.0


def drawn(r: random.Random) -> str:
    """`run` for the next case."""
    return run(case(r))


if __name__ == "__main__":
    sys.exit(main(__doc__, drawn, "by the kernels"))
