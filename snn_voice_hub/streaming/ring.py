"""The newest sound of a stream, and the windows in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from snn_voice_hub.streaming.chunks import Samples

# Of digital silence, in dB.
FLOOR: Final = -120.0


@dataclass(frozen=True)
class RingWindow:
    """A window of a stream.

    Attributes:
        samples: `[N]`, a view that the next window may overwrite.
        begin: Index of its first sample in the stream, a multiple of the hop; below 0 where it begins in the
            silence before the stream.
        level: Of the loudest part of `hop` samples that reaches into it, in dB of full scale.
    """

    samples: Samples
    begin: int
    level: float


class Ring:
    """Takes sound in pieces and gives windows at a fixed distance; how it is cut changes nothing.

    A stream begins as if silence had been before, so that its first word is heard as any other. Two windows
    of sound are held, however long the stream is.

    Args:
        num_samples: Length of a window, N.
        hop: Distance between windows in samples, at most N.
    """

    def __init__(self, num_samples: int, hop: int) -> None:
        self.num_samples, self.hop = num_samples, hop
        self._buffer = np.zeros(2 * num_samples, dtype=np.float32)
        self._levels: deque[float] = deque(maxlen=math.ceil(num_samples / hop))
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard."""
        self.count = 0  # samples that have come
        self._buffer[: self.num_samples] = 0.0
        self._filled = self.num_samples  # of the buffer
        # The count at which the next window is complete; one of them begins with the stream.
        self._due = self.num_samples - (self.num_samples - 1) // self.hop * self.hop
        self._levels.clear()

    @property
    def level(self) -> float:
        """Of the newest piece of `hop` samples that a window ended with, in dB of full scale."""
        return self._levels[-1] if self._levels else FLOOR

    @property
    def due_in(self) -> int:
        """How many samples more complete the next window."""
        return self._due - self.count

    def push(self, samples: Samples) -> Iterator[RingWindow]:
        """Take samples `[N]` and give the windows that they complete, one after the other.

        The samples are taken as the windows are asked for.
        """
        at = 0
        while at < len(samples):
            if self._filled == len(self._buffer):
                self._buffer[: self.num_samples] = self._buffer[-self.num_samples :].copy()
                self._filled = self.num_samples
            free = len(self._buffer) - self._filled
            piece = samples[at : at + min(free, self._due - self.count)]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            self.count += len(piece)
            at += len(piece)
            if self.count == self._due:
                self._due += self.hop
                yield self._window()

    def _window(self) -> RingWindow:
        window = self._buffer[self._filled - self.num_samples : self._filled]
        self._levels.append(level_of(window[-self.hop :]))
        return RingWindow(window, self.count - self.num_samples, max(self._levels))


def level_of(samples: Samples) -> float:
    """How loud samples `[N]` are: their deviation from their mean, in dB of full scale, at least `FLOOR`."""
    deviation = float(samples.std())
    return max(FLOOR, 20 * math.log10(deviation)) if deviation > 0 else FLOOR
