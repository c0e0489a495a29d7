"""A model that listens, and sound for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile as sf
import soxr
import torch
from snn_voice_lite.streaming.detector import Event
from snn_voice_lite.streaming.session import VoiceStream
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.config import SPEECH_COMMANDS, DetectionConfig
from tests.models.lively import lively
from tests.places import EXAMPLES

WORDS = ("yes", "go", "marvin")
Wave = npt.NDArray[np.float32]
RATE = 16_000
SIZES = [1, 160, 1_280, 16_000, None]


@cache
def model() -> sv.SnnVoice:
    return sv.SnnVoice.from_pretrained()


@cache
def follower(name: str = "TempoSNN", engine: str = "torch") -> sv.SnnVoice:
    """A network whose steps are those of the sound; what it hears is nonsense, but it hears something."""
    network = lively(name, num_classes=37)
    labels = [*SPEECH_COMMANDS, "_silence_", "_unknown_"]
    found = sv.SnnVoice(network, network.default_features, labels, name="follower", engine=engine).eval()
    found.config = dataclasses.replace(found.config, detection=DetectionConfig(threshold=0.55, smoothing=0.2))
    return found


@cache
def talk(rate: int = RATE) -> Wave:
    """Three words, a second apart, over a quiet room; the last half second is cut from the end of a word."""
    rng, parts = np.random.default_rng(0), []
    for word in WORDS:
        wave, _ = sf.read(EXAMPLES / f"{word}.wav", dtype="float32")
        parts += [np.zeros(RATE, np.float32), wave]
    wave = np.concatenate(parts)
    wave = wave + 0.001 * rng.standard_normal(len(wave)).astype(np.float32)
    return wave if rate == RATE else np.asarray(soxr.resample(wave, RATE, rate, quality="VHQ"))


def cut(wave: Any, size: int | None) -> Iterator[Any]:
    """Chunks of one size, or of random ones."""
    rng, at = np.random.default_rng(2), 0
    while at < len(wave):
        count = int(rng.integers(0, 4_000)) if size is None else size
        yield wave[at : at + count]
        at += count


def heard(stream: VoiceStream, chunks: Iterator[Any]) -> list[Event]:
    events = [event for chunk in chunks for event in stream.feed(chunk)]
    return events + stream.flush()


@cache
def whole(rate: int) -> tuple[list[Event], dict[str, float]]:
    stream = model().stream(sample_rate=rate)
    return heard(stream, iter([talk(rate)])), stream.scores


class Loudness(torch.nn.Module):
    """A network that costs nothing."""

    num_classes = 2

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1)
