"""How much memory does one batch take, beyond what the loaded network takes?

Each variant runs in a process of its own: the peak of its resident memory while it runs, less what was
resident before the first call. These processes use the C library's own allocator settings, under which freed
memory is given back, so that what loading left behind does not hide what running takes.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.common import ChildFailed, begin, in_a_process, load_clips, make_parser
from benchmarks.naive import NaiveNetwork
from benchmarks.report import Report, Table
from benchmarks.subjects import CHILD_OPTIONS, ENGINE_NAMES, add_options, load_subject, make_engines, steps

_STATUS = Path("/proc/self/status")
NAIVE, TWIN = "naive", "CNN twin"


def resident(field: str = "VmRSS") -> float:
    """MiB of resident memory: "VmRSS" for now, "VmHWM" for the peak."""
    if not _STATUS.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"{_STATUS} has no {field}")


def settle() -> float:
    """Give back what is free, forget the peak so far, and return MiB of resident memory."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):  # elsewhere than on Linux the peak is that of the whole life
        Path("/proc/self/clear_refs").write_text("5")
    return resident()


def growth(call: Callable[[], object]) -> float:
    """MiB by which the peak of resident memory during two calls exceeds what was resident before them."""
    before = settle()
    call()
    call()
    return max(0.0, resident("VmHWM") - before)


def _child(given: argparse.Namespace) -> None:
    """Measure one variant and print the figure as JSON."""
    name, num_steps, batch = given.child[0], int(given.child[1]), int(given.child[2])
    subject = load_subject(name, given)
    clips = load_clips(given.data, batch, given.cache)
    x = subject.features(clips)
    with steps(subject.network, num_steps), torch.inference_mode():
        call = _variant(given.child[3], subject.network, subject.cnn, x)
        if given.child[3] == "compile":
            call()  # the compiler's own memory does not count
        print(json.dumps({"mib": growth(call)}))


def _variant(variant: str, network: object, cnn: object, x: Tensor) -> Callable[[], object]:
    from snn_voice_hub.models.base import Network
    from snn_voice_hub.models.network import SpikingNetwork

    assert isinstance(network, SpikingNetwork)
    assert isinstance(cnn, Network)
    if variant == NAIVE:
        naive = NaiveNetwork(network)
        return lambda: naive.logits(x)
    if variant == TWIN:
        return lambda: cnn(x)
    engines, missing = make_engines(network, [variant])
    if variant in missing:
        raise SystemExit(f"{variant}: {missing[variant]}")
    return lambda: engines[variant](x)


def measure(
    given: argparse.Namespace, name: str, num_steps: int, batch: int, variant: str
) -> tuple[float | None, str]:
    """MiB that one variant takes, measured in a process of its own, or None and why not."""
    child, one = (name, num_steps, batch, variant), {"OMP_NUM_THREADS": "1"}
    try:
        figures = in_a_process("benchmarks.memory", given, child, options=CHILD_OPTIONS, environment=one)
    except ChildFailed as error:
        return None, str(error)
    return figures["mib"], ""


def table(
    given: argparse.Namespace, models: Sequence[str], num_steps: Sequence[int], engines: Sequence[str]
) -> str:
    """The table of `models` at each number of steps, at batch 32."""
    result = Table("model", "T", "batch", *(f"{v}, MiB" for v in (NAIVE, *engines, TWIN)))
    reasons: list[str] = []
    for name in models:
        for t in num_steps:
            cells: list[float | None] = []
            for variant in (NAIVE, *engines, TWIN):
                mib, reason = measure(given, name, t, given.memory_batch, variant)
                cells.append(mib)
                if reason and reason not in reasons:
                    reasons.append(reason)
            result.add(load_subject(name, given).title, t, given.memory_batch, *cells)
    return "\n".join([str(result), *(["", *(f"- {reason}" for reason in reasons)] if reasons else [])])


def add_memory_options(parser: argparse.ArgumentParser) -> None:
    """Options that `table` reads."""
    parser.add_argument("--memory-batch", type=int, default=32, help="batch of the memory table")


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__)
    add_options(parser, models=("m5", "piczak", "resmel"))
    add_memory_options(parser)
    parser.add_argument("--steps", type=int, nargs="+", default=[15, 5])
    engines = [name for name in ENGINE_NAMES if name != "compile"]
    parser.add_argument("--engines", nargs="+", choices=ENGINE_NAMES, default=engines)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = begin(parser)
    if given.child:
        _child(given)
        return
    report = Report("memory", "Peak memory of one batch", given.out)
    report.add(table(given, given.models, given.steps, given.engines))


if __name__ == "__main__":
    main()
