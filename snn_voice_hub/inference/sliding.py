"""Log-mels of windows that overlap: what two windows have in common is computed once."""

from __future__ import annotations

import numpy as np
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
        self._step, self._n_fft = c.hop_length, c.n_fft
        self._around = c.n_fft // 2
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
        before, after = self._edges(window)
        left = _frames(before, self._n_fft, self._step, self._first)
        right = _frames(after, self._n_fft, self._step, self._num_frames - self._end)
        middle = _frames(
            window[(self._end - new) * self._step - self._around :], self._n_fft, self._step, new
        )
        frames = torch.from_numpy(np.concatenate([left, middle, right]))
        columns = self._features.of_frames(frames).numpy()
        self._columns[:, : inner - new] = self._columns[:, new:]
        self._columns[:, inner - new :] = columns[:, len(left) : len(left) + new]
        out = np.empty((1, self._n_mels, self._num_frames), dtype=np.float32)
        out[0, :, : self._first] = columns[:, : len(left)]
        out[0, :, self._first : self._end] = self._columns
        out[0, :, self._end :] = columns[:, len(left) + new :]
        return torch.from_numpy(out)

    def _edges(self, window: Samples) -> tuple[Samples, Samples]:
        """Both ends of a window with what the front end puts around them: their mirror image."""
        around, last = self._around, self._end * self._step - self._around
        left = window[: self._first * self._step + self._n_fft]
        before = np.concatenate([window[around:0:-1], left])
        return before, np.concatenate([window[last:], window[-2 : -around - 2 : -1]])


def _inner(config: FeatureConfig) -> tuple[int, int]:
    """The first frame that lies within the window, and the one after the last."""
    around, step = config.n_fft // 2, config.hop_length
    last = (config.num_samples - config.n_fft + around) // step
    return -(-around // step), last + 1


def _frames(samples: Samples, length: int, step: int, count: int) -> Samples:
    """The first `count` frames of samples `[N]`, `[count, length]`."""
    if not count:
        return np.empty((0, length), dtype=np.float32)
    views = np.lib.stride_tricks.sliding_window_view(samples, length)
    return views[::step][:count]
