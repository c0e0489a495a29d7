"""What does the memory allocator cost a training step?

A step over many time steps makes and drops tensors of hundreds of megabytes. The C library's malloc returns
each of them to the system at once, and the system fills the next one with zeros, page by page. Each setting
runs in processes of its own, which take turns.
"""

from __future__ import annotations

import argparse
import ctypes.util
import json
import resource
import statistics
import time

import torch

from benchmarks.common import ALLOCATOR, begin, disturbance, in_a_process, make_parser
from benchmarks.memory import resident
from benchmarks.report import Report, Table
from benchmarks.subjects import CHILD_OPTIONS, SUBJECTS, add_weights, load_subject, steps, title_of
from benchmarks.training import OURS, batch_of, make_step

DEFAULT, KEPT, HUGE, TCMALLOC, JEMALLOC = (
    *("the C library's", "the C library's, memory kept", "the C library's, PyTorch's huge pages"),
    *("tcmalloc", "jemalloc"),
)
_PRELOADED = {TCMALLOC: "tcmalloc_minimal", JEMALLOC: "jemalloc"}


def settings() -> tuple[dict[str, dict[str, str]], list[str]]:
    """Environment of each setting that this machine can run, and the libraries that it lacks."""
    found: dict[str, dict[str, str]] = {
        DEFAULT: {},
        KEPT: dict(ALLOCATOR),
        HUGE: {"THP_MEM_ALLOC_ENABLE": "1"},
    }
    missing: list[str] = []
    for name, library in _PRELOADED.items():
        if file := ctypes.util.find_library(library):
            found[name] = {"LD_PRELOAD": file}
        else:
            missing.append(name)
    return found, missing


def case(text: str) -> tuple[str, int]:
    """`m5:5` as a network and its number of time steps."""
    name, _, num_steps = text.partition(":")
    if name not in SUBJECTS or not num_steps.isdecimal() or int(num_steps) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: network:T expected, networks: {', '.join(SUBJECTS)}")
    return name, int(num_steps)


def _child(given: argparse.Namespace) -> None:
    """Time some steps of one network under this process's allocator, and print the figures as JSON."""
    name, num_steps = case(given.child)
    subject = load_subject(name, given)
    x, y = batch_of(subject, given)
    walls, cpus = [], []
    with steps(subject.network, num_steps):
        step = make_step(OURS, subject, x, y)
        for _ in range(2):
            step()  # the first steps meet memory that nobody has used yet
        kernel = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        for _ in range(given.repeat):
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        kernel = resource.getrusage(resource.RUSAGE_SELF).ru_stime - kernel
    figures = {
        "wall": statistics.median(walls),
        "cpu": statistics.median(cpus),
        "kernel": kernel / sum(cpus),
        "peak": resident("VmHWM"),
    }
    print(json.dumps(figures))


def measure(given: argparse.Namespace, subject: str, setting: dict[str, str]) -> dict[str, float]:
    """One turn of one setting in a process of its own: seconds a step, the kernel's share, MiB at most."""
    return in_a_process(
        "benchmarks.allocators",
        given,
        (subject,),
        options=(*CHILD_OPTIONS, "batch", "threads", "repeat"),
        environment=setting | {"OMP_NUM_THREADS": str(given.threads)},
    )


def add_rows(
    table: Table, given: argparse.Namespace, name: str, num_steps: int, found: dict[str, dict[str, str]]
) -> None:
    """The rows of one network: every setting of `found`, in turns."""
    turns: dict[str, list[dict[str, float]]] = {setting: [] for setting in found}
    for number in range(given.turns):
        order = list(found)
        for setting in order[number % len(order) :] + order[: number % len(order)]:
            turns[setting].append(measure(given, f"{name}:{num_steps}", found[setting]))
    figures = {
        setting: {key: statistics.median(turn[key] for turn in rows) for key in rows[0]}
        for setting, rows in turns.items()
    }
    for setting, row in figures.items():
        table.add(
            *(title_of(SUBJECTS[name]), num_steps, setting, row["wall"], row["cpu"]),
            *(figures[DEFAULT]["wall"] / row["wall"], 100 * row["kernel"], row["peak"]),
        )
    print(f"{name} T={num_steps} done", flush=True)


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__)
    parser.set_defaults(malloc="default")
    add_weights(parser)
    parser.add_argument(
        "--cases",
        type=case,
        nargs="+",
        metavar="NETWORK:T",
        default=[("resmel", 4), ("m5", 5), ("m5", 15), ("hjh", 5), ("hjh", 15)],
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3, help="processes for each setting")
    parser.add_argument("--repeat", type=int, default=5, help="steps that a process times")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = begin(parser)
    torch.set_num_threads(given.threads)
    if given.child:
        _child(given)
        return
    report = Report("allocators", "What the allocator costs a training step", given.out)
    report.add(
        f"Batch {given.batch}, {given.threads} threads, our engine in float32; medians of {given.turns} "
        f"processes with {given.repeat} steps each."
    )
    table = Table(
        *("model", "T", "allocator", "wall s a step", "CPU s a step", "times faster than the C library's"),
        *("of it in the kernel, %", "peak memory of the process, MiB"),
    )
    found, missing = settings()
    for name, num_steps in given.cases:
        add_rows(table, given, name, num_steps, found)
    report.add(table)
    if missing:
        report.add(f"Not installed, and so not measured: {', '.join(missing)}.")
    report.add(disturbance(given.threads))


if __name__ == "__main__":
    main()
