"""Words that follow each other over noise: where they stand, and how often few of them are said."""

from __future__ import annotations

import numpy as np
import pytest
from snn_voice_lite.streaming.detector import Event

from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.measuring.streams import Said, missed, sayings, times_said, word_stream
from tests.training.measuring.helpers import PITCH, RATE


def test_words_stand_in_a_stream_where_it_says(clips: Clips) -> None:
    noise = np.random.default_rng(0).standard_normal(RATE, dtype=np.float32)
    stream = word_stream(clips, [noise], 10, sample_rate=RATE)
    assert len(stream.said) == len(clips)
    for word in stream.said:
        piece = stream.waveform[round(word.start * RATE) : round(word.end * RATE)]
        loudest = np.abs(np.fft.rfft(piece)).argmax() * RATE / len(piece)
        assert loudest == pytest.approx(PITCH[word.label], abs=4)
    between = stream.waveform[: round(stream.said[0].start * RATE)]
    first = stream.said[0]
    spoken = stream.waveform[round(first.start * RATE) : round(first.end * RATE)]
    ratio = 20 * np.log10(np.sqrt(np.mean(spoken**2) - np.mean(between**2)) / np.sqrt(np.mean(between**2)))
    assert ratio == pytest.approx(10, abs=0.7)
    gaps = [b.start - a.end for a, b in zip(stream.said, stream.said[1:], strict=False)]
    assert min(gaps) >= 1.0
    assert max(gaps) <= 3.0 + 0.5 + 1e-6


def test_a_stream_depends_on_its_seed_alone(clips: Clips) -> None:
    one, same, other = (word_stream(clips, [], 10, sample_rate=RATE, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.waveform, same.waveform)
    assert [word.label for word in one.said] == [word.label for word in same.said]
    assert one.said != other.said


def test_an_event_counts_for_one_word_within_a_second_of_its_end() -> None:
    said = [Said("low", 1.0, 1.5), Said("high", 4.0, 4.5), Said("low", 8.0, 8.5)]

    def event(label: str, time: float) -> Event:
        return Event(label, 0.9, time - 1, time - 0.4, time)

    events = [event("low", 1.2), event("low", 2.4), event("high", 5.6), event("low", 8.0), event("high", 8.2)]
    left, alarms = missed(said, events)
    assert left == [said[1]]
    assert alarms == [events[1], events[2], events[4]]


@pytest.mark.parametrize(
    ("count", "times"), [(0, 0), (1, 8), (14, 8), (30, 7), (67, 3), (199, 2), (200, 1), (500, 1)]
)
def test_the_fewer_clips_the_more_often_they_are_said(count: int, times: int) -> None:
    assert times_said(count) == times


def test_each_saying_has_another_order_and_other_noise(clips: Clips) -> None:
    steps = np.repeat(np.linspace(0.1, 1, 40, dtype=np.float32), RATE)
    streams = sayings(clips, [steps], 10, sample_rate=RATE, seed=3)
    assert len(streams) == times_said(len(clips)) == 8
    # The first is that of one saying, so that figures of many clips are what they were.
    once = word_stream(clips, [steps], 10, sample_rate=RATE, seed=3)
    assert np.array_equal(streams[0].waveform, once.waveform)
    assert streams[0].said == once.said
    orders = {tuple(word.label for word in stream.said) for stream in streams}
    gaps = {tuple(b.start - a.end for a, b in zip(s.said, s.said[1:], strict=False)) for s in streams}
    assert len(orders) > 4
    assert len(gaps) == 8
    for stream in streams:
        assert sorted(word.label for word in stream.said) == sorted(clips.labels)
    # Each begins with another piece of the noise.
    assert len({round(float(stream.waveform[0]), 4) for stream in streams}) == 8


def test_sayings_depend_on_their_seed_alone(clips: Clips) -> None:
    one, same, other = (sayings(clips, [], 10, sample_rate=RATE, seed=seed) for seed in (0, 0, 1))
    for a, b in zip(one, same, strict=True):
        assert np.array_equal(a.waveform, b.waveform)
    said = [stream.said for stream in (*one, *other)]
    assert all(a != b for n, a in enumerate(said) for b in said[:n])
