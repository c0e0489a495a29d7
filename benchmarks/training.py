"""How long does a training step take, against snnTorch's loop and against the CNN twin?

A step is forward, cross-entropy, backward, and one step of AdamW, on real clips; it starts from the trained
weights, so that the neurons fire as often as they do late in training.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import roofline
from benchmarks.common import (
    ChildFailed,
    begin,
    disturbance,
    in_a_process,
    interleave,
    load_clips,
    make_parser,
    ratios,
)
from benchmarks.memory import growth
from benchmarks.naive import NaiveNetwork
from benchmarks.report import Report, Table
from benchmarks.subjects import CHILD_OPTIONS, Subject, add_options, load_subject, steps

NAIVE, OURS, HALF, TWIN = "naive loop (snnTorch)", "ours", "ours, products in bfloat16", "CNN twin"
# The training part of Speech Commands that the bundled models were trained with.
EPOCH_CLIPS = 27_410


def training_step(network: nn.Module, logits: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    """One step without an optimiser: the loss; the gradients stay in `network`."""
    network.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(logits(x).float(), y)
    torch.autograd.backward(loss)
    return float(loss.detach())


def make_step(variant: str, subject: Subject, x: Tensor, y: Tensor) -> Callable[[], float]:
    """One training step of one variant; each has weights of its own, equal at first."""
    source = subject.cnn if variant == TWIN else subject.network
    network: nn.Module = copy.deepcopy(source).train().requires_grad_(True)
    logits: Callable[[Tensor], Tensor] = network
    if variant == NAIVE:
        network = NaiveNetwork(network)  # type: ignore[arg-type]
        logits = network.logits
    elif variant == HALF:
        # As `snn-voice train --precision bfloat16`.
        logits = torch.autocast("cpu", torch.bfloat16)(network.forward)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> float:
        loss = training_step(network, logits, x, y)
        optimizer.step()
        return loss

    return step


def difference(subject: Subject, x: Tensor, y: Tensor) -> tuple[float, float]:
    """How far the naive network's loss and gradients are from ours, with batch norm and dropout at rest.

    Returns:
        The difference of the losses, and the largest of the gradients' relative to their layer's largest.
    """
    ours, shared = (copy.deepcopy(subject.network).eval().requires_grad_(True) for _ in range(2))
    naive = NaiveNetwork(shared)
    losses = training_step(ours, ours, x, y) - training_step(naive, naive.logits, x, y)
    apart = 0.0
    for mine, other in zip(ours.parameters(), shared.parameters(), strict=True):
        # The naive network has neurons, and so learned betas, of its own.
        if mine.grad is not None and other.grad is not None:
            largest = float(mine.grad.abs().max())
            apart = max(apart, float((mine.grad - other.grad).abs().max()) / max(largest, 1e-12))
    return abs(losses), apart


def batch_of(subject: Subject, given: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Features and class indices of one batch of real clips."""
    clips = load_clips(given.data, given.batch, given.cache)
    index = {label: i for i, label in enumerate(subject.voice.labels)}
    x = subject.features(clips).clone()  # no inference tensor
    return x, torch.tensor([index.get(word, 0) for word in clips.labels])


def peak(given: argparse.Namespace, name: str, num_steps: int, variant: str) -> float | None:
    """MiB that two steps of one variant take beyond the loaded network, in a process of its own."""
    child, options = (name, num_steps, variant), (*CHILD_OPTIONS, "batch")
    try:
        return in_a_process("benchmarks.training", given, child, options=options)["mib"]
    except ChildFailed as error:
        print(f"{name} T={num_steps} {variant}: no memory figure: {error}", flush=True)
        return None


def measure(given: argparse.Namespace, name: str, table: Table, checks: list[str]) -> None:
    """The rows of one model."""
    subject = load_subject(name, given)
    x, y = batch_of(subject, given)
    plain = roofline.work(subject.cnn, x[:4]).dense
    for t in given.steps:
        with steps(subject.network, t):
            variants = {variant: make_step(variant, subject, x, y) for variant in (NAIVE, OURS, HALF, TWIN)}
            loss, gradient = difference(subject, x, y)
            checks.append(f"- {subject.title}, T = {t}: loss {loss:.1e}, gradients {gradient:.1e}")
            timings = interleave(variants, seconds=given.seconds, rounds=given.rounds, warmup=1)
            del variants
            done = roofline.work(subject.network, x[:4])
        faster = ratios(timings, NAIVE, "wall")
        once = done.once / plain
        multiply_adds = {NAIVE: done.dense / plain, OURS: once, HALF: once, TWIN: 1.0}
        for variant, timing in timings.items():
            table.add(
                *(subject.title, t, variant, timing.wall_ms / 1e3, timing.cpu_ms / 1e3, faster[variant]),
                *(timing.wall_ms / timings[TWIN].wall_ms, multiply_adds[variant]),
                EPOCH_CLIPS / given.batch * timing.wall_ms / 60e3,
                None if given.no_memory else peak(given, name, t, variant),
            )
        print(f"{subject.title} T={t} done", flush=True)


def _child(given: argparse.Namespace) -> None:
    name, num_steps, variant = given.child
    subject = load_subject(name, given)
    x, y = batch_of(subject, given)
    with steps(subject.network, int(num_steps)):
        step = make_step(variant, subject, x, y)
    print(json.dumps({"mib": growth(step)}))


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__)
    add_options(parser, models=("m5", "resmel"))
    parser.add_argument("--steps", type=int, nargs="+", default=[15, 5])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory, which takes its time")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = begin(parser)
    if given.child:
        _child(given)
        return
    torch.set_num_threads(given.threads)
    report = Report("training", "A training step", given.out)
    report.add(f"Batch {given.batch}, {given.threads} threads; an epoch has {EPOCH_CLIPS:,} clips.")
    table = Table(
        *("model", "T", "variant", "wall s a step", "CPU s a step", "times faster than naive"),
        *("time over CNN twin", "multiply-adds over CNN twin", "minutes an epoch", "peak memory, MiB"),
    )
    checks: list[str] = []
    for name in given.models:
        measure(given, name, table, checks)
    report.add(table)
    report.add(disturbance(given.threads))
    report.add(
        "In training the loop takes the batch norms' statistics step by step, ours over all steps at once. "
        "With those at rest the two are the same network; differences of the losses, and of the gradients "
        "relative to the largest of their layer:"
    )
    report.add("\n".join(checks))


if __name__ == "__main__":
    main()
