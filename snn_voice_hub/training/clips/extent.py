"""Where in a clip its word is said."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_FRAME = 160  # samples, by which the ends of a word are found


def extent(wave: npt.NDArray[np.float32]) -> tuple[int, int]:
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
