"""Twenty minutes of speech, and fifty words in it."""

from __future__ import annotations

import numpy as np

from benchmarks.wild import fifty_times
from snn_voice_hub.training.clips.data import Clips

RATE = 4_000


def test_fifty_words_are_said_in_speech_of_one_loudness() -> None:
    word = np.zeros((3, RATE), np.int16)
    word[:, 1_000:3_000] = (20_000 * np.sin(np.arange(2_000) / 3)).astype(np.int16)
    clips = Clips(word, ["stop"] * 3, ["a", "b", "c"], [])
    quiet = np.random.default_rng(0).standard_normal(7 * RATE).astype(np.float32) * 0.01
    stream = fifty_times(clips, [quiet, 30 * quiet[:RATE]], RATE)
    assert len(stream.waveform) == 1_200 * RATE
    assert [said.label for said in stream.said] == ["stop"] * 50
    assert all(a.end + 2 < b.start for a, b in zip(stream.said, stream.said[1:], strict=False))
    for said in stream.said:
        spoken = stream.waveform[round(said.start * RATE) : round(said.end * RATE)]
        pause = stream.waveform[round((said.start - 0.4) * RATE) : round((said.start - 0.3) * RATE)]
        assert abs(20 * np.log10(np.sqrt(np.mean(spoken**2))) + 25) < 0.5
        assert not pause.any()
    talk = stream.waveform[:RATE]
    assert abs(20 * np.log10(np.sqrt(np.mean(talk**2))) + 25) < 1
    again = fifty_times(clips, [quiet, 30 * quiet[:RATE]], RATE)
    assert np.array_equal(again.waveform, stream.waveform)
