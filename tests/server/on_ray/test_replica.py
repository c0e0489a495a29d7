"""A replica of a model on Ray Serve, without Ray running: its batches, and the model that it holds."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ray.serve", reason="the extra [ray] is not installed")

from snn_voice_server.failures import OutOfMemory
from snn_voice_server.models import work
from snn_voice_server.models.naming import Source
from snn_voice_server.models.work import LOGITS
from snn_voice_server.on_ray.replica import Failed, Ran, Replica
from snn_voice_server.settings import Settings

from tests.server.on_ray.test_serve import run


async def replica(monkeypatch: pytest.MonkeyPatch, most: int, **settings: Any) -> tuple[Replica, list[int]]:
    """A replica of the default model on a device with room for `most` windows, and the sizes of its runs."""
    real, sizes = work.logits_of, []

    def logits_of(model: Any, windows: Any) -> torch.Tensor:
        sizes.append(len(windows))
        if len(windows) > most:
            raise OutOfMemory("full")
        if any(float(window[0]) == 7.0 for window in windows):
            raise RuntimeError("this window is bad")
        return real(model, windows)

    made = Replica.__new__(Replica)
    source = Source("resmel-snn", "resmel-snn")
    await made.__init__(source, "cpu", Settings(**settings))  # type: ignore[misc]
    monkeypatch.setattr(work, "logits_of", logits_of)
    return made, sizes


def clips(*values: float) -> np.ndarray:
    return np.stack([np.full(16_000, value, np.float32) for value in values])


def test_a_bad_call_does_no_harm_to_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        made, _ = await replica(monkeypatch, most=32)
        good, bad, other = await made._answers(LOGITS, [clips(0.1, 0.2), clips(7.0), clips(0.3)])
        assert isinstance(good, Ran)
        assert isinstance(other, Ran)
        assert bad == Failed("error")
        assert [len(good.rows), len(other.rows)] == [2, 1]
        made.check_health()

    run(scene())


def test_a_batch_too_large_for_the_device_runs_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        made, sizes = await replica(monkeypatch, most=2)
        first, second = await made._answers(LOGITS, [clips(0.1, 0.2, 0.3), clips(0.4, 0.5)])
        assert isinstance(first, Ran)
        assert isinstance(second, Ran)
        assert (first.counts, second.counts) == (True, False)
        assert first.batch_windows == second.batch_windows == 5
        assert sizes == [5, 2, 2, 1]
        made, sizes = await replica(monkeypatch, most=0)
        assert await made._answers(LOGITS, [clips(0.1)]) == [Failed("out_of_memory")]

    run(scene())


def test_a_model_is_read_again_when_its_generation_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        made, _ = await replica(monkeypatch, most=32)
        voices = []
        for generation in (0, 0, 1, 1, 0):
            await made.reconfigure({"generation": generation})
            voices.append(made._voice)
        assert [a is b for a, b in itertools.pairwise(voices)] == [True, False, True, False]

    run(scene())
