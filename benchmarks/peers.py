"""Is this library faster than snnTorch, SpikingJelly and Norse, with the same weights?

SpikingJelly and Norse run in multi-step form, without gradients, with batch norm folded and the input layer
run once (see `peer_nets`); SpikingJelly's neurons have no kernel of their own on the CPU, so this is its
PyTorch reference. With `--compile` both run under `torch.compile` too.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import peer_nets
from benchmarks.common import Timing, begin, disturbance, interleave, load_clips, make_parser, ratios
from benchmarks.naive import NaiveNetwork, check_equal
from benchmarks.report import Report, Table
from benchmarks.subjects import (
    ENGINE_NAMES,
    Subject,
    add_options,
    load_subject,
    make_engines,
    say_missing,
    steps,
)
from snn_voice_hub.models.network import SpikingNetwork

SNNTORCH = "snnTorch loop"
Call = Callable[[Tensor], Tensor]


def peers(network: SpikingNetwork, *, compiled: bool = False) -> tuple[dict[str, Call], dict[str, str]]:
    """The peers that can be made for a network, and why others can't.

    Args:
        network: Ours, with the number of steps that the peers shall have.
        compiled: Whether to add SpikingJelly and Norse under `torch.compile`.
    """
    makers: dict[str, Callable[[], Call]] = {
        SNNTORCH: lambda: NaiveNetwork(network).logits,
        "SpikingJelly LIFNode": lambda: peer_nets.make_peer(network, peer_nets.SpikingJellyKit(own=True)),
        "SpikingJelly, snnTorch's rule": lambda: peer_nets.make_peer(
            network, peer_nets.SpikingJellyKit(own=False)
        ),
        "Norse, all steps": lambda: peer_nets.make_peer(network, peer_nets.NorseKit()),
        "Norse SequentialState": lambda: peer_nets.make_norse_steps(network),
    }
    if compiled:
        makers["SpikingJelly, compiled"] = lambda: peer_nets.make_peer(
            network, peer_nets.SpikingJellyKit(own=True), compiled=True
        )
        makers["Norse, compiled"] = lambda: peer_nets.make_peer(network, peer_nets.NorseKit(), compiled=True)
    made: dict[str, Call] = {}
    missing: dict[str, str] = {}
    for name, maker in makers.items():
        try:
            made[name] = maker()
        except (ImportError, TypeError) as error:
            missing[name] = str(error)
    return made, missing


@torch.inference_mode()
def differences(subject: Subject, features: Tensor, made: dict[str, Call], table: Table) -> None:
    """One row a peer: how far its logits are from our loop under either reset rule."""
    network = subject.network
    ours = network.forward_loop(features).sum(0)
    before = peer_nets.reset_before_decay(network).forward_loop(features).sum(0)
    largest = float(ours.abs().max())
    for name, call in made.items():
        logits = call(features)
        cells: list[str | float] = []
        for reference in (ours, before):
            same = int((logits.argmax(1) == reference.argmax(1)).sum())
            cells += [float((logits - reference).abs().max()), f"{same} of {len(features)}"]
        table.add(subject.title, network.num_steps, name, *cells, largest)


def verdict(cells: dict[str, dict[str, Timing]], ours: list[str], clock: str) -> str:
    """For each of our engines: whether it beats every peer in every cell, and where it does not."""
    lines = []
    for engine in ours:
        lost = []
        if not any(engine in timings for timings in cells.values()):
            lines.append(f"- `{engine}` is not there")
            continue
        for cell, timings in cells.items():
            if engine not in timings:
                lost.append(f"{cell}: not there")
                continue
            others = {name: t.ms(clock) for name, t in timings.items() if name not in ours}
            best = min(others, key=lambda name: others[name])
            if timings[engine].ms(clock) >= others[best]:
                lost.append(f"{cell}: {best} takes {others[best]:.3g} ms, {timings[engine].ms(clock):.3g}")
        answer = "yes" if not lost else f"no ({'; '.join(lost)})"
        lines.append(f"- `{engine}` is faster than every peer in every cell: {answer}")
    return "\n".join(lines)


def time_peers(given: argparse.Namespace, report: Report, threads: int) -> None:
    """The table of one number of threads."""
    clock = "cpu" if threads == 1 else "wall"
    torch.set_num_threads(threads)
    table = Table(*("model", "T", "batch", "variant", "CPU ms", "wall ms", f"times faster than {SNNTORCH}"))
    equal = Table(
        *("model", "T", "peer", "largest difference to our loop", "same top-1"),
        *("to our loop with the reset before the decay", "same top-1", "largest logit"),
    )
    cells: dict[str, dict[str, Timing]] = {}
    missing: dict[str, dict[str, str]] = {}
    for name in given.models:
        subject = load_subject(name, given)
        x = subject.features(load_clips(given.data, max(given.batches), given.cache))
        for t in given.steps:
            with steps(subject.network, t), torch.inference_mode():
                check_equal(NaiveNetwork(subject.network), subject.network, x[:2])
                made, no_peer = peers(subject.network, compiled=given.compile)
                engines, no_engine = make_engines(subject.network, given.engines)
                missing[subject.title] = {**no_peer, **no_engine}
                if threads == 1:
                    differences(subject, x, made, equal)
                for batch in given.batches:
                    both: dict[str, Call] = {**made, **engines}
                    calls = {key: functools.partial(call, x[:batch]) for key, call in both.items()}
                    timings = interleave(calls, seconds=given.seconds, rounds=given.rounds)
                    cells[f"{subject.title} T={t} batch={batch}"] = timings
                    for key, ratio in ratios(timings, SNNTORCH, clock).items():
                        row = timings[key]
                        table.add(subject.title, t, batch, key, row.cpu_ms, row.wall_ms, ratio)
                    print(f"{subject.title} T={t} batch={batch} threads={threads} done", flush=True)
    torch.set_num_threads(1)
    report.add(f"## {threads} thread{'s' if threads > 1 else ''}, {clock} time")
    report.add(table)
    report.add(disturbance(threads))
    report.add(verdict(cells, list(given.engines), clock))
    report.add(say_missing(missing))
    if equal.rows:
        report.add("## The same function?")
        report.add(
            "SpikingJelly and Norse reset before the decay, snnTorch after it. SpikingJelly fires at the "
            "threshold, the others above it. The second pair of columns is the check that the weights were "
            "carried over rightly."
        )
        report.add(equal)


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__)
    add_options(parser, models=("m5", "piczak", "resmel"))
    parser.add_argument("--steps", type=int, nargs="+", default=[15, 5])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--engines", nargs="+", choices=ENGINE_NAMES, default=["torch", "onnx", "native"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--compile", action="store_true", help="peers under torch.compile as well")
    given = begin(parser)
    if given.compile:
        # Each neuron and shape is a compilation of the same functions; beyond the limit they run uncompiled.
        dynamo = importlib.import_module("torch._dynamo.config")
        dynamo.recompile_limit = dynamo.accumulated_recompile_limit = 1024
    warnings.filterwarnings("ignore", category=FutureWarning)  # Norse scripts its functions
    report = Report("peers", "Against snnTorch, SpikingJelly and Norse", given.out)
    subjects = [load_subject(name, given) for name in given.models]
    report.add("Weights: " + ", ".join(f"{s.title} {s.origin}" for s in subjects))
    for threads in given.threads:
        time_peers(given, report, threads)


if __name__ == "__main__":
    main()
