"""What the services share: the options, and the way from the bytes of WAV files to answers."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from snn_voice_lite.answers import best
from torch import Tensor

from snn_voice_hub import SnnVoice, audio
from snn_voice_hub.inference.answers import scores
from snn_voice_hub.inference.windows import fit

MEDIA_TYPE = "audio/wav"
TOP_K = 5

Answer = list[dict[str, Any]]


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every service needs to know."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--engine", default="auto")
    return parser


class Model:
    """A checkpoint as somebody would wrap it who has batches to form.

    Args:
        name: Bundled name or folder.
        engine: How the network is run.
    """

    def __init__(self, name: str, engine: str) -> None:
        self.voice = SnnVoice.from_pretrained(name, engine=engine).requires_grad_(False)
        self.voice.warm_up(1, 16)

    def decode(self, data: bytes) -> Tensor:
        """The waveform `[N]` of the bytes of a file with one second of sound."""
        features = self.voice.config.features
        return fit(audio.load(data, target_rate=features.sample_rate), features.num_samples)

    @torch.inference_mode()
    def answers(self, waveforms: Tensor | Sequence[Tensor]) -> list[Answer]:
        """The best labels of waveforms, run as one batch."""
        batch = waveforms if isinstance(waveforms, Tensor) else torch.stack(list(waveforms))
        rows = scores(self.voice(batch), self.voice.config.temperature, "softmax")
        labels = self.voice.config.labels
        return [
            [{"label": p.label, "score": p.score} for p in best(row, labels, TOP_K, None)]
            for row in rows.cpu().numpy()
        ]


def plain_classify(name: str, engine: str) -> Callable[[bytes], Answer]:
    """`classify(bytes)` of a checkpoint, warmed up, with an answer that becomes JSON."""
    voice = SnnVoice.from_pretrained(name, engine=engine).requires_grad_(False)
    voice.warm_up()
    return lambda data: [{"label": p.label, "score": p.score} for p in voice.classify(data, top_k=TOP_K)]


def loop_classify(name: str) -> Callable[[bytes], Answer]:
    """The same, but the network runs as in the paper's code: a Python loop over the steps, snnTorch in it.

    One request at a time: snnTorch's neurons keep their membranes in the module, and threads that share it
    would go on with each other's. Without the lock many scores are wrong under load.
    """
    from benchmarks.naive import NaiveNetwork
    from snn_voice_hub.models.network import SpikingNetwork

    model = Model(name, "loop")
    voice = model.voice
    if not isinstance(voice.network, SpikingNetwork):
        raise SystemExit(f"{name} is no spiking network, so it has no loop over steps")
    naive = NaiveNetwork(voice.network)
    turn = threading.Lock()

    @torch.inference_mode()
    def classify(data: bytes) -> Answer:
        features = voice.features(model.decode(data).unsqueeze(0))
        with turn:
            logits = naive.logits(features)
        row = scores(logits, voice.config.temperature, "softmax")[0]
        return [
            {"label": p.label, "score": p.score} for p in best(row.numpy(), voice.config.labels, TOP_K, None)
        ]

    return classify
