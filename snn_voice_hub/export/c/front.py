"""The front end in fixed point: window, sines, mel filters and logarithm as tables of integers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.export.c.plan import refused
from snn_voice_hub.export.c.quantise import Integers
from snn_voice_hub.features import Features, MelPower
from snn_voice_hub.models.framed import LEAD

LOG_BITS = 7
_ONE = 1 << 15
_NO_FRONT_END = "a front end such as that of tempo-snn"


@dataclass(frozen=True, eq=False)
class FixedFrontEnd:
    """The tables and constants of front_end.c.

    Attributes:
        window: `[win_length]`, in units of 2^-15.
        window_shift: Of a sample times its weight.
        sines: The first quarter of a sine, in units of 2^-31.
        begins: The first bin of each band.
        sizes: Bins of each band.
        weights: Of all bands, one after the other, in units of 2^-15.
        power_shift: Of a power, so that sums of them fit.
        offset: What the logarithm adds, in the units of the sums.
        logs: Logarithm to the base 2 of 1 to 2, in units of 2^-16.
        factor: Of the logarithm, with `shift`.
        added: To that.
        shift: Behind it.
        unit: What a feature of 1 stands for.
    """

    window: Integers
    window_shift: int
    sines: Integers
    begins: Integers
    sizes: Integers
    weights: Integers
    power_shift: int
    offset: int
    logs: Integers
    factor: int
    added: int
    shift: int
    unit: float


def make_front_end(config: FeatureConfig) -> FixedFrontEnd:
    """Lay out a front end.

    Raises:
        SnnVoiceError: It computes what the C code does not.
    """
    _check(config)
    mel = Features(config).mel
    assert isinstance(mel, MelPower)
    around = (config.n_fft - config.win_length) // 2
    window = mel.window.double().numpy()[around : around + config.win_length]
    filters = mel.filters.double().numpy()
    # Samples get as many bits behind the point as leave twice the spectrum below 2^31, whatever is heard.
    room = math.floor(30 - math.log2(32768 * window.sum()))
    if not 0 <= room <= 14:
        raise refused(f"a window of {config.win_length} samples", _NO_FRONT_END)
    # Power of twice the spectrum of full scale, by Parseval; then 15 bits of the weights.
    most = 2.0 * config.n_fft * float((window**2).sum()) * 4.0 ** (15 + room)
    power_shift = max(1, math.ceil(math.log2(most) + 15 - 63))
    point = 2 * (15 + room + 1) - power_shift + 15
    scale = config.waveform_std**2
    # Feature = (ln((power + offset * scale) / scale) - mean) / std, and ln is log2 * ln 2.
    slope = math.log(2) / config.feature_std
    # The loudest and the quietest that can be heard.
    loudest = math.log(most) - 2 * (16 + room) * math.log(2) - math.log(scale)
    ends = loudest - config.feature_mean, math.log(config.log_offset) - config.feature_mean
    unit = max(1e-6, *map(abs, ends)) / config.feature_std / 32_000
    shift = min(40, 38 - math.frexp(slope / unit)[1])
    added = -slope * point - (math.log(scale) + config.feature_mean) / config.feature_std
    begins, sizes, weights = _bands(np.rint(filters * _ONE).astype(np.int64))
    return FixedFrontEnd(
        window=np.rint(window * _ONE).astype(np.int64),
        window_shift=15 - room,
        sines=np.minimum(np.rint(_quarter(config.n_fft) * 2.0**31), 2.0**31 - 1).astype(np.int64),
        begins=begins,
        sizes=sizes,
        weights=weights,
        power_shift=power_shift,
        offset=round(config.log_offset * scale * 2.0**point),
        logs=np.rint(np.log2(1 + np.arange((1 << LOG_BITS) + 1) / (1 << LOG_BITS)) * 65536).astype(np.int64),
        factor=round(slope / unit * 2.0 ** (shift - 16)),
        added=round(added / unit * 2.0**shift),
        shift=shift,
        unit=unit,
    )


def _check(config: FeatureConfig) -> None:
    powers = config.n_fft >= 64 and config.n_fft & (config.n_fft - 1) == 0 and config.n_fft <= 4096
    reach = config.win_length // 2
    for wrong, why in (
        (config.kind != "logmel", f"features of kind {config.kind}"),
        (config.mel_rate != config.sample_rate, "a spectrogram at another rate than the sound's"),
        (not powers, f"n_fft={config.n_fft} is no power of 2 from 64 to 4096"),
        (config.win_length % 2 != 0, "a window of an odd length"),
        (reach > (1 + LEAD) * config.hop_length, "windows that reach into sound that comes later"),
        (config.waveform_mean != 0.0, "waveforms from which a mean is subtracted"),
        (config.zero_below is not None, "features that are set to 0"),
        (config.log_offset <= 0.0, "a logarithm to which nothing is added"),
    ):
        if wrong:
            raise refused(why, _NO_FRONT_END)


def _quarter(n_fft: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.sin(2 * np.pi * np.arange(n_fft // 4 + 1) / n_fft)


def _bands(filters: Integers) -> tuple[Integers, Integers, Integers]:
    """Of `[bins, bands]`: where each band begins, how many bins it has, and their weights."""
    begins, sizes, weights = [], [], []
    for band in filters.T:
        there = np.flatnonzero(band)
        begin, end = (int(there[0]), int(there[-1]) + 1) if len(there) else (0, 0)
        begins.append(begin)
        sizes.append(end - begin)
        weights.extend(band[begin:end].tolist())
    return np.array(begins), np.array(sizes), np.array(weights)
