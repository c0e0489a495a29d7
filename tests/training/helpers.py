"""Words for training tests: tones that any network tells apart."""

from __future__ import annotations

import dataclasses

import numpy as np

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.sources import Dataset
from snn_voice_hub.training.fitting.recipe import Augmentation, Recipe

PITCH = {"yes": 300.0, "no": 900.0, "up": 1700.0}
LOGMEL = FeatureConfig(kind="logmel", normalization="clip")


def tones(count: int, seed: int = 0, pitches: dict[str, float] | None = None) -> Clips:
    """`count` clips of each word."""
    rng = np.random.default_rng(seed)
    time = np.arange(16_000) / 16_000
    rows, labels, names = [], [], []
    for word, pitch in (pitches or PITCH).items():
        for n in range(count):
            tone = np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * time) * np.hanning(16_000)
            wave = 0.3 * tone + 0.01 * rng.standard_normal(16_000)
            rows.append((wave * 32767).astype(np.int16))
            labels.append(word)
            names.append(f"{word}/{n}.wav")
    return Clips(np.stack(rows), labels, names, [])


def dataset(train: int | Clips = 20, val: int | Clips = 5) -> Dataset:
    """Clips, or so many tones of each word."""
    return Dataset(
        train=tones(train) if isinstance(train, int) else train,
        val=tones(val, seed=1) if isinstance(val, int) else val,
        test=None,
        noises={},
        skipped=[],
        rule="as the test says",
        facts=[{"name": "tones"}],
    )


def recipe(**changes: object) -> Recipe:
    """A tiny one; two epochs of six steps on `dataset()`."""
    plain = Recipe(
        architecture="TcySNN",
        network={"num_steps": 3},
        features=LOGMEL,
        augmentation=Augmentation(noise=0.5, bands=4, frames=4),
        epochs=2,
        batch_size=10,
        lr=0.05,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]
