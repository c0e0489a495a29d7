"""What the tests of many clips share: a model that is no network, clips, threads."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.inference import decode, pipeline
from snn_voice_hub.inference.ends import Ends
from snn_voice_hub.inference.pipeline import Pipeline

RATE = 16_000
SIZE = 320  # of a window, in samples
CONFIG = sv.SnnVoice(
    nn.Identity(),
    sv.FeatureConfig(kind="waveform", num_samples=SIZE, feature_rate=RATE),
    labels=["peak", "low", "first"],
).config
LONGEST = 50 * SIZE  # several windows


def run(windows: Tensor) -> Tensor:
    """Logits that are equal to the bit in any batch."""
    return torch.stack([windows.amax(1), -windows.amin(1), windows[:, 0]], 1)


def make(forward: Any = run, **options: Any) -> Pipeline:
    return Pipeline(Ends(CONFIG, **{"sample_rate": RATE, **options}), forward)


def samples(seed: int, length: int = SIZE) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.random.default_rng(seed).integers(-9999, 9999, length, dtype=np.int16)


def wav(seed: int, length: int = SIZE) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, samples(seed, length), RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def decoders() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("snn-voice-decode")]


def all_end() -> None:
    for thread in decoders():
        thread.join(20)
    assert decoders() == []


def with_cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """For a fixture whose parameters are numbers of cores; no thread may be left at the end."""
    monkeypatch.setattr(pipeline, "decoding_threads", lambda: request.param - 1)
    monkeypatch.setattr(decode, "SHORT_BYTES", 0)  # the clips of the tests are worth a thread
    yield request.param
    all_end()


def each_into(found: list[Any], answers: Iterator[Any]) -> None:
    """Append one by one, so that what came before an exception is kept."""
    for answer in answers:
        found.append(answer)


def write_clips(path: Path) -> Path:
    """The files that `clip_of` reads."""
    for seed in range(4):
        for length in (1, SIZE, LONGEST):
            (path / f"{seed}-{length}.wav").write_bytes(wav(seed, length))
    return path


def clip_of(folder: Path, kind: str, seed: int, length: int) -> Any:
    """A clip of some kind; the same sound for the same seed and length."""
    path = folder / f"{seed}-{length}.wav"
    clips = {
        "path": lambda: path,
        "str": lambda: str(path),
        "bytes": path.read_bytes,
        "array": lambda: samples(seed, length),
        "stream": lambda: io.BytesIO(path.read_bytes()),
        "bytearray": lambda: bytearray(path.read_bytes()),
        "bad bytes": lambda: path.read_bytes()[:-1],
        "no file": lambda: folder / "none.wav",
        "empty array": lambda: np.zeros(0, np.int16),
    }
    return clips[kind]()
