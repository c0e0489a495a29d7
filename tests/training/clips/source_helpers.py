"""Sound made here, in every form of `data`."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile as sf

from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.sources import Dataset, load_dataset


def sound(level: float = 0.1, samples: int = 800) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, np.full(samples, level, np.float32), 16_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def write(root: Path, *names: str, content: bytes | None = None) -> Path:
    """Sound files whose level tells them apart; the tenth of a second is quick to decode."""
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound(0.001 * (i + 1)) if content is None else content)
    return root


def words(count: int = 10, *labels: str) -> list[str]:
    return [f"{word}/{n}.wav" for word in labels or ("yes", "no") for n in range(count)]


def packed(folder: Path, tar: Path, mode: str = "w") -> Path:
    with tarfile.open(tar, mode) as archive:  # type: ignore[call-overload]
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return tar


def load(data: str | Path, **settings: object) -> Dataset:
    return load_dataset(data, **({"num_samples": 800} | settings))  # type: ignore[arg-type]


def everything(found: Dataset) -> list[str]:
    parts = [found.train, found.val, *([found.test] if found.test else [])]
    return sorted(name for part in parts for name in part.names)


def check_sound(clips: Clips, levels: dict[str, float]) -> None:
    """Each name still has its own sound after the division."""
    for name, row in zip(clips.names, clips.waveforms, strict=True):
        assert abs(row[:800].mean() / 32768 - levels[name]) < 2e-4
