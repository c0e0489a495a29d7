"""Other listeners on the same sound: what a second of it costs them, one word each."""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.common import interleave
from benchmarks.report import Table
from snn_voice_hub.voice import SnnVoice

RATE = 16_000
TEXT = (
    "Beside other listeners, CPU time of a second of sound, one thread, one session, chunks of 80 ms, taking "
    "turns. They each listen for one phrase, which is not said here; ours for its 35 words, which are, and "
    "then for one of them. The gate is off, so all compute all the time."
)
_CHUNK = round(0.08 * RATE)

Listens = Callable[[], object]


def beside(given: argparse.Namespace, wave: npt.NDArray[np.float32]) -> Iterator[object]:
    """A table, and a line for each who is missing."""
    part = (wave[: round(given.sound * RATE)].clip(-1, 1) * 32_767).astype("<i2")
    chunks = [part[at : at + _CHUNK] for at in range(0, len(part), _CHUNK)]
    model = SnnVoice.from_pretrained(given.model)
    names: dict[str, tuple[str, Listens]] = {
        "ours": (f"`{given.model}`, 35 words", _ours(model, chunks)),
        "ours, one": (f"`{given.model}`, one word", _ours(model, chunks, words=[model.labels[0]])),
    }
    missing = []
    for name, package, make in (
        ("micro", "pymicro-wakeword", _micro),
        ("open", "openwakeword", _open),
    ):
        try:
            names[name] = (f"{package} {importlib.metadata.version(package)}", make(chunks))
        except importlib.metadata.PackageNotFoundError:
            missing.append(f"`{package}` is not installed, and left out.")
        except Exception as error:  # of any kind: its models are not there, its runtime does not fit
            missing.append(
                f"`{package}` can't be run here, and is left out: {str(error).splitlines()[0][:120]}."
            )
    timings = interleave(
        {name: call for name, (_, call) in names.items()},
        seconds=given.seconds,
        rounds=given.rounds,
        warmup=1,
    )
    table = Table("listener", "CPU ms a second of sound")
    for name, (shown, _) in names.items():
        table.add(shown, timings[name].cpu_ms / given.sound)
    yield table
    yield from missing


def _ours(model: SnnVoice, chunks: list[npt.NDArray[np.int16]], words: list[str] | None = None) -> Listens:
    stream = model.stream(sample_rate=RATE, gate=None, scores=False, words=words)

    def listen() -> None:
        stream.reset()
        for chunk in chunks:
            stream.feed(chunk)

    return listen


def _micro(chunks: list[npt.NDArray[np.int16]]) -> Listens:
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

    front_end, network = MicroWakeWordFeatures(), MicroWakeWord.from_builtin(Model.OKAY_NABU)
    data = [chunk.tobytes() for chunk in chunks]

    def listen() -> None:
        for chunk in data:
            for features in front_end.process_streaming(chunk):
                network.process_streaming(features)

    return listen


def _open(chunks: list[npt.NDArray[np.int16]]) -> Listens:
    from openwakeword.model import Model  # type: ignore[import-not-found, unused-ignore]

    network = Model(wakeword_models=["hey_jarvis"], inference_framework="onnx", ncpu=1)
    return lambda: [network.predict(chunk) for chunk in chunks]
