"""Resampling with state."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from snn_voice_lite.streaming.resampling import Resampler

from snn_voice_hub import audio

TARGET = 16_000


def pieces(wave: npt.NDArray[np.float32], size: int | None) -> Iterator[npt.NDArray[np.float32]]:
    rng, at = np.random.default_rng(0), 0
    while at < len(wave):
        count = int(rng.integers(0, 5_000)) if size is None else size
        yield wave[at : at + count]
        at += count


def noise(rate: int, seconds: float = 1.5) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).uniform(-0.5, 0.5, round(rate * seconds)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 160, 1_280, 16_000, None])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_it_is_that_of_files_to_the_bit(rate: int, size: int | None) -> None:
    wave = noise(rate)
    resampler = Resampler(rate, TARGET)
    parts = [resampler.push(piece) for piece in pieces(wave, size)]
    whole = audio.load(wave, sample_rate=rate, target_rate=TARGET).numpy()
    assert np.array_equal(np.concatenate([*parts, resampler.end()]), whole)


@pytest.mark.parametrize(("rate", "delay"), [(8_000, 0.13), (44_100, 0.05), (48_000, 0.05), (16_000, 0.0)])
def test_it_looks_no_further_ahead_than_is_said(rate: int, delay: float) -> None:
    resampler, heard, given = Resampler(rate, TARGET), 0, 0
    for piece in pieces(noise(rate), 160):
        heard += len(piece)
        given += len(resampler.push(piece))
        assert heard / rate - given / TARGET <= delay


def test_it_begins_anew() -> None:
    wave, resampler = noise(48_000), Resampler(48_000, TARGET)
    first = np.concatenate([resampler.push(wave), resampler.end()])
    resampler.reset()
    resampler.push(wave[:7])
    resampler.reset()
    assert np.array_equal(np.concatenate([resampler.push(wave), resampler.end()]), first)


def test_nothing_of_nothing() -> None:
    assert len(Resampler(48_000, TARGET).end()) == 0
