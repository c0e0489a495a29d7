"""Fewer windows are run, and the events are those of all."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from snn_voice_lite.streaming.detector import Detector, Event
from snn_voice_lite.streaming.search import Search, SoughtWindow

from snn_voice_hub.config import DetectionConfig

LABELS = ["yes", "no", "_silence_"]
SILENCE = np.array([0, 0, 1], dtype=np.float32)
POINT = DetectionConfig(threshold=0.5, thresholds={"no": 0.6}, refractory=0.3)


def searched(
    scores: npt.NDArray[np.float32], silent: npt.NDArray[np.bool_], detector: Detector, seed: int
) -> tuple[list[Event], int]:
    """The events, and how many windows were run; windows come one, two or more at a time."""
    search = Search(detector.together, detector.holds, SILENCE, detector.apart)
    events: list[Event] = []
    runs = 0
    rng = np.random.default_rng(seed)
    for i in range(len(scores)):
        search.push(SoughtWindow(None if silent[i] else i, i * 0.1))
        if rng.random() < 0.3:
            continue
        while (window := search.ask()) is not None:
            assert search.ask() is None, "the answer is not there yet"
            runs += 1
            search.tell(scores[window.place])
            if (known := search.known()) is not None:
                new = detector.feed(*known)
                events += new
                if new and new[-1].time == known[1][-1]:
                    search.event()
    return events, runs


@pytest.mark.parametrize("refractory", [0.0, 0.3, 0.6, 1.0, 1.05])
@pytest.mark.parametrize("smoothing", [0.1, 0.2, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(8))
def test_events_are_those_of_all_windows(smoothing: float, seed: int, refractory: float) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.random((400, 3)) * (rng.random((400, 1)) < 0.7 - 0.07 * seed)
    scores = np.repeat(steps, rng.integers(1, 12, 400), axis=0)[:1_000].astype(np.float32)
    silent = np.repeat(rng.random(200) < 0.1, 5)
    scores[silent] = SILENCE
    settings = dataclasses.replace(POINT, smoothing=smoothing, refractory=refractory)
    detectors = [Detector(LABELS, settings, window=1.0, hop=0.1) for _ in range(2)]
    whole = detectors[0].feed(scores, [i * 0.1 for i in range(1_000)])
    events, runs = searched(scores, silent, detectors[1], seed)
    assert events == [event for event in whole if event.time <= events[-1].time]
    assert len(events) >= len(whole) - 1, "the last windows may wait for the next ones"
    assert whole
    assert runs <= (~silent).sum()


def test_where_no_word_is_one_window_in_six_is_run() -> None:
    detector = Detector(LABELS, dataclasses.replace(POINT, smoothing=0.6), window=1.0, hop=0.1)
    quiet = np.full((600, 3), 0.3, dtype=np.float32)
    events, runs = searched(quiet, np.zeros(600, dtype=bool), detector, 0)
    assert events == []
    assert 98 <= runs <= 100


def test_after_an_event_windows_that_can_be_in_none_are_not_run() -> None:
    point = dataclasses.replace(POINT, smoothing=0.6, refractory=1.0)
    detector = Detector(LABELS, point, window=1.0, hop=0.1)
    always = np.tile(np.array([1, 0, 0], dtype=np.float32), (60, 1))
    events, runs = searched(always, np.zeros(60, dtype=bool), detector, 0)
    assert [event.time for event in events] == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
    assert runs == 36


def test_silence_is_not_run() -> None:
    detector = Detector(LABELS, dataclasses.replace(POINT, smoothing=0.6), window=1.0, hop=0.1)
    assert searched(np.tile(SILENCE, (60, 1)), np.ones(60, dtype=bool), detector, 0) == ([], 0)


def test_nothing_is_left_after_a_reset() -> None:
    detector = Detector(LABELS, dataclasses.replace(POINT, smoothing=0.3), window=1.0, hop=0.1)
    search = Search(3, detector.holds, SILENCE)
    for i in range(4):
        search.push(SoughtWindow(i, 0.1 * i))
    assert search.ask() == SoughtWindow(2, 0.2)
    search.reset()
    assert search.ask() is None
    assert search.known() is None
