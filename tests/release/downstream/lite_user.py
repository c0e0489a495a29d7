"""A program of somebody who uses snn-voice-lite and checks types strictly."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
from snn_voice_lite import (
    AudioError,
    Event,
    Prediction,
    SnnVoiceError,
    Voice,
    VoiceStream,
    Window,
    list_models,
)


def heard(voice: Voice, clip: Path) -> str:
    """The best word of a clip, asked for in every way."""
    best = voice.classify(clip, top_k=1)
    assert_type(best, list[Prediction])
    assert_type(voice.classify([clip, clip], words_only=True), list[list[Prediction]])
    assert_type(voice.classify_windows(clip, hop_seconds=0.5, min_score=0.5), list[Window])
    for answer in voice.classify_each([clip, b"no sound"], on_error="return"):
        assert_type(answer, list[Prediction] | AudioError)
    return best[0].label


def words(voice: Voice) -> list[str]:
    """The words of sound that goes on."""
    samples = np.zeros(32_000, np.int16)
    stream = voice.stream(sample_rate=16_000, words=["yes"])
    assert_type(stream, VoiceStream)
    events = [*stream.feed(samples), *stream.flush()]
    assert_type(events, list[Event])
    assert_type(voice.listen([samples], sample_rate=16_000), Iterator[Event])
    return [event.label for event in events]


def mistakes(voice: Voice, clip: Path) -> None:
    """Read by the checker, never run."""
    voice.classify(clip, top_k="one")  # type: ignore[call-overload]
    voice.classify_windows(clip, topk=1)  # type: ignore[call-arg]


if __name__ == "__main__":
    try:
        model = Voice(list_models()[0], threads=1)
        assert_type(model.labels, list[str])
        print(heard(model, Path(sys.argv[1])), words(model))
    except SnnVoiceError as error:
        print(error.message, error.hint)
