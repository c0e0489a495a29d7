"""What the benchmarks share: the clock, the machine's description, options, real clips, the allocator."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from snn_voice_hub.machine import ALLOCATOR_SETTINGS, allocator_name, processor_name
from snn_voice_hub.training.clips import data as clips_data
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.measuring.metrics import right_answers

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
DEFAULT_DATA = ROOT.parent / "shared" / "speech_commands" / "test.tar"

# glibc's malloc returns large temporaries to the system after every operation; faulting them in again makes
# a step loop over 32 clips up to 2.5 times slower. All variants of a benchmark run with the same setting.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
_PACKAGES = ("torch", "torchaudio", "snntorch", "onnxruntime", "spikingjelly", "norse")

# A call shorter than this is repeated within its turn: one alone would be timed with caches that are full of
# the variant before it.
_TURN_SECONDS = 0.02


# --- the clock ----------------------------------------------------------------------------------------


@dataclass
class Timing:
    """Seconds of one call of one variant, one value a round.

    Attributes:
        cpu: CPU time of the process (all its threads).
        wall: Time by the clock on the wall.
    """

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    @property
    def cpu_ms(self) -> float:
        """Median CPU time in milliseconds."""
        return 1e3 * statistics.median(self.cpu)

    @property
    def wall_ms(self) -> float:
        """Median wall time in milliseconds."""
        return 1e3 * statistics.median(self.wall)

    @property
    def cpu_min_ms(self) -> float:
        """Least CPU time in milliseconds."""
        return 1e3 * min(self.cpu)

    def ms(self, clock: str) -> float:
        """Median milliseconds by `clock`, "cpu" or "wall"."""
        return self.cpu_ms if clock == "cpu" else self.wall_ms


def interleave(
    variants: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 20.0,
    rounds: int = 5,
    max_rounds: int = 200,
    warmup: int = 2,
) -> dict[str, Timing]:
    """Time variants against each other, so that what else the machine does meets all of them alike.

    After the warm-up every variant has one turn a round, and another begins each round. A turn is one call;
    of a call that takes less than 20 ms it is as many as fill them, and their mean is the value.

    Args:
        variants: Name -> what to call.
        seconds: Stop after this time, once `rounds` rounds are done.
        rounds: Rounds at least.
        max_rounds: Rounds at most.
        warmup: Rounds before, that do not count.

    Returns:
        The timings by name, in the order of `variants`.
    """
    timings = {name: Timing() for name in variants}
    names = list(variants)
    for _ in range(warmup):
        for name in names:
            variants[name]()
    began = time.perf_counter()
    for number in range(max(rounds, max_rounds)):
        if number >= rounds and time.perf_counter() - began > seconds:
            break
        first = number % max(1, len(names))
        for name in names[first:] + names[:first]:
            cpu, wall = _turn(variants[name])
            timings[name].cpu.append(cpu)
            timings[name].wall.append(wall)
    return timings


def _turn(call: Callable[[], object]) -> tuple[float, float]:
    calls = 0
    cpu, wall = time.process_time(), time.perf_counter()
    while True:
        call()
        calls += 1
        spent = time.perf_counter() - wall
        if spent >= _TURN_SECONDS:
            return (time.process_time() - cpu) / calls, spent / calls


def ratios(timings: Mapping[str, Timing], baseline: str, clock: str = "cpu") -> dict[str, float]:
    """How many times faster than `baseline` each variant is, by medians of `clock` ("cpu" or "wall")."""
    base = timings[baseline].ms(clock)
    return {name: base / timing.ms(clock) for name, timing in timings.items()}


# --- the machine --------------------------------------------------------------------------------------


def allocator() -> str:
    """Which allocator this process has, and what is set for it."""
    return allocator_name() or "the C library's defaults"


def machine() -> str:
    """The machine and the versions that a result was made with, as Markdown lines."""
    versions = [f"{name} {_version(name)}" for name in _PACKAGES]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return "\n".join(
        (
            f"- CPU: {processor_name()}, {os.cpu_count()} cores; {platform.system()} {platform.release()}; "
            f"load average at the start {load}",
            f"- Python {platform.python_version()}, {', '.join(versions)}",
            f"- Allocator: {allocator()}",
        )
    )


def disturbance(threads: int) -> str:
    """A warning where other processes compete for the cores now, else nothing.

    Threads that wait for each other turn in circles; where one of them has lost its core, the other burns
    time, and a call may take ten times as long.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load <= threads + 0.7:
        return ""
    return (
        f"**Other processes were running** (load average {load:.1f} at the end, with {threads} threads of "
        "this one): do not trust these times."
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def use_allocator(setting: str) -> None:
    """Start the process again under `ALLOCATOR`, unless it runs so or `setting` is "default".

    Any of the variables that is set already counts as the user's choice, and is left alone.
    """
    if setting == "default" or any(name in os.environ for name in ALLOCATOR):
        return
    sys.stdout.flush()
    # orig_argv holds the interpreter's own options and `-m`, which sys.argv does not.
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **ALLOCATOR})


