"""How near does each engine come to what this machine can do?

The machine's rates are measured: a matrix product of 1,024 squared for arithmetic, a copy of 256 MiB for
memory. A network's work is counted twice. "Dense" is what the naive loop multiplies and adds in T steps.
"Needed" counts the input layer once where its input is the same in all steps, and after that only the
additions that a spike (or another value that is not zero) causes.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.common import Timing
from benchmarks.report import Table
from snn_voice_hub.models.network import SpikingNetwork


@dataclass(frozen=True)
class Rates:
    """What one thread of this machine does.

    Attributes:
        gflops: Billions of float32 operations a second in a matrix product (a multiply-add is two).
        gbytes: Billions of bytes read and written a second in a copy.
    """

    gflops: float
    gbytes: float


@dataclass(frozen=True)
class Work:
    """What one clip takes.

    Attributes:
        dense: Multiply-adds of the naive loop.
        once: Those, with the input layer counted once where its input is the same in all steps.
        needed: Multiply-adds, or additions, that zeros do not make superfluous.
        weights: Bytes of the weights.
    """

    dense: float
    once: float
    needed: float
    weights: int


def rates(seconds: float = 0.5) -> Rates:
    """Measure the machine by CPU time, best of the runs in `seconds` each."""
    size, count = 1024, 64 * (1 << 20)
    a, b = torch.rand(size, size), torch.rand(size, size)
    source, target = torch.rand(count), torch.empty(count)
    product = _best(lambda: torch.mm(a, b), seconds)
    copied = _best(lambda: target.copy_(source), seconds)
    return Rates(2 * size**3 / product / 1e9, 2 * 4 * count / copied / 1e9)


def _best(call: Callable[[], object], seconds: float) -> float:
    call()
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return best


def better(a: Rates, b: Rates) -> Rates:
    """The best of two measurements; what else the machine does only makes them worse."""
    return Rates(max(a.gflops, b.gflops), max(a.gbytes, b.gbytes))


def multiply_adds(module: nn.Module, inputs: Tensor, out: Tensor) -> float:
    """Multiply-adds of one call of a convolution or linear layer."""
    if isinstance(module, nn.Linear):
        return float(out.numel() * module.in_features)
    weight = module.get_parameter("weight")
    return float(out.numel() * weight[0].numel())


@torch.inference_mode()
def work(network: nn.Module, features: Tensor) -> Work:
    """Count the work of one clip, as the mean over the clips of `features`."""
    clone = copy.deepcopy(network)
    counts = {"dense": 0.0, "once": 0.0, "needed": 0.0}
    looping = True

    def count(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        macs = multiply_adds(module, inputs[0], out)
        if looping:
            counts["dense"] += macs
        else:
            counts["once"] += macs
            counts["needed"] += macs * float((inputs[0] != 0).float().mean())

    for module in clone.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    call: Any = clone
    if isinstance(clone, SpikingNetwork):
        clone.forward_loop(features)
        looping = False
        for part in torch.split(features, 4):
            clone.forward_steps(part)
    else:
        call(features)
        counts["needed"] = counts["once"] = counts["dense"]
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    dense, once, needed = (counts[name] / len(features) for name in ("dense", "once", "needed"))
    return Work(dense, once, needed, weights)


def add_rows(
    table: Table, title: str, num_steps: int, batch: int, timings: dict[str, Timing], done: Work, have: Rates
) -> None:
    """One row a variant."""
    for name, timing in timings.items():
        seconds = timing.cpu_ms / 1e3
        dense, needed = (2 * batch * value / seconds / 1e9 for value in (done.dense, done.needed))
        reads = done.weights / seconds / 1e9
        table.add(
            *(title, num_steps, batch, name),
            *(dense, f"{dense / have.gflops:.0%}", needed, f"{needed / have.gflops:.0%}"),
            *(reads, f"{reads / have.gbytes:.0%}"),
        )


def new_table() -> Table:
    """An empty table for `add_rows`."""
    return Table(
        *("model", "T", "batch", "variant", "dense GFLOP/s", "of GEMM", "needed GFLOP/s", "of GEMM"),
        *("weights read, GB/s", "of copy"),
    )


def describe(have: Rates) -> str:
    """The machine's rates in words."""
    return (
        f"One thread, measured: {have.gflops:.1f} GFLOP/s in a float32 matrix product, "
        f"{have.gbytes:.1f} GB/s in a copy (read and written). A share of the matrix product's rate above "
        '100 % under "dense" means that work was left out, not that it was done faster; "weights read" '
        "counts every weight once a call."
    )
