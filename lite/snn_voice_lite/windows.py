"""Clips of any length -> windows of the model's length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# A clip at most this much longer than the window is still one window: recorders rarely stop on the sample.
CUT_SECONDS = 0.25
# Between the windows of a longer clip, unless another distance is asked for.
HOP_SECONDS = 0.5


def starts(length: int, num_samples: int, hop: int, cut: int) -> list[int]:
    """Where the windows of a clip begin, in samples.

    Args:
        length: Length of the clip.
        num_samples: Window length.
        hop: Distance between windows; the last one ends with the clip, so it may come sooner.
        cut: A clip at most this much longer than a window is one window.

    Returns:
        At least one position, rising.
    """
    last = length - num_samples
    if last <= cut:
        return [0]
    return [*range(0, last, hop), last]


def distances(sample_rate: int, hop_seconds: float) -> tuple[int, int]:
    """`hop` and `cut` of `starts`, for windows so many seconds apart."""
    return max(1, round(hop_seconds * sample_rate)), round(CUT_SECONDS * sample_rate)


def fit(wave: Floats, num_samples: int) -> Floats:
    """Make a clip `[N]` exactly one window long, `[num_samples]`.

    Zeros are added at the end of a shorter one; a longer one loses its surplus at the quieter of its ends.
    """
    surplus = len(wave) - num_samples
    if surplus <= 0:
        return np.pad(wave, (0, -surplus))
    first, last = (float(np.square(part).sum()) for part in (wave[:surplus], wave[-surplus:]))
    return wave[surplus:] if first < last else wave[:num_samples]
