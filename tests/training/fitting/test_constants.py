"""The constants of "fixed" normalisation: what the statistics of one large batch would be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from snn_voice_hub.features import Features
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.fitting.constants import FRONT_ENDS, mean_and_std, measure_constants


@pytest.fixture(scope="module")
def clips() -> Clips:
    rng = np.random.default_rng(0)
    loudness = rng.uniform(100, 6000, (300, 1))
    waves = (loudness * rng.standard_normal((300, 16_000)) + 50).astype(np.int16)
    waves[:100, 9000:] = 0  # short clips, padded: their silence is below `ignore_below`
    return Clips(waves, ["yes"] * 300, [f"yes/{i}.wav" for i in range(300)], [])


def test_mean_and_deviation_of_parts_are_those_of_the_whole() -> None:
    whole = torch.randn(10_000, dtype=torch.float64) * 0.01 + 1000
    mean, std = mean_and_std([whole[:1], whole[1:70].reshape(3, 23), torch.empty(0), whole[70:]])
    assert mean == pytest.approx(float(whole.mean()), rel=1e-12)
    assert std == pytest.approx(float(whole.std()), rel=1e-9)
    with pytest.raises(ValueError, match="fewer than two"):
        mean_and_std([torch.ones(1)])


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_they_stand_in_for_the_statistics_of_the_whole_batch(kind: str, clips: Clips) -> None:
    fixed = measure_constants(FRONT_ENDS[kind], clips)
    assert fixed.normalization == "fixed"
    waves = clips.batch(slice(None))
    wanted = Features(dataclasses.replace(fixed, normalization="batch"))(waves)
    found = Features(fixed)(waves)
    assert torch.allclose(found, wanted, atol=1e-3)
    # Of another batch they are not: this is what they are for.
    few = Features(dataclasses.replace(fixed, normalization="batch"))(waves[:3])
    assert not torch.allclose(found[:3], few, atol=1e-2)


def test_constants_that_were_there_do_not_matter(clips: Clips) -> None:
    few = Clips(clips.waveforms[:20], clips.labels[:20], clips.names[:20], [])
    other = {"waveform_mean": 1.0, "waveform_std": 9.0, "feature_mean": 3.0, "feature_std": 7.0}
    start = dataclasses.replace(FRONT_ENDS["logmel"], **other)
    assert measure_constants(start, few) == measure_constants(FRONT_ENDS["logmel"], few)
