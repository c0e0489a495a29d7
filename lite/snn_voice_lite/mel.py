"""A log-mel front end out of its configuration alone."""

from __future__ import annotations

import math

import numpy as np

from snn_voice_lite.config import FeatureConfig
from snn_voice_lite.streaming.log_mel import Floats, LogMel


def log_mel(config: FeatureConfig) -> LogMel:
    """What makes columns of frames."""
    c = config
    return LogMel(hann(c), filters(c), c.log_offset, c.feature_mean, c.feature_std, c.zero_below)


def hann(config: FeatureConfig) -> Floats:
    """A periodic Hann window in the middle of zeros, `[n_fft]`."""
    turns = np.arange(config.win_length) / config.win_length
    before = (config.n_fft - config.win_length) // 2
    after = config.n_fft - config.win_length - before
    return np.pad(0.5 - 0.5 * np.cos(2 * math.pi * turns), (before, after)).astype(np.float32)


def filters(config: FeatureConfig) -> Floats:
    """Triangles that overlap by half on the mel scale (HTK's), `[n_fft // 2 + 1, n_mels]`."""
    high = config.f_max if config.f_max is not None else float(config.mel_rate // 2)
    low_mel, high_mel = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (config.f_min, high))
    mels = np.linspace(low_mel, high_mel, config.n_mels + 2)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins = np.linspace(0, config.mel_rate // 2, config.n_fft // 2 + 1)
    above, widths = edges - bins[:, np.newaxis], np.diff(edges)
    rising, falling = -above[:, :-2] / widths[:-1], above[:, 2:] / widths[1:]
    return np.maximum(np.minimum(rising, falling), 0).astype(np.float32)
