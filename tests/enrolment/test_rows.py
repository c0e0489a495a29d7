"""Prototypes as the rows of a layer."""

from __future__ import annotations

import numpy as np
import pytest

from snn_voice_hub.enrolment.rows import (
    Floats,
    LastLayer,
    Windows,
    learned,
    left_out,
    measured,
    shares,
)

H = 6


def windows(counts: list[int], *, spread: float = 0.1, seed: int = 0) -> Windows:
    """Words around a point each, three windows a clip; the last count is that of no word."""
    rng = np.random.default_rng(seed)
    points = 2 * np.eye(H)[: len(counts)]
    x, targets, clips, asked = [], [], [], []
    for target, count in enumerate(counts):
        for clip in range(count):
            own = points[target] + spread * rng.standard_normal(H)
            for place in range(3 if target < len(counts) - 1 else 1):
                x.append(own + 0.01 * place)
                targets.append(target)
                clips.append(clip)
                asked.append(place == 0)
    return Windows(np.stack(x), np.array(targets), np.array(clips), np.array(asked), len(counts) - 1)


def test_a_word_is_one_at_its_prototype_and_none_in_the_middle() -> None:
    w = windows([4, 2, 30])
    rows = learned(w)
    means = np.stack([w.features[w.targets == t].mean(0) for t in range(3)])
    np.testing.assert_allclose(rows(means.mean(0, keepdims=True)), 0, atol=1e-12)
    at = rows(means)[:2]
    assert float(np.diag(at).mean()) == pytest.approx(1)
    assert (np.diag(at) > 0.8).all()
    # As many clips as another word has, or not, changes nothing.
    thrice = Windows(*(np.concatenate([part, *[part[w.targets == 0]] * 2]) for part in
                       (w.features, w.targets, w.clips, w.asked)), w.words)  # fmt: skip
    np.testing.assert_allclose(learned(thrice).weight, rows.weight)


def test_the_nearest_prototype_has_the_highest_row() -> None:
    w = windows([5, 5, 5, 40], spread=0.4)
    said = learned(w)(w.features)
    words = w.targets < 3
    assert float((said[words].argmax(1) == w.targets[words]).mean()) > 0.95
    assert said[words].max(1).min() > np.median(said[~words].max(1))


def test_nobody_is_told_by_what_was_learned_from_it() -> None:
    w = windows([3, 1, 12])
    w.features[(w.targets == 0) & (w.clips == 1)] += 5  # a clip that is unlike all others
    told = left_out(w)
    assert sorted(told.targets.tolist()) == [0] * 3 + [2] * 12, "the only clip of a word is not asked"
    assert w.asked[told.which].all()
    for index, said in zip(told.which.tolist(), told.said, strict=True):
        same = (w.targets == w.targets[index]) & (w.clips % 10 == w.clips[index] % 10)
        same |= (w.targets != 1) & (w.clips % 10 == w.clips[index] % 10)
        np.testing.assert_allclose(said, learned(w, ~same)(w.features[[index]])[0])
    assert left_out(windows([1, 1, 1])).said.shape == (0, 2)


def logits_of(w: Windows, scale: float, middle: float) -> Floats:
    said = left_out(w).said
    return np.concatenate([scale * (said - middle), np.zeros((len(said), 1))], 1)


def test_scale_and_middle_are_those_by_which_clips_are_told_best() -> None:
    w = windows([12, 12, 60], spread=0.8, seed=3)
    told = left_out(w)
    none = np.zeros((len(told.which), 1))
    scale, middle = measured(told, 2, none[:, 0], none, 0)

    def value(scale: float, middle: float) -> float:
        found = shares(logits_of(w, scale, middle))[np.arange(len(told.targets)), told.targets]
        return float(sum(np.log(found[told.targets == t]).mean() for t in range(3)))

    best = value(scale, middle)
    assert best > value(10.0, 0.25)
    assert all(
        best >= value(scale * factor, middle + step) - 0.05 for factor in (0.7, 1.4) for step in (-0.12, 0.12)
    )


def test_where_nothing_tells_them_they_are_the_usual_ones() -> None:
    told = left_out(windows([1, 1, 40]))
    none = np.zeros((len(told.which), 1))
    assert measured(told, 2, none[:, 0], none, 0) == (10.0, 0.25)
    told = left_out(windows([3, 3, 40]))
    none = np.zeros((len(told.which), 0))
    scale, _ = measured(told, 2, np.zeros(len(none)), none, -1)  # of a model that knows words only
    assert 4 <= scale <= 40


def test_layers_are_put_together() -> None:
    layer = LastLayer(np.arange(12.0).reshape(3, 4), np.array([1.0, 2.0, 3.0]))
    x = np.ones((2, 4))
    np.testing.assert_array_equal(layer.pick([2, 0])(x), layer(x)[:, [2, 0]])
    np.testing.assert_array_equal(layer.and_then(layer.pick([1]))(x), layer(x)[:, [0, 1, 2, 1]])
    np.testing.assert_array_equal(layer.mean()(x), layer(x).mean(1, keepdims=True))
    np.testing.assert_array_equal(layer.pick([]).mean()(x), np.zeros((2, 1)))
