"""Log-mels of windows that overlap: what two windows have in common is computed once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from snn_voice_lite.streaming.chunks import Samples
from torch import Tensor

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.features import Features

Columns: TypeAlias = npt.NDArray[np.float32]

# Windows whose spectra are computed together: those of more do not fit into a processor's cache.
ROWS_IN_CACHE = 8


class SlidingLogMel:
    """The front end of one stream, by frames.

    A window's frames are those of the windows around it, but for the few at either end: around those the
    front end mirrors the window's sound, so they belong to this window alone.

    Args:
        features: The front end, such that `fits`.
        hop: Distance between windows in samples.
        back: How many samples a window may begin before the newest that was taken.

    Attributes:
        features: What computes, on the CPU.
    """

    def __init__(self, features: Features, hop: int, back: int = 0) -> None:
        c = features.config
        # Frames of a single stream are few: a copy to another device and back takes longer.
        on_cpu = all(kernel.device.type == "cpu" for kernel in features.buffers())
        self.features = features if on_cpu else Features(c)
        self._n_fft, self._step = c.n_fft, c.hop_length
        self._first, self._end = _inner(c)
        self._ends = _samples_of_ends(c)
        # Columns of the frames within windows, in the order of time, and which of them are known.
        width = self._end - self._first + -(-back // self._step)
        self._columns = np.empty((c.n_mels, width), dtype=np.float32)
        self._known = np.zeros(width, dtype=np.bool_)
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
        self._stop = 0
        self._known[:] = False

    def take(self, window: Samples, begin: int) -> LogMelRow:
        """A window, of which the frames are computed later; `log_mels` does that before the next is taken.

        Args:
            window: `[N]`, which stays as it is until then.
            begin: Index of its first sample in the stream, a multiple of the hop.
        """
        width = len(self._known)
        stop = begin // self._step + self._end
        if (moved := min(stop - self._stop, width)) > 0:
            self._columns[:, : width - moved] = self._columns[:, moved:]
            self._known[: width - moved] = self._known[moved:]
            self._known[width - moved :] = False
            self._stop = stop
        last = width - (self._stop - stop)
        mine = slice(last - (self._end - self._first), last)
        return LogMelRow(self, window, mine, np.flatnonzero(~self._known[mine]))

    def fill(self, frames: Columns, row: LogMelRow) -> None:
        """Fill `[F, n_fft]` with the frames of a row: those at the window's ends, then those not known."""
        within = torch.from_numpy(row.window[self._first * self._step - self._n_fft // 2 :])
        count = len(self._ends)
        frames[:count] = row.window[self._ends]
        frames[count:] = within.unfold(0, self._n_fft, self._step).numpy()[row.new]

    def count(self, row: LogMelRow) -> int:
        """How many frames of a row are to be computed, F."""
        return len(self._ends) + len(row.new)

    def put(self, row: LogMelRow, columns: Columns, out: Columns) -> None:
        """Take the columns of a row's frames, and make its features of them.

        Args:
            row: Of this stream, the last that was taken.
            columns: `[n_mels, F]`, of its F frames.
            out: `[n_mels, frames]`, to be filled.
        """
        count = len(self._ends)
        self._columns[:, row.mine.start + row.new] = columns[:, count:]
        self._known[row.mine] = True
        out[:, : self._first] = columns[:, : self._first]
        out[:, self._first : self._end] = self._columns[:, row.mine]
        out[:, self._end :] = columns[:, self._first : count]


@dataclass(frozen=True, eq=False)
class LogMelRow:
    """A window on its way to the network.

    Attributes:
        stream: Whose it is.
        window: Its samples `[N]`.
        mine: Where in the stream's columns this window is.
        new: Of these, the ones that are not known yet.
    """

    stream: SlidingLogMel
    window: Samples
    mine: slice
    new: npt.NDArray[np.intp]


@torch.inference_mode()
def log_mels(rows: Sequence[LogMelRow]) -> Tensor:
    """Features `[B, 1, n_mels, frames]` on the CPU of windows of any streams of a model, one of each."""
    features = rows[0].stream.features
    out = np.empty((len(rows), 1, *features.config.shape), dtype=np.float32)
    for begin in range(0, len(rows), ROWS_IN_CACHE):
        part = rows[begin : begin + ROWS_IN_CACHE]
        edges = np.cumsum([0, *(row.stream.count(row) for row in part)]).tolist()
        frames = np.empty((edges[-1], features.config.n_fft), dtype=np.float32)
        for row, start, stop in zip(part, edges, edges[1:], strict=False):
            row.stream.fill(frames[start:stop], row)
        columns = features.of_frames(torch.from_numpy(frames)).numpy()
        for row, start, stop, mine in zip(part, edges, edges[1:], out[begin:], strict=False):
            row.stream.put(row, columns[:, start:stop], mine[0])
    return torch.from_numpy(out)


def _inner(config: FeatureConfig) -> tuple[int, int]:
    """The first frame that lies within the window, and the one after the last."""
    around, step = config.n_fft // 2, config.hop_length
    last = (config.num_samples - config.n_fft + around) // step
    return -(-around // step), last + 1


@functools.lru_cache(maxsize=32)
def _samples_of_ends(config: FeatureConfig) -> npt.NDArray[np.intp]:
    """Which samples of a window the frames at its ends are made of.

    Returns:
        `[frames, n_fft]`. Beyond a window's ends, the front end mirrors it.
    """
    first, end = _inner(config)
    frames = np.r_[0:first, end : config.shape[1]]
    places = frames[:, np.newaxis] * config.hop_length + np.arange(config.n_fft) - config.n_fft // 2
    last = config.num_samples - 1
    mirrored: npt.NDArray[np.intp] = last - np.abs(last - np.abs(places))
    return mirrored
