"""What the library takes without a service, for `benchmarks.serving`: one line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from snn_voice_hub import SnnVoice


def repeat(call: Callable[[int], object], seconds: float) -> tuple[list[float], list[float]]:
    """CPU and wall milliseconds of each of the calls that fill some seconds, after two that do not count."""
    cpu: list[float] = []
    wall: list[float] = []
    for number in range(2):
        call(number)
    end, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or not cpu:
        before = time.process_time(), time.perf_counter()
        call(number)
        cpu.append(1e3 * (time.process_time() - before[0]))
        wall.append(1e3 * (time.perf_counter() - before[1]))
        number += 1
    return cpu, wall


def main() -> None:
    """Command line: model, engine, seconds for each measurement, files."""
    name, engine, seconds, *files = sys.argv[1:]
    clips = [Path(file).read_bytes() for file in files]
    found: dict[str, dict[int, float]] = {"cpu_ms": {}, "one_ms": {}}
    # The default first: a process that once had one thread is not quite what a user has.
    for threads in dict.fromkeys((torch.get_num_threads(), 1)):
        torch.set_num_threads(threads)
        voice = SnnVoice.from_pretrained(name, engine=engine).requires_grad_(False)
        cpu, _ = repeat(lambda _, voice=voice: voice.classify(clips, progress=False), float(seconds))  # type: ignore[misc]
        _, wall = repeat(
            lambda number, voice=voice: voice.classify(clips[number % len(clips)]),  # type: ignore[misc]
            float(seconds),
        )
        found["cpu_ms"][threads] = statistics.median(cpu) / len(clips)
        found["one_ms"][threads] = statistics.median(wall)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
