"""A program of somebody who uses snn-voice-hub and checks types strictly.

Where an error is expected, `--warn-unused-ignores` complains if there is none: so nothing here is `Any`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
import torch
from torch import Tensor, nn

from snn_voice_hub import (
    M5SNN,
    AudioError,
    ConvNetwork,
    Event,
    FeatureConfig,
    Prediction,
    SnnVoice,
    SnnVoiceError,
    SpikingNetwork,
    VoiceConfig,
    VoiceStream,
    Window,
    list_models,
    register_architecture,
)
from snn_voice_hub.models import Pass, over_time


def heard(voice: SnnVoice, clip: Path) -> str:
    """The best word of a clip, asked for in every way."""
    best = voice.classify(clip, top_k=1, min_score=0.5)
    assert_type(best, list[Prediction])
    assert_type(voice.classify([clip, clip], words_only=True), list[list[Prediction]])
    assert_type(voice.classify_windows(clip, hop_seconds=0.5), list[Window])
    for answer in voice.classify_each([clip, b"no sound"], on_error="return"):
        assert_type(answer, list[Prediction] | AudioError)
        print(answer.message if isinstance(answer, AudioError) else answer[0].label)
    return best[0].label


async def words(voice: SnnVoice, samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> list[str]:
    """The words of sound that goes on."""
    stream = voice.stream(sample_rate=16_000, words=["yes"], threshold={"yes": 0.6})
    assert_type(stream, VoiceStream)
    events = [*stream.feed(samples), *stream.flush()]
    assert_type(events, list[Event])
    assert_type(voice.listen([samples], sample_rate=16_000), Iterator[Event])

    async def chunks() -> AsyncIterator[bytes]:
        yield samples.tobytes()

    async for event in voice.alisten(chunks(), sample_rate=16_000):
        assert_type(event.start, float)
    return [event.label for event in events]


@register_architecture
class Small(SpikingNetwork):
    """A network of one's own."""

    min_shape = (16_000,)
    default_features = FeatureConfig(kind="waveform", feature_rate=16_000, normalization="clip")

    def build(self) -> None:
        """Make the layers."""
        self.conv = nn.Conv1d(1, 4, 80, stride=40)
        self.lif = self.make_lif(4)
        self.fc = nn.Linear(4, self.num_classes)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """Logits of the steps."""
        spk = run.fire("lif", self.lif, over_time(self.conv, x))
        return run.readout(self.fc, spk.mean(-1))


def networks(folder: Path) -> None:
    """Bare networks, saved and opened."""
    network = M5SNN.from_pretrained("m5-snn")
    assert_type(network, M5SNN)
    assert issubclass(M5SNN, SpikingNetwork)
    assert not issubclass(M5SNN, ConvNetwork)
    voice = SnnVoice(Small(num_classes=2, num_steps=2), labels=["yes", "no"])
    assert_type(voice.config, VoiceConfig)
    voice.save_pretrained(folder)
    again = SnnVoice.from_pretrained(folder, device="cpu", dtype=torch.float32, engine="torch")
    assert_type(again, SnnVoice)
    assert_type(again.labels, list[str])
    assert_type(again.forward(torch.zeros(1, 16_000)), Tensor)


def mistakes(voice: SnnVoice, clip: Path) -> None:
    """Read by the checker, never run."""
    voice.classify(clip, top_k="one")  # type: ignore[call-overload]
    voice.classify(clip, topk=1)  # type: ignore[call-overload]
    voice.stream(sample_rate="16 kHz")  # type: ignore[arg-type]
    SnnVoice.from_pretrained(clip, revison="main")  # type: ignore[call-arg]


def main(clip: Path, folder: Path) -> None:
    """All of it."""
    voice = SnnVoice.from_pretrained()
    print(heard(voice, clip))
    sound = np.zeros(32_000, np.int16)
    print(asyncio.run(words(voice, sound)), [found.name for found in list_models()])
    networks(folder)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except SnnVoiceError as error:
        print(error.message, error.hint)