# --- the command line ---------------------------------------------------------------------------------


def make_parser(description: str | None, *, clips: int | None = None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have.

    Args:
        description: What the benchmark answers.
        clips: Default of `--clips`; without it there is no such option.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="real clips: a folder of word/clip.wav, or a tar of one")
    parser.add_argument("--cache", type=Path, default=_cache_folder(), help="where decoded clips are kept")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the tables are written")
    parser.add_argument("--malloc", choices=("kept", "default"), default="kept", help="glibc's allocator")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for one comparison")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of one comparison, at least")
    if clips is not None:
        parser.add_argument("--clips", type=int, default=clips, help="number of real clips")
    return parser


def begin(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse, start again under the allocator's setting, and use one thread."""
    given = parser.parse_args(argv)
    use_allocator(given.malloc)
    torch.set_num_threads(1)
    logging.getLogger("snn_voice_hub").setLevel(logging.ERROR)  # the tables say which engine is missing
    return given


def begin_training(
    parser: argparse.ArgumentParser, parts: str, argv: Sequence[str] | None = None
) -> argparse.Namespace:
    """The same for what trains: with all threads, `--runs`, and a corpus that `--data` has to name.

    Args:
        parser: Of `make_parser`.
        parts: Archives that the corpus must have, for the message.
        argv: The command line.
    """
    parser.add_argument("--runs", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args(argv)
    use_allocator(given.malloc)
    torch.set_num_threads(given.threads)
    if given.data is None:
        stop(f"--data names the corpus: a folder with {parts}")
    return given


def stop(message: str) -> NoReturn:
    """End with a message and status 2."""
    print(message, file=sys.stderr)
    raise SystemExit(2)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "snn-voice-hub-benchmarks"


def in_a_process(
    module: str,
    given: argparse.Namespace,
    child: Sequence[object],
    *,
    options: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Run a benchmark's `--child` in a process of its own, under no allocator but that of `environment`.

    Args:
        module: The benchmark, such as `benchmarks.memory`.
        given: The options it was started with.
        child: What follows `--child`.
        options: Which of `given` the process gets too.
        environment: Variables of the process beside those of this one.

    Returns:
        The figures that it printed last, as JSON.

    Raises:
        ChildFailed: It ended with another status than 0; the message is its last line.
    """
    command = [sys.executable, "-m", module, "--malloc", "default"]
    for option in options:
        if getattr(given, option) is not None:
            command += [f"--{option.replace('_', '-')}", str(getattr(given, option))]
    command += ["--child", *map(str, child)]
    chosen = (*ALLOCATOR_SETTINGS, "LD_PRELOAD")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(chosen)}
    done = subprocess.run(
        command, cwd=ROOT, env=kept | dict(environment or {}), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise ChildFailed(lines[-1] if lines else f"status {done.returncode}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


class ChildFailed(Exception):  # noqa: N818  (it has happened)
    """A process that `in_a_process` started has failed."""


# --- real clips ---------------------------------------------------------------------------------------


def clip_source(data: Path | None) -> Path:
    """The folder or tar to read clips from; ends with a message where there is none."""
    if data is None and not DEFAULT_DATA.exists():
        stop(
            "No recordings found. Pass --data SOURCE: a folder of word/clip.wav or a tar of one, such as "
            "the test clips of Speech Commands (https://arxiv.org/abs/1804.03209)."
        )
    return data or DEFAULT_DATA


def load_clips(data: Path | None, count: int | None = None, cache: Path | None = None) -> Clips:
    """Real clips, the same ones each time: `count` of them spread evenly over the source.

    Args:
        data: A folder of `word/clip.wav` or a tar of one; None for the default.
        count: How many; None for all.
        cache: Where decoded clips are kept.
    """
    clips = clips_data.load_clips(clip_source(data), cache)
    if count is None or count >= len(clips):
        return clips
    picks = np.linspace(0, len(clips) - 1, count).round().astype(np.int64)
    return clips.pick(picks)


@torch.inference_mode()
def in_batches(call: Callable[[Tensor], Tensor], x: Tensor, size: int = 32) -> Tensor:
    """What `call` gives for the parts of a batch `[n, ...]`, one after the other."""
    return torch.cat([call(part) for part in torch.split(x, size)])


def share_right(logits: Tensor, clips: Clips, labels: Sequence[str]) -> float:
    """Share of the clips whose best word is right."""
    return float(right_answers(logits, clips.labels, labels).float().mean())
