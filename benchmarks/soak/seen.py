"""What is seen of a service while it is soaked, and when it has failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving.tables import percentile
from snn_voice_hub.notation import percent

# Memory at the end may be that much of what it was after settling.
MOST_GROWTH = 1.05


@dataclass
class Sample:
    """The service at one moment.

    Attributes:
        at: Seconds since the beginning.
        memory: Resident, in MiB.
        files: Open descriptors.
        threads: How many.
    """

    at: float
    memory: float
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int, at: float) -> Sample:
        """Look at a process."""
        folder = Path(f"/proc/{pid}")
        status = dict(
            line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line
        )
        memory = int(status["VmRSS"].split()[0]) / 1024
        return cls(at, memory, len(list((folder / "fd").iterdir())), int(status["Threads"]))


@dataclass
class Soaked:
    """What was seen.

    Attributes:
        minute: Length of a row, in seconds.
        answers: When a right answer came, and after how many milliseconds.
        asked: Errors that were asked for, by kind.
        unasked: Others.
        samples: Of the service.
    """

    minute: float = 60.0
    answers: list[tuple[float, float]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    unasked: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def rows(self) -> list[tuple[float, int, float | None, float | None, float, int, int]]:
        """A row a minute: its end in minutes, answers, median and p99 in ms, MiB, descriptors, threads."""
        found = []
        last = self.samples[-1].at if self.samples else 0.0
        for number in range(max(1, round(last / self.minute))):
            low, high = number * self.minute, (number + 1) * self.minute
            times = [spent for at, spent in self.answers if low <= at < high]
            inside = [sample for sample in self.samples if low <= sample.at < high] or self.samples[-1:]
            newest = inside[-1]
            memory = float(np.median([sample.memory for sample in inside]))
            figures = percentile(times, 0.5), percentile(times, 0.99)
            found.append((high / 60, len(times), *figures, memory, newest.files, newest.threads))
        return found

    def growth(self, settle: float) -> float:
        """Memory in the last minute, as a multiple of what it was in the minute after `settle` seconds."""
        end = self.samples[-1].at
        before = [s.memory for s in self.samples if settle <= s.at < settle + self.minute]
        after = [s.memory for s in self.samples if s.at >= end - self.minute]
        return float(np.median(after) / np.median(before or [self.samples[0].memory]))

    def problems(self, settle: float) -> list[str]:
        """Why it has failed; none where it has not."""
        found = [f"{count} times {kind}" for kind, count in self.unasked.items()]
        if (growth := self.growth(settle)) > MOST_GROWTH:
            found.append(f"memory grew by {percent(growth - 1)}")
        if not self.answers:
            found.append("there was no answer")
        return found
