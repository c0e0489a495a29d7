"""Many clips: is `classify(list)` faster than a loop over `classify()`, and does its memory stay the same?

The clips are written as WAV files into a temporary folder. The memory table reads them over and over, each
number of clips in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from unittest import mock

import soundfile
import torch

from benchmarks.common import begin, in_a_process, interleave, make_parser
from benchmarks.features import recordings
from benchmarks.memory import resident, settle
from benchmarks.report import Report, Table
from snn_voice_hub.inference import pipeline
from snn_voice_hub.inference.decode import decoding_threads
from snn_voice_hub.voice import SnnVoice

LOOP, ALONE, AHEAD = "loop over classify()", "classify(list), no decoding threads", "classify(list)"


def write_files(given: argparse.Namespace, folder: Path) -> list[Path]:
    """The clips as WAV files."""
    files = []
    for i, wave in enumerate(recordings(given, given.clips)):
        path = folder / f"{i:05d}.wav"
        soundfile.write(path, wave.numpy(), 16_000)
        files.append(path)
    return files


def variants(model: SnnVoice, files: list[Any]) -> dict[str, Callable[[], object]]:
    """What is timed."""

    def alone() -> object:
        with mock.patch.object(pipeline, "decoding_threads", return_value=0):
            return model.classify(files, progress=False)

    return {
        LOOP: lambda: [model.classify(file) for file in files],
        ALONE: alone,
        AHEAD: lambda: model.classify(files, progress=False),
    }


def speed(given: argparse.Namespace, model: SnnVoice, files: list[Path]) -> Table:
    """The table of clips a second."""
    table = Table("threads", "variant", "clips/s", "wall ms a clip", "CPU ms a clip", "times faster")
    for threads in given.threads:
        torch.set_num_threads(threads)
        timings = interleave(
            variants(model, files), seconds=given.seconds, rounds=given.rounds, warmup=1, max_rounds=50
        )
        for name, timing in timings.items():
            wall = timing.wall_ms / len(files)
            faster = timings[LOOP].wall_ms / timing.wall_ms
            table.add(threads, name, 1000 / wall, wall, timing.cpu_ms / len(files), faster)
    return table


def memory(given: argparse.Namespace, folder: Path) -> Table:
    """The table of peak memory by number of clips."""
    table = Table("clips", "of", "peak MiB while classifying", "before")
    one = {"OMP_NUM_THREADS": "1"}
    for kind in ("list", "generator"):
        for count in given.counts:
            arguments = (kind, count, folder)
            found = in_a_process("benchmarks.classify", given, arguments, options=("model",), environment=one)
            table.add(count, kind, round(found["peak"]), round(found["before"]))
    return table


def child(model: SnnVoice, kind: str, count: int, folder: Path) -> None:
    """Classify `count` clips and print the peak memory as JSON."""
    files: list[Any] = sorted(folder.iterdir())
    clips: Iterator[Any] = islice(cycle(files), count)
    model.classify(files[:64])  # what stays of the first batches is no question of the number of clips
    before = settle()
    answers = model.classify_each(list(clips) if kind == "list" else clips, progress=False)
    assert sum(1 for _ in answers) == count
    print(json.dumps({"peak": resident("VmHWM"), "before": before}))


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__, clips=500)
    parser.add_argument("--model", default="resmel-snn", help="bundled model")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="PyTorch's threads")
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 5000], help="clips, for memory")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = begin(parser)
    model = SnnVoice.from_pretrained(given.model).requires_grad_(False)
    if given.child:
        kind, count, folder = given.child
        child(model, kind, int(count), Path(folder))
        return
    report = Report("classify", "Many clips", given.out)
    report.add(
        f"`{given.model}`, engine {model.engine_info()['engine']}; {given.clips} WAV files; medians; "
        f"{decoding_threads()} decoding threads. `threads` are PyTorch's."
    )
    with tempfile.TemporaryDirectory() as name:
        files = write_files(given, Path(name))
        report.add(speed(given, model, files))
        report.add(memory(given, Path(name)))


if __name__ == "__main__":
    main()
