"""Streams that fail and go on, memory that is used again, and how long nothing is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import snn_voice_hub as sv
from tests.voice.stream_helpers import RATE, cut, heard, model, talk, whole


def test_a_stream_goes_on_after_a_failure() -> None:
    voice, calls = sv.SnnVoice.from_pretrained("resmel-snn"), []
    run = voice.run_inputs

    def fails_once(inputs: Sequence[Any]) -> Tensor:
        calls.append(len(inputs))
        if len(calls) == 1:
            raise RuntimeError("no memory")
        return run(inputs)

    voice.run_inputs = fails_once  # type: ignore[method-assign]
    for scores in (False, True):
        calls.clear()
        stream = voice.stream(sample_rate=RATE, scores=scores)
        with pytest.raises(RuntimeError, match="no memory"):
            stream.feed(talk())
        stream.reset()
        assert heard(stream, cut(talk(), 8_000)) == whole(RATE)[0]
        calls.clear()
        stream.reset()
        with pytest.raises(RuntimeError, match="no memory"):
            stream.feed(talk()[: 2 * RATE])
        more = stream.feed(talk()[2 * RATE :]) + stream.flush()
        assert [e.label for e in more] == [e.label for e in whole(RATE)[0]], "no sound is lost"


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_the_memory_of_a_chunk_may_be_used_again(rate: int) -> None:
    stream, buffer, events = model().stream(sample_rate=rate), np.zeros(100, np.float32), []
    for chunk in cut(talk(rate)[: len(talk(rate)) // 100 * 100], 100):
        buffer[:] = chunk
        events += stream.feed(buffer)
    assert [(e.label, e.time) for e in events] == [(e.label, e.time) for e in whole(rate)[0]][: len(events)]
    assert len(events) >= len(whole(rate)[0]) - 1


def test_where_only_events_are_asked_for_less_is_due() -> None:
    stream = model().stream(sample_rate=RATE, gate=None, scores=False)
    room, at = 1e-3 * np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32), 0
    point = model().config.detection
    assert point is not None
    for _ in range(4):
        needed = round(stream.due_in * RATE)
        assert needed == round(point.smoothing * RATE), "the windows of an event, of which one is looked at"
        assert not stream.take(room[at : at + needed - 1])
        due = stream.take(room[at + needed - 1 : at + needed])
        assert len(due) == 1
        assert not stream.take(room[:0]), "one thing after the other"
        stream.give(due, model().run_inputs(due.inputs))
        assert not stream.more()
        at += needed
