"""Scores in, events out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from snn_voice_lite.streaming.detector import UNTUNED, Detector, Event

import snn_voice_hub as sv
from snn_voice_hub.config import DetectionConfig

LABELS = ["yes", "no", "_silence_", "_unknown_"]
POINT = DetectionConfig(threshold=0.6, refractory=0.5)


def heard(rows: list[list[float]], settings: DetectionConfig = POINT, **options: object) -> list[Event]:
    detector = Detector(LABELS, settings, window=1.0, hop=0.1, **options)  # type: ignore[arg-type]
    ends = [1.0 + 0.1 * i for i in range(len(rows))]
    return detector.feed(np.array(rows, dtype=np.float32), ends)


def test_a_word_is_an_event_once() -> None:
    rows = [[0.1, 0.0, 0.9, 0.0], *[[0.7, 0.1, 0.1, 0.1]] * 4, [0.1, 0.0, 0.9, 0.0]]
    (event,) = heard(rows)
    times = [event.start, event.end, event.time]
    assert (event.label, event.score, times) == (
        "yes",
        pytest.approx(0.7 / 0.9),
        pytest.approx([0.3, 1.1, 1.1]),
    )


def test_it_is_one_again_after_the_refractory_time() -> None:
    events = heard([[0.7, 0.1, 0.1, 0.1]] * 12)
    assert [event.time for event in events] == pytest.approx([1.0, 1.5, 2.0])


def test_what_is_no_word_is_no_event() -> None:
    assert heard([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]) == []


def test_each_word_may_have_its_own_threshold() -> None:
    rows = [[0.6, 0.1, 0.1, 0.2], [0.1, 0.6, 0.1, 0.2]]
    settings = dataclasses.replace(POINT, thresholds={"yes": 0.7})
    assert [event.label for event in heard(rows, settings)] == ["no"]


@pytest.mark.parametrize("threshold", [1e-308, 1e-46, 1e-40])
def test_what_has_no_share_at_all_is_no_word(threshold: float) -> None:
    """Smaller thresholds than float32 has are none."""
    settings = dataclasses.replace(POINT, threshold=threshold, smoothing=0.3)
    assert heard([[0.0] * 4] * 9, settings) == []
    assert not Detector(LABELS, settings, window=1.0, hop=0.1).holds(np.zeros(4, dtype=np.float32))
    (event,) = heard([[0.1, 0.0, 0.9, 0.0]] * 4, settings)
    assert 0 < event.start < event.end <= event.time


def test_only_the_words_that_are_asked_for() -> None:
    rows = [[0.9, 0.0, 0.0, 0.0], [0.0, 0.9, 0.0, 0.0]]
    assert [event.label for event in heard(rows, words=["no"])] == ["no"]
    with pytest.raises(sv.ConfigError, match="'_silence_' is no word of the model"):
        heard(rows, words=["_silence_"])
    with pytest.raises(sv.ConfigError, match="no words to listen for"):
        heard(rows, words=[])


def test_a_word_holds_over_the_smoothing_time() -> None:
    single = [[0.0] * 4, [0.9, 0.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4]
    settings = dataclasses.replace(POINT, smoothing=0.2)
    assert heard(single, settings) == []
    (event,) = heard([[0.0] * 4, *[[0.9, 0.0, 0.0, 0.0]] * 3], settings)
    assert event.time == pytest.approx(1.2)
    assert (event.start, event.end) == pytest.approx((0.4, 1.2))
    settings = dataclasses.replace(POINT, smoothing=0.6)
    (event,) = heard([[0.0] * 4, *[[0.9, 0.0, 0.0, 0.0]] * 6], settings)
    assert (event.start, event.end, event.time) == pytest.approx((0.8, 1.3, 1.6))


def test_a_similar_word_does_not_count_against_one() -> None:
    (event,) = heard([[0.5, 0.4, 0.05, 0.05]])
    assert (event.label, event.score) == ("yes", pytest.approx(0.5 / 0.6))
    assert heard([[0.5, 0.1, 0.1, 0.3]] * 2, dataclasses.replace(POINT, threshold=0.6)) == []


def test_a_word_that_is_not_listened_for_may_be_what_was_said() -> None:
    rows = [[0.5, 0.4, 0.05, 0.05]] * 3
    assert heard(rows, words=["no"]) == []
    assert [event.label for event in heard(rows, words=["yes"])] == ["yes"]


def test_where_other_speech_is_not_known_the_scores_count() -> None:
    detector = Detector(["yes", "no", "_silence_"], POINT, window=1.0, hop=0.1)
    assert detector.feed(np.array([[0.5, 0.45, 0.05]], np.float32), [1.0]) == []
    (event,) = detector.feed(np.array([[0.65, 0.3, 0.05]], np.float32), [1.1])
    assert event.score == pytest.approx(0.65)


@pytest.mark.parametrize("sizes", [[1] * 40, [40], [7, 0, 13, 20]])
def test_how_scores_are_cut_changes_nothing(sizes: list[int]) -> None:
    rows = np.random.default_rng(0).random((40, 4), dtype=np.float32)
    ends = 1.0 + 0.1 * np.arange(40)
    settings = dataclasses.replace(POINT, threshold=0.3, smoothing=0.3, refractory=0.2)
    whole = Detector(LABELS, settings, window=1.0, hop=0.1).feed(rows, ends)
    detector = Detector(LABELS, settings, window=1.0, hop=0.1)
    found, begin = [], 0
    for size in sizes:
        found += detector.feed(rows[begin : begin + size], ends[begin : begin + size])
        begin += size
    assert found == whole
    assert len(whole) > 2


def test_nothing_is_left_after_a_reset() -> None:
    detector = Detector(LABELS, dataclasses.replace(POINT, smoothing=0.3), window=1.0, hop=0.1)
    loud = np.array([[1.0, 0.0, 0.0, 0.0]] * 4, dtype=np.float32)
    fresh = detector.feed(loud, [1.0, 1.1, 1.2, 1.3])
    assert [event.time for event in fresh] == [1.2]
    detector.reset()
    assert detector.feed(loud, [1.0, 1.1, 1.2, 1.3]) == fresh


@pytest.mark.parametrize(
    ("smoothing", "refractory", "hop", "together", "apart"),
    [
        (0.0, 0.0, 0.1, 1, 1),
        (0.3, 0.5, 0.1, 3, 5),
        (0.14, 0.51, 0.1, 1, 6),
        (0.16, 0.49, 0.1, 2, 5),
        (0.3, 0.7, 0.1, 3, 7),  # 0.7 / 0.1 is 6.999..., 0.3 / 0.1 is 2.999...
        (0.35, 0.6, 0.2, 2, 3),  # 0.6 / 0.2 is 2.999...
        (0.12, 0.33, 0.11, 1, 3),
        (0.2, 1.1, 0.05, 4, 22),  # 1.1 / 0.05 is a rounding above 22
    ],
)
def test_seconds_are_told_in_windows(
    smoothing: float, refractory: float, hop: float, together: int, apart: int
) -> None:
    settings = dataclasses.replace(POINT, smoothing=smoothing, refractory=refractory)
    detector = Detector(LABELS, settings, window=1.0, hop=hop)
    assert (detector.hop, detector.together, detector.apart) == (hop, together, apart)


def test_scores_hold_a_word_that_is_listened_for_from_its_threshold_on() -> None:
    labels = ["yes", "no", "_silence_"]  # other speech is not known, so a score is what counts
    detector = Detector(labels, dataclasses.replace(POINT, threshold=0.5), window=1.0, hop=0.1, words=["no"])
    for scores, holds in {(0.0, 0.49, 0.5): False, (0.0, 0.5, 0.5): True, (0.0, 0.75, 0.2): True}.items():
        assert detector.holds(np.array(scores, np.float32)) is holds
    assert not detector.holds(np.array([0.9, 0.1, 0.0], np.float32))


def test_no_word_begins_before_the_sound() -> None:
    detector = Detector(LABELS, POINT, window=1.0, hop=0.1)
    (event,) = detector.feed(np.array([[0.9, 0.0, 0.0, 0.0]], np.float32), [0.4])
    assert (event.start, event.end, event.time) == (0.0, 0.4, 0.4)


def test_begin_and_end_are_told_in_microseconds() -> None:
    detector = Detector(LABELS, POINT, window=1.0, hop=0.1)
    (event,) = detector.feed(np.array([[0.9, 0.0, 0.0, 0.0]], np.float32), [1.50000149])
    assert (event.start, event.end) == (0.700001, 1.500001)


def test_where_nobody_chose_a_point_a_word_has_to_be_sure_for_a_while() -> None:
    assert heard([[0.95, 0.0, 0.0, 0.05]] * 2, UNTUNED) == []
    assert heard([[0.85, 0.0, 0.0, 0.15]] * 9, UNTUNED) == []
    assert [event.label for event in heard([[0.95, 0.0, 0.0, 0.05]] * 3, UNTUNED)] == ["yes"]


def test_an_event_is_a_value_of_which_the_sound_is_no_part() -> None:
    event = Event("yes", 0.9, 0.1, 0.5, 1.0)
    with_sound = dataclasses.replace(event, sound=np.zeros(16_000, np.float32))
    assert {event, with_sound} == {event}
    assert repr(with_sound) == repr(event)


def test_who_asks_for_what_is_no_word_is_told_the_words() -> None:
    with pytest.raises(sv.ConfigError, match="'maybe' is no word") as caught:
        Detector(LABELS, POINT, window=1.0, hop=0.1, words=["yes", "maybe"])
    assert caught.value.hint == "it listens for yes, no"
    with pytest.raises(sv.ConfigError) as caught:
        Detector(["_silence_", "_unknown_"], POINT, window=1.0, hop=0.1, words=["yes"])
    assert caught.value.hint == "it listens for none"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", 0.0),
        ("threshold", 1.1),
        ("smoothing", -1.0),
        ("refractory", float("nan")),
        ("hop", 0.0),
        ("thresholds", {"yes": 2.0}),
    ],
)
def test_what_is_not_legal_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(sv.ConfigError, match=rf"detection\.{field}"):
        DetectionConfig(**{field: value})  # type: ignore[arg-type]


def test_thresholds_are_of_labels() -> None:
    config = sv.SnnVoice(sv.TcySNN(2), labels=["yes", "no"]).config
    with pytest.raises(sv.ConfigError, match="'stop' is not legal"):
        dataclasses.replace(config, detection=DetectionConfig(thresholds={"stop": 0.5}))
    kept = dataclasses.replace(config, detection=DetectionConfig(thresholds={"no": 0.5}))
    assert sv.VoiceConfig.from_dict(kept.to_dict()) == kept
