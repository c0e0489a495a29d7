"""Log-mels of windows that overlap: what two windows have in common is computed once."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.features import Features
from snn_voice_hub.streaming.chunks import Samples


class SlidingLogMel:
    """The front end of one stream, by frames.

    A window's frames are those of the window before, moved on, but for the new ones and the few at either
    end: around those the front end mirrors the window's sound, so they belong to this window alone.

    Args:
        features: The front end, such that `fits`.
        hop: Distance between windows in samples.
    """

    def __init__(self, features: Features, hop: int) -> None:
        c = features.config
        # Frames of a single stream are few: a copy to another device and back takes longer.
        on_cpu = all(kernel.device.type == "cpu" for kernel in features.buffers())
        self._features = features if on_cpu else Features(c)
        self._step = c.hop_length
        self._n_mels, self._num_frames = c.shape
        self._first, self._end = _inner(c)
        # Columns of the frames within the window, in the order of time.
        self._columns = np.empty((self._n_mels, self._end - self._first), dtype=np.float32)
        self.reset()

    @staticmethod
    def fits(config: FeatureConfig, hop: int) -> bool:
        """Whether frames of one window are frames of the next."""
        return (
            config.kind == "logmel"  # of another one, a column may depend on those before
            and config.normalization == "fixed"
            and config.feature_rate == config.sample_rate
            and hop % config.hop_length == 0
            and _inner(config)[0] < _inner(config)[1]
        )

    def reset(self) -> None:
        """Forget all frames."""
        # Index of the frame after the last column, counted from the beginning of the stream.
        self._known = -self._num_frames

    def take(self, window: Samples, begin: int) -> Tensor:
        """The features `[1, n_mels, frames]` of a window.

        Args:
            window: `[N]`.
            begin: Index of its first sample in the stream; a multiple of the hop, larger than any before, and
                above -N.
        """
        at = begin // self._step
        inner = self._columns.shape[1]
        new = min(at + self._end - self._known, inner)
        self._known = at + self._end
        frames = torch.from_numpy(window[_samples_of(self._features.config, new)])
        columns = self._features.of_frames(frames).numpy()
        self._columns[:, : inner - new] = self._columns[:, new:]
        self._columns[:, inner - new :] = columns[:, self._first : self._first + new]
        out = np.empty((1, self._n_mels, self._num_frames), dtype=np.float32)
        out[0, :, : self._first] = columns[:, : self._first]
        out[0, :, self._first : self._end] = self._columns
        out[0, :, self._end :] = columns[:, self._first + new :]
        return torch.from_numpy(out)


def _inner(config: FeatureConfig) -> tuple[int, int]:
    """The first frame that lies within the window, and the one after the last."""
    around, step = config.n_fft // 2, config.hop_length
    last = (config.num_samples - config.n_fft + around) // step
    return -(-around // step), last + 1


@functools.lru_cache(maxsize=32)
def _samples_of(config: FeatureConfig, new: int) -> npt.NDArray[np.intp]:
    """Which samples of a window its frames are made of: those at its ends, and the `new` last between them.

    Returns:
        `[frames, n_fft]`. Beyond a window's ends, the front end mirrors it.
    """
    first, end = _inner(config)
    frames = np.r_[0:first, end - new : config.shape[1]]
    places = frames[:, np.newaxis] * config.hop_length + np.arange(config.n_fft) - config.n_fft // 2
    last = config.num_samples - 1
    mirrored: npt.NDArray[np.intp] = last - np.abs(last - np.abs(places))
    return mirrored
