"""The newest sound of a stream, and the windows in it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from snn_voice_lite.streaming.chunks import Samples

# Of digital silence, in dB.
FLOOR: Final = -120.0

# What is not louder is silence, unless somebody says otherwise; a room is louder in every microphone.
GATE: Final = -70.0


@dataclass(frozen=True)
class RingWindow:
    """A window of a stream.

    Attributes:
        begin: Index of its first sample in the stream, a multiple of the hop; below 0 where it begins in the
            silence before the stream.
        level: Of the loudest part of `hop` samples that reaches into it, in dB of full scale.
    """

    begin: int
    level: float


class Ring:
    """Takes sound in pieces and gives windows at a fixed distance; how it is cut changes nothing.

    A stream begins as if silence had been before, so that its first word is heard as any other. However long
    it is, only the newest window and what is asked for before it are held.

    Args:
        num_samples: Length of a window, N.
        hop: Distance between windows in samples, at most N.
        back: Samples before the newest window that can still be had.
    """

    def __init__(self, num_samples: int, hop: int, back: int = 0) -> None:
        self.num_samples, self.hop = num_samples, hop
        self._kept = num_samples + back
        self._buffer = np.zeros(self._kept + max(num_samples // 2, hop), dtype=np.float32)
        self._levels: deque[float] = deque(maxlen=math.ceil(num_samples / hop))
        self._pushed: deque[Samples] = deque()
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard."""
        self.count = 0  # samples up to the newest that windows were looked for in
        self._buffer[: self._kept] = 0.0
        self._filled = self._kept  # of the buffer
        # The count at which the next window is complete; one of them begins with the stream.
        self._due = self.num_samples - (self.num_samples - 1) // self.hop * self.hop
        self._levels.clear()
        self._pushed.clear()

    @property
    def level(self) -> float:
        """Of the newest piece of `hop` samples that a window ended with, in dB of full scale."""
        return self._levels[-1] if self._levels else FLOOR

    @property
    def due_in(self) -> int:
        """How many samples behind `count` complete the next window."""
        return self._due - self.count

    def push(self, samples: Samples) -> None:
        """Take samples `[N]`, which nobody may change until `next` has no window more."""
        if len(samples):
            self._pushed.append(samples)

    def next(self) -> RingWindow | None:
        """The next window that is complete; None for none."""
        while self._pushed:
            samples = self._pushed.popleft()
            taken = samples[: self._due - self.count]
            if len(taken) < len(samples):
                self._pushed.appendleft(samples[len(taken) :])
            self._write(taken)
            if self.count == self._due:
                self._due += self.hop
                self._levels.append(level_of(self._buffer[self._filled - self.hop : self._filled]))
                return RingWindow(self.count - self.num_samples, max(self._levels))
        return None

    def samples(self, begin: int) -> Samples:
        """The samples `[N]` of a window that was given; a view that the next window may overwrite."""
        at = self._filled - (self.count - begin)
        return self._buffer[at : at + self.num_samples]

    def until(self, end: int, size: int) -> Samples:
        """The samples `[size]` before the index `end`, a copy; they are among those that are kept."""
        at = self._filled - (self.count - end)
        return self._buffer[at - size : at].copy()

    def _write(self, samples: Samples) -> None:
        if self._filled + len(samples) > len(self._buffer):
            self._buffer[: self._kept] = self._buffer[self._filled - self._kept : self._filled].copy()
            self._filled = self._kept
        self._buffer[self._filled : self._filled + len(samples)] = samples
        self._filled += len(samples)
        self.count += len(samples)


def level_of(samples: Samples) -> float:
    """How loud samples `[N]` are: their deviation from their mean, in dB of full scale, at least `FLOOR`."""
    apart = samples - samples.mean()
    power = float(apart.dot(apart)) / len(apart)
    return max(FLOOR, 10 * math.log10(power)) if power > 0 else FLOOR
