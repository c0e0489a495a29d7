"""Does everything work on this GPU, is it right, and how fast is it? At most eight minutes, nothing beside.

`make gpu-check` installs and runs it. Where nothing can be installed, any Python that has the packages which
the library needs does it: `make gpu-check GPU_PYTHON=python3`; what the service needs is left out if it is
missing. Figures go to benchmarks/results/gpu.md, from a GPU alone. It ends with 1 where an answer is wrong.
`--device cpu --quick` goes the same way in a minute, to see that the way can be gone.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.common import RESULTS
from benchmarks.gpu_check import http, load, memory, parity, streams, training
from benchmarks.gpu_check.clock import Budget, LeftOut, WrongAnswer
from benchmarks.report import Report
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.voice import SnnVoice

# Of one H200, with the default.
GOAL = 20_000


@dataclass
class Check:
    """What is looked at.

    Attributes:
        device: Where.
        quick: Only whether it can be done.
        budget: The time.
    """

    device: torch.device
    quick: bool
    budget: Budget

    # Each part gives paragraphs and tables, as they are there.

    def golden(self) -> Iterator[object]:
        """The paper's networks, against the paper's code."""
        table, late = parity.compare_golden(self.device, self.budget, quick=self.quick)
        yield table
        if late:
            yield f"There was no time for {late} cases."

    def engines(self) -> Iterator[object]:
        """The bundled models, each engine against the loop on the CPU."""
        engines = ("torch",) if self.quick else ("torch", "compile")
        table, left = parity.compare_engines(self.device, self.budget, engines, quick=self.quick)
        yield table
        yield "\n".join(f"- left out: {each}" for each in left)

    def streams(self) -> Iterator[object]:
        """The network on frames in streams."""
        words = streams.check_events(self.device)
        yield f"Heard in a sentence, in whatever pieces, as on the CPU: {', '.join(words) or 'nothing'}."
        yield streams.measure(self.device, self.budget, (2,) if self.quick else (1, 64, 512, 2048))

    def library(self) -> Iterator[object]:
        """The default alone, batch after batch."""
        sizes, engines, seconds = [1, 32, 256, 1024, 4096], ["torch", "compile"], 2.0
        if self.quick:
            sizes, engines, seconds = [1, 4], ["torch"], 0.1
        table, most = load.best_rate(self.device, self.budget, sizes, engines, seconds)
        yield table
        yield self._beside_goal(most)

    def queue(self) -> Iterator[object]:
        """The default through the service's queue, in this process."""
        cases = (
            ((2, 1, 4), (2, 32, 32))
            if self.quick
            else (
                *((1, 1, 32), (64, 1, 32), (512, 1, 256)),
                *((8, 32, 256), (16, 128, 1024), (16, 256, 2048)),
            )
        )
        table, most = load.queue_table(self.device, self.budget, cases, 0.3 if self.quick else 5.0)
        yield table
        yield self._beside_goal(most)

    def http(self) -> Iterator[object]:
        """`snn-voice serve`, over HTTP: one process of Python parses and decodes for all."""
        clients, seconds = ((2,), 0.5) if self.quick else ((1, 32, 128), 6.0)
        yield http.measure(str(self.device), self.budget, clients, seconds)

    def training(self) -> Iterator[object]:
        """Training steps, batch 64."""
        models, batch = ((DEFAULT_MODEL,), 4) if self.quick else ((DEFAULT_MODEL, "m5-snn", "tempo-snn"), 64)
        yield training.measure(self.device, self.budget, models, batch, 0.3 if self.quick else 3.0)

    def memory(self) -> Iterator[object]:
        """Out of memory."""
        yield memory.halved(self.device, 32 if self.quick else 1024)

    def devices(self) -> Iterator[object]:
        """Several devices behind one queue."""
        count = torch.cuda.device_count() if self.device.type == "cuda" else 2
        if count < 2:
            raise LeftOut("there is one device")
        names = [f"cuda:{i}" for i in range(count)] if self.device.type == "cuda" else ["cpu"] * count
        voices = [
            SnnVoice.from_pretrained(DEFAULT_MODEL, device=name).requires_grad_(False) for name in names
        ]
        callers, windows, batch, seconds = (4, 32, 32, 0.3) if self.quick else (16 * count, 128, 1024, 5.0)
        for used in (1, count):
            seen = load.served(voices[:used], callers, windows, seconds, batch)
            yield f"- {used} of {count}: {seen.rate:,.0f} clips/s, p99 {seen.p99_ms:.0f} ms"

    def _beside_goal(self, most: float) -> str:
        if self.device.type != "cuda":
            return ""
        return f"At most {most:,.0f} clips a second; the goal on one H200 is {GOAL:,}."


