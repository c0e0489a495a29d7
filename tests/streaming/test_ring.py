"""Sound in pieces -> windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from snn_voice_lite.streaming.ring import FLOOR, Ring, level_of

WAVE = np.random.default_rng(0).standard_normal(1_003).astype(np.float32)


def heard(
    ring: Ring, wave: npt.NDArray[np.float32], sizes: list[int]
) -> list[tuple[int, list[float], float]]:
    found, at = [], 0
    for size in [*sizes, len(wave)]:
        ring.push(wave[at : at + size])
        while (window := ring.next()) is not None:
            found.append((window.begin, ring.samples(window.begin).tolist(), window.level))
        at += size
    return found


@pytest.mark.parametrize("hop", [1, 7, 30, 99, 100])
@pytest.mark.parametrize("sizes", [[1] * 1_003, [5_000], [0, 250, 3, 0, 444]])
def test_windows_are_those_of_the_whole_sound(hop: int, sizes: list[int]) -> None:
    found = heard(Ring(100, hop), WAVE, sizes)
    begins = [begin for begin in range(-100 * hop, len(WAVE) - 99, hop) if begin > -100]
    assert [begin for begin, _, _ in found] == begins
    padded = np.concatenate([np.zeros(100, dtype=np.float32), WAVE])
    assert all(samples == padded[begin + 100 : begin + 200].tolist() for begin, samples, _ in found)


@pytest.mark.parametrize("hop", [30, 100])
def test_windows_before_the_newest_can_still_be_had(hop: int) -> None:
    ring, padded = Ring(100, hop, back=3 * hop), np.concatenate([np.zeros(500, dtype=np.float32), WAVE])
    ring.push(WAVE)
    while (window := ring.next()) is not None:
        for begin in range(window.begin, window.begin - 4 * hop, -hop):
            assert ring.samples(begin).tolist() == padded[begin + 500 : begin + 600].tolist()


@pytest.mark.parametrize(("hop", "back"), [(30, 0), (30, 90), (100, 25)])
def test_the_newest_sound_can_be_had_and_is_kept(hop: int, back: int) -> None:
    ring, padded = Ring(100, hop, back), np.concatenate([np.zeros(500, dtype=np.float32), WAVE])
    ring.push(WAVE)
    kept = []
    while ring.next() is not None:
        kept.append((ring.count, ring.until(ring.count, 100 + back), ring.until(ring.count - back, 100)))
    assert len(kept) > 9
    for end, newest, older in kept:
        assert newest.tolist() == padded[400 - back + end : 500 + end].tolist()
        assert older.tolist() == padded[400 - back + end : 500 - back + end].tolist()


def test_a_window_is_as_loud_as_its_loudest_part() -> None:
    wave = np.zeros(400, dtype=np.float32)
    wave[105:115:2] = 1.0
    levels = {begin: level for begin, _, level in heard(Ring(100, 30), wave, [])}
    assert [begin for begin, level in levels.items() if level > FLOOR] == [
        30,
        60,
        90,
        120,
    ]  # the part reaches into it
    assert Ring(100, 30).level == FLOOR


def test_the_level_is_that_of_the_newest_part() -> None:
    ring = Ring(100, 50)
    heard(ring, np.concatenate([np.zeros(50), np.tile([0.1, -0.1], 25)]).astype(np.float32), [])
    assert ring.level == pytest.approx(-20.0, abs=1e-4)
    heard(ring, np.zeros(50, dtype=np.float32), [])
    assert ring.level == FLOOR


def test_a_constant_is_silence() -> None:
    assert level_of(np.full(100, 0.25, dtype=np.float32)) == FLOOR


def test_nothing_is_left_after_a_reset() -> None:
    ring = Ring(100, 30)
    first = heard(ring, WAVE, [])
    ring.reset()
    assert (ring.count, ring.level) == (0, FLOOR)
    assert heard(ring, WAVE, [7, 300]) == first
