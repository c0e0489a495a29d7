"""How fast is each engine, against the paper's loop and against the CNN twin?

For each model, number of steps and batch, all variants are timed in turn on the same real clips. With
`--parts` some of: cpu (one thread, CPU time), wall (two threads), roofline, memory, wav.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks import memory, roofline, wav
from benchmarks.common import Timing, begin, disturbance, interleave, load_clips, make_parser, ratios
from benchmarks.naive import NaiveNetwork, check_equal
from benchmarks.report import Report, Table
from benchmarks.subjects import (
    ENGINE_NAMES,
    SUBJECTS,
    Subject,
    add_options,
    load_subject,
    make_engines,
    say_missing,
    spike_rates,
    steps,
)
from snn_voice_hub.hub.bundled import bundled_names

NAIVE = "naive loop (snnTorch)"
TWIN = "CNN twin, torch"
TWIN_ONNX = "CNN twin, onnx"
PARTS = ("cpu", "wall", "roofline", "memory", "wav")


def variants(
    subject: Subject, features: Tensor, engines: Sequence[str]
) -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
    """What is timed for one model with its present number of steps, and which engines can't be made."""
    naive = NaiveNetwork(subject.network)
    made, missing = make_engines(subject.network, engines)
    # An engine in bfloat16 is to be held against a twin in bfloat16.
    halves = [name for name in ("torch+bf16",) if any(engine.endswith("bf16") for engine in made)]
    twins, _ = make_engines(subject.cnn, ("torch", "onnx", *halves))
    calls: dict[str, Callable[[], object]] = {NAIVE: lambda: naive.logits(features)}
    for name, engine in made.items():
        calls[name] = functools.partial(engine, features)
    for name, engine in twins.items():
        calls[f"CNN twin, {name}"] = functools.partial(engine, features)
    return calls, missing


def new_table(clock: str) -> Table:
    """An empty table of timings; ratios are by `clock`."""
    by = "CPU" if clock == "cpu" else "wall"
    return Table(
        *("model", "T", "spikes", "batch", "variant", "CPU ms", "least CPU ms", "wall ms"),
        *(f"times faster than naive ({by})", "time over CNN twin", "time over CNN twin, onnx"),
    )


def add_rows(
    table: Table,
    title: str,
    num_steps: int,
    rates: dict[str, float],
    batch: int,
    timings: dict[str, Timing],
    clock: str,
) -> None:
    """One row a variant, with the mean spike rate on which its speed depends."""
    spikes = f"{sum(rates.values()) / len(rates):.1%}"
    faster = ratios(timings, NAIVE, clock)
    for name, timing in timings.items():
        over = [
            timing.ms(clock) / timings[twin].ms(clock) if twin in timings else None
            for twin in (TWIN, TWIN_ONNX)
        ]
        table.add(
            *(title, num_steps, spikes, batch, name),
            *(timing.cpu_ms, timing.cpu_min_ms, timing.wall_ms, faster[name], *over),
        )


def describe_rates(subject: Subject, num_steps: int, rates: dict[str, float]) -> str:
    """The spike rates of one model in words."""
    mean = sum(rates.values()) / len(rates)
    layers = ", ".join(f"`{name}` {rate:.1%}" for name, rate in rates.items())
    return f"- {subject.title}, T = {num_steps}: mean over the layers {mean:.1%}; {layers}"


def time_models(given: argparse.Namespace, report: Report, threads: int) -> None:
    """The tables of one number of threads: timings, and for one thread spike rates and roofline."""
    clock = "cpu" if threads == 1 else "wall"
    torch.set_num_threads(threads)
    table, shares = new_table(clock), roofline.new_table()
    have = roofline.rates() if threads == 1 and "roofline" in given.parts else None
    worked: list[tuple[str, int, int, dict[str, Timing], roofline.Work]] = []
    missing: dict[str, dict[str, str]] = {}
    rates: list[str] = []
    for name in given.models:
        subject = load_subject(name, given)
        x = subject.features(load_clips(given.data, max(given.batches), given.cache))
        for t in given.steps:
            with steps(subject.network, t), torch.inference_mode():
                check_equal(NaiveNetwork(subject.network), subject.network, x[:2])
                fired = spike_rates(subject.network, x)
                if threads == 1:
                    rates.append(describe_rates(subject, t, fired))
                for batch in given.batches:
                    calls, missing[subject.title] = variants(subject, x[:batch], given.engines)
                    timings = interleave(calls, seconds=given.seconds, rounds=given.rounds)
                    add_rows(table, subject.title, t, fired, batch, timings, clock)
                    if have is not None:
                        done = roofline.work(subject.network, x[:batch])
                        timed = {k: v for k, v in timings.items() if not k.startswith("CNN")}
                        worked.append((subject.title, t, batch, timed, done))
                        have = roofline.better(have, roofline.rates())
                    print(f"{subject.title} T={t} batch={batch} threads={threads} done", flush=True)
    torch.set_num_threads(1)
    report.add(f"## {threads} thread{'s' if threads > 1 else ''}")
    report.add(table)
    report.add(disturbance(threads))
    report.add(say_missing(missing))
    if rates:
        report.add("\n".join(["Spikes a neuron and step on these clips:", "", *rates]))
    if have is not None:
        report.add("## What the machine could do")
        report.add(roofline.describe(have))
        for row in worked:
            roofline.add_rows(shares, *row, have)
        report.add(shares)


def describe_weights(given: argparse.Namespace) -> str:
    """Which weights were used, in words."""
    subjects = [load_subject(name, given) for name in given.models]
    return "Weights: " + "; ".join(f"{s.title} {s.origin}, its CNN twin {s.twin_origin}" for s in subjects)


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__)
    add_options(parser, models=("m5", "piczak", "resmel"))
    memory.add_memory_options(parser)
    parser.add_argument("--all", action="store_true", help="all models, also the small ones")
    parser.add_argument("--steps", type=int, nargs="+", default=[15, 5, 1])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--engines", nargs="+", choices=ENGINE_NAMES)
    parser.add_argument("--compile", action="store_true", help="also torch.compile, which takes minutes")
    parser.add_argument("--threads", type=int, default=2, help="threads of the second table")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = begin(parser)
    if given.all:
        given.models = list(SUBJECTS)
    if given.engines is None:
        given.engines = [name for name in ENGINE_NAMES if given.compile or name != "compile"]
    report = Report("engine", "Engines against the naive loop and the CNN twin", given.out)
    report.add(describe_weights(given))
    if {"cpu", "roofline"} & set(given.parts):
        time_models(given, report, 1)
    if "wall" in given.parts:
        time_models(given, report, given.threads)
    if "memory" in given.parts:
        report.add("## Peak memory of one batch")
        report.add("MiB beyond the loaded network, each variant in a process of its own.")
        report.add(memory.table(given, given.models, given.steps, given.engines))
    if "wav" in given.parts:
        report.add("## From WAV bytes to a word")
        clips = load_clips(given.data, 32, given.cache)
        report.add("One thread, batch 1, 32 real clips in turn, medians of CPU milliseconds.")
        report.add(wav.table(given, bundled_names(), given.engines, clips))


if __name__ == "__main__":
    main()