# Part, its seconds at most, and what it takes at least.
PARTS = (
    ("golden", 60, 5),
    ("engines", 130, 10),
    ("streams", 40, 5),
    ("library", 70, 5),
    ("queue", 50, 5),
    ("http", 60, 30),
    ("training", 40, 10),
    ("memory", 30, 5),
    ("devices", 30, 10),
)


def machine_of(device: torch.device) -> str:
    """The GPU, for whoever compares."""
    if device.type != "cuda":
        return f"- Device: {device}"
    found = torch.cuda.get_device_properties(device)
    cudnn: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return (
        f"- GPU: {torch.cuda.device_count()} of {found.name}, {found.total_memory / 2**30:.0f} GiB, "
        f"{found.multi_processor_count} multiprocessors; CUDA {torch.version.cuda}, "
        f"cuDNN {cudnn}"
    )


def _run(part: Callable[[], Iterator[object]], report: Report, wrong: list[str]) -> None:
    """One part into the report; what goes wrong does not end the others."""
    try:
        for said in part():
            report.add(said)
    except LeftOut as error:
        report.add(f"Left out: {error}.")
    except WrongAnswer as error:
        wrong.append(str(error))
        report.add(f"**Wrong: {error}**")
    except torch.OutOfMemoryError as error:
        report.add(f"Left out: this device has no memory for it: {str(error).splitlines()[0]}")
    except Exception as error:  # the figures that there are shall not be lost
        traceback.print_exc()
        wrong.append(f"{type(error).__name__}: {error}")
        report.add(f"**It broke: {wrong[-1].splitlines()[0]}**")


def main(argv: list[str] | None = None) -> int:
    """Command line; gives the exit code."""
    names = [name for name, _, _ in PARTS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to go the way without a GPU")
    parser.add_argument("--minutes", type=float, default=7.5, help="for all of it, but a grace of 20 s")
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only whether it can be done")
    parser.add_argument("--out", type=Path, help="where gpu.md is written; from a GPU benchmarks/results")
    given = parser.parse_args(argv)
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error(
            "no GPU is here that this PyTorch can use; --device cpu --quick goes the way without one"
        )
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda:0")
    logging.getLogger("snn_voice_hub").setLevel(logging.ERROR)  # the report says which engine is missing
    real = device.type == "cuda" and not given.quick
    with tempfile.TemporaryDirectory() as elsewhere:
        out = given.out or (RESULTS if real else Path(elsewhere))
        return check(Check(device, given.quick, Budget(60 * given.minutes)), given.parts, out)


def check(what: Check, parts: list[str], out: Path) -> int:
    """Go through the parts, and write gpu.md as it grows.

    Args:
        what: Device and sizes.
        parts: Which.
        out: Where.

    Returns:
        0, or 1 where something is wrong.
    """
    report = Report("gpu", "On a GPU", out)
    wrong: list[str] = []
    report.add(machine_of(what.device))
    stop_watching = what.budget.watch(report.add)
    for name, most, least in PARTS:
        if name not in parts:
            continue
        part: Callable[[], Iterator[object]] = getattr(what, name)
        report.add(f"## {(part.__doc__ or name).strip().rstrip('.')}")
        began = time.monotonic()

        def run(name: str = name, most: int = most, least: int = least) -> Iterator[object]:
            what.budget.begin_part(most, 0 if what.quick else least)
            yield from getattr(what, name)()

        _run(run, report, wrong)
        gc.collect()
        torch.cuda.empty_cache()  # what one part has kept is not to hinder the next
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
    stop_watching()
    report.add("\n".join(f"- wrong: {each}" for each in wrong) or "Nothing is wrong.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
