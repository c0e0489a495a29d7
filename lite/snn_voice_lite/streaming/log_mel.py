"""The columns of a log-mel spectrogram from the frames that they are made of; NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LogMel:
    """Frames -> standardised log-mel columns, as `features.Features` computes them, to rounding.

    Attributes:
        window: `[n_fft]`, zeros around the window included.
        filters: Triangles, `[n_fft // 2 + 1, n_mels]`.
        log_offset: Added before the logarithm.
        mean: Of the log-mel values.
        std: Their standard deviation.
        zero_below: Standardised values below this become 0; None for none.
    """

    window: Floats
    filters: Floats
    log_offset: float
    mean: float
    std: float
    zero_below: float | None = None

    def __call__(self, frames: Floats) -> Floats:
        """Columns `[..., F, n_mels]` of frames `[..., F, n_fft]`.

        The frames of one stream are a product of their own, so that rounding does not depend on what other
        streams are beside it.
        """
        spectrum = np.fft.rfft(frames * self.window).astype(np.complex64, copy=False)
        power = spectrum.real**2
        power += spectrum.imag**2
        out: Floats = power @ self.filters
        out += np.float32(self.log_offset)
        np.log(out, out=out)
        out -= np.float32(self.mean)
        out /= np.float32(self.std)
        if self.zero_below is not None:
            out[out < self.zero_below] = 0.0
        return out
