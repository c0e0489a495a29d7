"""The service with many WebSocket streams at real time."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import ROOT
from benchmarks.report import Table
from benchmarks.serving.contenders import our_command
from benchmarks.serving.process import Group, Running, environment, free_port
from snn_voice_hub.voice import SnnVoice

RATE = 16_000
TEXT = (
    "`WS /stream`: streams of 80 ms messages at real time, begun evenly spread, from a process of its own on "
    "the same cores; default settings but for `--max-streams`. The delay of an event runs from when the "
    "message whose sound completes it was to be sent to when the event is read. Lost are events of the same "
    "sound heard by `stream()` that did not come, too many those that did besides. The load is late where it "
    "sent later than it was to; CPU time is that of the service while sound came."
)
_CHUNK = 0.08
_SOUNDS = 12
_START_SECONDS = 180.0

Event = tuple[str, float]


def loaded(given: argparse.Namespace, wave: npt.NDArray[np.float32]) -> Table:
    """The service under so many streams."""
    table = Table(
        *("streams", "events", "lost", "too many", "delay, median, ms", "99th percentile, ms", "most, ms"),
        *("load late, 99th percentile, ms", "CPU ms a second of sound", "cores", "PSS MiB, idle", "loaded"),
    )
    sounds = _sounds(wave, given.socket_seconds)
    expected = [_heard(SnnVoice.from_pretrained(given.model), sound) for sound in sounds]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for i, sound in enumerate(sounds):
            paths.append(str(folder / f"{i}.pcm"))
            sound.tofile(paths[-1])
        for count in given.sockets:
            table.add(*_one(given, count, paths, expected, folder))
    return table


def _sounds(wave: npt.NDArray[np.float32], seconds: float) -> list[npt.NDArray[np.int16]]:
    """Parts of the sound that begin elsewhere each, whole messages long."""
    size = round(seconds / _CHUNK) * round(_CHUNK * RATE)
    pcm = (wave.clip(-1, 1) * 32_767).astype("<i2")
    return [np.resize(np.roll(pcm, -i * len(pcm) // _SOUNDS), size) for i in range(_SOUNDS)]


def _heard(model: SnnVoice, sound: npt.NDArray[np.int16]) -> Counter[Event]:
    stream = model.stream(sample_rate=RATE, scores=False)
    return Counter((event.label, round(event.time, 3)) for event in stream.feed(sound) + stream.flush())


def _one(
    given: argparse.Namespace, count: int, paths: list[str], expected: list[Counter[Event]], folder: Path
) -> tuple[Any, ...]:
    port = free_port()
    command = [*our_command(), "--model", given.model, "--device", "cpu", "--port", str(port)]
    with Running([*command, "--max-streams", str(count)], environment({}), folder / "log") as server:
        _wait_until_ready(server, port)
        idle = server.group.memory_mib()[0]
        load = {
            **{"host": "127.0.0.1", "port": port, "streams": count, "sounds": paths},
            **{"sample_rate": RATE, "chunk": _CHUNK},
        }
        seen, cpu, memory = _sent(load, server.group, folder)
    delays, lost, more = [], 0, 0
    for i, events in enumerate(seen["events"]):
        came = Counter((label, round(at, 3)) for label, at, _ in events)
        wanted = expected[i % len(expected)]
        lost += (wanted - came).total()
        more += (came - wanted).total()
        delays += [1e3 * delay for _, _, delay in events if delay is not None]
    if set(seen["closed"]) != {"closed"}:
        raise SystemExit(f"streams ended by {dict(Counter(seen['closed']))}")
    late = 1e3 * float(np.quantile(seen["late"], 0.99))
    median, worst = (float(np.quantile(delays, share)) for share in (0.5, 0.99))
    sound = count * given.socket_seconds
    cores = cpu / given.socket_seconds
    total = sum(map(len, seen["events"]))
    return (
        count,
        total,
        lost,
        more,
        median,
        worst,
        max(delays),
        late,
        1e3 * cpu / sound,
        cores,
        idle,
        memory,
    )


def _wait_until_ready(server: Running, port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    command = [
        sys.executable,
        "-c",
        f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/ready')",
    ]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        server.check()
        if time.monotonic() > end:
            raise SystemExit(f"the service does not start: {server.last_words()}")
        time.sleep(0.2)


def _sent(load: dict[str, Any], group: Group, folder: Path) -> tuple[dict[str, Any], float, float]:
    """What the clients saw; CPU seconds of the service meanwhile, and its memory near the end."""
    path = folder / "load.json"
    path.write_text(json.dumps(load))
    command = [sys.executable, "-m", "benchmarks.streaming.client", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout is not None
        if clients.stdout.readline().strip() != "begin":
            raise SystemExit("the streams can't be opened")
        cpu = group.cpu_seconds()
        if clients.stdout.readline().strip() != "sent":
            raise SystemExit("the clients have failed")
        cpu = group.cpu_seconds() - cpu
        memory = group.memory_mib()[0]
        seen: dict[str, Any] = json.loads(clients.stdout.readline())
    return seen, cpu, memory
