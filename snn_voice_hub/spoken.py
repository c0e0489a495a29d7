"""Where in a clip its word is said, and what is made of words that is none of them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]

# These sound like a word when they are turned round: themselves, or one another.
SAME_REVERSED: Final = ("no", "nine", "on", "wow")

_FRAME = 160  # samples, by which the ends of a word are found
FADE: Final = 80  # samples in which a piece comes and goes
# Of a word, at most so much is heard in a piece of it, and at least.
_PIECE = (0.15, 0.42)


def extent(wave: Wave) -> tuple[int, int]:
    """First sample of a word in a clip `[N]` and the one after its last, by loudness.

    Frames within 25 dB of the loudest one are the word's, if they stand out from the clip's background; what
    lies between two of them is as well.
    """
    frames = len(wave) // _FRAME
    level = np.square(wave[: frames * _FRAME].reshape(frames, _FRAME)).mean(1) + 1e-12
    floor = max(level.max() * 10**-2.5, np.percentile(level, 10) * 4)
    loud = np.flatnonzero(level >= floor)
    if not len(loud):
        return 0, len(wave)
    return int(loud[0]) * _FRAME, int(loud[-1] + 1) * _FRAME


def faded(wave: Wave) -> Wave:
    """A piece `[N]` whose ends come and go softly, in 5 ms."""
    ramp = np.linspace(0, 1, min(FADE, len(wave) // 2), dtype=np.float32)
    wave = wave.copy()
    wave[: len(ramp)] *= ramp
    wave[len(wave) - len(ramp) :] *= ramp[::-1]
    return wave


def part(wave: Wave, rng: np.random.Generator, *, end: bool) -> Wave:
    """The first part of a word, or its last one, less than a half; with what is before or after it."""
    first, last = extent(wave)
    size = int(rng.uniform(*_PIECE) * (last - first))
    return faded(wave[max(0, last - size) :] if end else wave[: first + size])


def at_edge(piece: Wave, length: int, *, end: bool) -> Wave:
    """A window `[length]` that holds a part of a word at its edge, as one that slides over it does.

    Args:
        piece: What `part` gives, no longer than the window.
        length: Of the window.
        end: Whether it is the last part of the word, which the window begins with.
    """
    out = np.zeros(length, np.float32)
    begin = 0 if end else length - len(piece)
    out[begin : begin + len(piece)] = piece
    return out


def side_by_side(one: Wave, other: Wave, length: int, rng: np.random.Generator) -> Wave:
    """A window `[length]` with the end of a word, and the beginning of another: what `part` gives of them."""
    out = np.zeros(length, np.float32)
    # What the clips hold besides is cut away, so that both are heard at one place.
    one, other = one[: length // 2], other[-(length // 2) :]
    begin = int(rng.integers(length - len(one) - len(other) + 1))
    out[begin : begin + len(one)] = one
    out[begin + len(one) : begin + len(one) + len(other)] = other
    return out
