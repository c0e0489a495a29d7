"""Which clips the comparison of ways to learn new words takes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import fine_tuning
from snn_voice_hub.training.clips.corpus import speaker
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.sources import Dataset


def clips(speakers: int, each: int) -> Clips:
    names = [f"{word}/s{s}_nohash_{n}.wav" for word in ("bed", "two") for s in range(speakers)
             for n in range(each)]  # fmt: skip
    rows = np.arange(len(names), dtype=np.int16)[:, None].repeat(4, 1)
    return Clips(rows, [name.split("/")[0] for name in names], names, [])


@pytest.mark.parametrize("size", [1, 5, 12])
def test_a_few_clips_are_of_many_speakers(size: int) -> None:
    found = fine_tuning.few(clips(10, 4), size, seed=1)
    for word in ("bed", "two"):
        own = [name for name, label in zip(found.names, found.labels, strict=True) if label == word]
        assert len(own) == len(set(own)) == size
        assert len({speaker(name) for name in own}) == min(size, 10)
    assert fine_tuning.few(clips(10, 4), size, seed=1).names == found.names
    assert fine_tuning.few(clips(10, 4), size, seed=2).names != found.names
    whole = clips(10, 4)
    for name, row in zip(found.names, found.waveforms, strict=True):
        assert row[0] == whole.names.index(name)


def test_nobody_learns_from_what_chooses_the_epoch() -> None:
    whole = Dataset(clips(2, 2), clips(1, 1), None, {}, [], "", [])
    small = fine_tuning.divided(fine_tuning.few(clips(10, 4), 20, 0), whole)
    assert len(small.train) == 36
    assert sorted(small.val.labels) == ["bed", "bed", "two", "two"]
    assert not set(small.train.names) & set(small.val.names)
