"""Noise and rooms that are computed: what a word is heard through where nobody has recordings of them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from snn_voice_hub.training.clips.data import as_int16
from snn_voice_hub.training.clips.negatives import NegativeSound

_SECONDS: Final = 30
_LICENCE: Final = "computed"
_SOURCE: Final = "computed noise"
# Full scale is 1; how loud it is heard is drawn anew each time.
_PEAK: Final = 0.5
# By how many dB an octave the power falls: white, pink, brown, and between them.
_SLOPES: Final = (0.0, 1.5, 3.0, 4.5, 6.0)
# Bands of machines and of wind, in Hz.
_BANDS: Final = ((60, 400), (200, 1200), (500, 3000), (1500, 6000))
_MAINS: Final = (50.0, 60.0)
# Clicks a second: rain, a crackling line, somebody who types.
_CLICKS: Final = (3.0, 40.0, 400.0)

# Rooms: how long it takes in seconds until their echo has fallen by 60 dB, and how far away somebody speaks.
_ROOMS: Final = 40
_RT60: Final = (0.15, 0.9)
_ECHO_DB: Final = (-20.0, -2.0)

# Of sounds that come and go as words do, each other than the one before: so many recordings.
_VARIED: Final = 5

_Wave = npt.NDArray[np.float64]


def computed_noises(sample_rate: int, seed: int = 0) -> tuple[NegativeSound, ...]:
    """Half a minute each of hiss, hum, machines, clicks, blows and tones, as negatives of the kind `noise`.

    Args:
        sample_rate: In Hz.
        seed: Of what is drawn.
    """
    rng = np.random.default_rng(seed)
    count = _SECONDS * sample_rate
    waves: dict[str, _Wave] = {}
    for slope in _SLOPES:
        waves[f"hiss_{slope:g}db"] = _falling(rng.standard_normal(count), slope) * _swelling(rng, count)
    for low, high in _BANDS:
        banded = _banded(rng.standard_normal(count), low, high, sample_rate)
        waves[f"machine_{low}hz"] = banded * _swelling(rng, count)
    for mains in _MAINS:
        waves[f"hum_{mains:g}hz"] = _hum(rng, mains, count, sample_rate)
    for rate in _CLICKS:
        waves[f"clicks_{rate:g}"] = _clicks(rng, rate, count, sample_rate)
    for number in range(_VARIED):
        waves[f"blows_{number}"] = _blows(rng, count, sample_rate)
        waves[f"tones_{number}"] = _tones(rng, count, sample_rate)
    return tuple(
        NegativeSound(
            f"noise/{name}", "noise", as_int16((_PEAK * wave / np.abs(wave).max()).astype(np.float32)),
            source=_SOURCE, licence=_LICENCE,
        )
        for name, wave in waves.items()
    )  # fmt: skip


def computed_rooms(sample_rate: int, seed: int = 0) -> tuple[NegativeSound, ...]:
    """Impulse responses of rooms, as negatives of the kind `rir`: a direct sound, and an echo that dies away.

    The echo is Polack's model of a room: noise whose level falls evenly, high sounds sooner than low ones.

    Args:
        sample_rate: In Hz.
        seed: Of what is drawn.
    """
    rng = np.random.default_rng([seed, 1])
    found = []
    for number in range(_ROOMS):
        rt60, level = rng.uniform(*_RT60), 10 ** (rng.uniform(*_ECHO_DB) / 20)
        count = round(rt60 * sample_rate)
        time = np.arange(count) / sample_rate
        high = _banded(rng.standard_normal(count), 1500, 0.5 * sample_rate, sample_rate)
        low = _banded(rng.standard_normal(count), 60, 1500, sample_rate)
        echo = low * 10 ** (-3 * time / rt60) + high * 10 ** (-3 * time / (rng.uniform(0.5, 0.9) * rt60))
        late = round(rng.uniform(0.002, 0.02) * sample_rate)
        room = np.zeros(late + count)
        room[0] = 1.0
        room[late:] += level * echo / np.sqrt(np.square(echo).sum())
        found.append(
            NegativeSound(
                f"rir/{number}", "rir", as_int16((_PEAK * room / np.abs(room).max()).astype(np.float32)),
                source="computed rooms", licence=_LICENCE, rt60=round(rt60, 2),
            )
        )  # fmt: skip
    return tuple(found)


def _falling(white: _Wave, slope: float) -> _Wave:
    """Noise whose power falls by so many dB an octave."""
    spectrum = np.fft.rfft(white)
    place = np.maximum(np.arange(len(spectrum)), 1)
    return np.asarray(np.fft.irfft(spectrum * place ** (-slope / (20 * np.log10(2))), len(white)))


def _banded(white: _Wave, low: float, high: float, sample_rate: int) -> _Wave:
    """Noise of a band in Hz, with soft edges: as a second-order filter has them."""
    frequency = np.fft.rfftfreq(len(white), 1 / sample_rate) + 1e-9
    gain = 1 / np.sqrt((1 + (low / frequency) ** 4) * (1 + (frequency / high) ** 4))
    return np.asarray(np.fft.irfft(np.fft.rfft(white) * gain, len(white)))


def _swelling(rng: np.random.Generator, count: int) -> _Wave:
    """A loudness that comes and goes, by up to 12 dB, within seconds."""
    knots = rng.uniform(-12, 0, _SECONDS)
    level = np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)
    return np.asarray(10 ** (level / 20))


def _hum(rng: np.random.Generator, mains: float, count: int, sample_rate: int) -> _Wave:
    time = np.arange(count) / sample_rate
    tones = [
        rng.uniform(0.2, 1) / n * np.sin(2 * np.pi * (n * mains * time + rng.random())) for n in range(1, 20)
    ]
    return np.asarray(np.sum(tones, 0) + 0.02 * rng.standard_normal(count))


def _clicks(rng: np.random.Generator, rate: float, count: int, sample_rate: int) -> _Wave:
    """Blows, each with a ring of its own."""
    struck = np.zeros(count)
    for at in rng.integers(0, count - sample_rate // 10, round(rate * _SECONDS)):
        length = int(rng.uniform(0.003, 0.05) * sample_rate)
        ring = np.exp(-5 * np.arange(length) / length) * rng.standard_normal(length)
        struck[at : at + length] += rng.uniform(0.2, 1) * ring
    return struck + 0.005 * rng.standard_normal(count)


def _blows(rng: np.random.Generator, count: int, sample_rate: int) -> _Wave:
    """Doors, steps, dishes: pieces of noise as long as syllables, each of a band of its own."""
    heard = 0.003 * rng.standard_normal(count)
    at = 0.0
    while (begin := round(at * sample_rate)) < count - sample_rate:
        length = round(rng.uniform(0.04, 0.5) * sample_rate)
        low = rng.uniform(80, 3_000)
        piece = _banded(rng.standard_normal(length), low, low * rng.uniform(1.2, 4), sample_rate)
        shape = np.exp(-rng.uniform(0, 6) * np.arange(length) / length) * _softly(length)
        heard[begin : begin + length] += rng.uniform(0.1, 1) * shape * piece / np.abs(piece).max()
        at += rng.exponential(0.4) + 0.05
    return heard


def _tones(rng: np.random.Generator, count: int, sample_rate: int) -> _Wave:
    """Animals, sirens, telephones: tones with their overtones that glide."""
    heard = 0.003 * rng.standard_normal(count)
    at = 0.0
    while (begin := round(at * sample_rate)) < count - 2 * sample_rate:
        length = round(rng.uniform(0.08, 1.2) * sample_rate)
        first, last = np.exp(rng.uniform(np.log(100), np.log(3_000), 2))
        if rng.random() < 0.5:
            last = first
        pitch = np.geomspace(first, last, length)
        pitch *= 1 + rng.uniform(0, 0.05) * np.sin(
            2 * np.pi * rng.uniform(3, 9) * np.arange(length) / sample_rate
        )
        phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
        fall = rng.uniform(0.5, 2)
        overtones = range(1, 1 + int(0.45 * sample_rate / pitch.max()))
        tone = np.sum([n**-fall * np.sin(n * phase) for n in list(overtones)[:12]], 0)
        heard[begin : begin + length] += rng.uniform(0.1, 1) * _softly(length) * tone / np.abs(tone).max()
        at += length / sample_rate * rng.uniform(0.3, 1) + rng.exponential(0.5)
    return heard


def _softly(length: int) -> _Wave:
    """A rise and a fall, so that a piece begins and ends without a click."""
    edge = np.minimum(np.arange(length), np.arange(length)[::-1])
    return np.asarray(np.minimum(1.0, edge / max(1, length // 8)))
