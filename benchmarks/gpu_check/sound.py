"""Sound that every machine has: words of `examples/` and signals by formula. No recordings are needed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.common import ROOT
from snn_voice_hub.audio import load
from tests.golden.formulas import waveform

EXAMPLES = ROOT / "examples"
RATE = 16_000
Pcm = npt.NDArray[np.int16]


def words() -> dict[str, Tensor]:
    """Word -> clip `[N]`, of `examples/`."""
    return {path.stem: load(path, target_rate=RATE) for path in sorted(EXAMPLES.glob("*.wav"))}


def clips(count: int, seconds: float = 1.0) -> Tensor:
    """Clips `[count, N]`: the words, padded or cut, and chirps, in turn; each a little louder or quieter."""
    size = round(seconds * RATE)
    known = [*words().values(), *(waveform(n) for n in range(8))]
    fitted = [torch.nn.functional.pad(each[:size], (0, max(0, size - len(each)))) for each in known]
    gains = torch.linspace(0.5, 1.0, count).unsqueeze(1)
    return torch.stack([fitted[n % len(fitted)] for n in range(count)]) * gains


def sentence() -> Pcm:
    """The words with pauses between them and faint noise behind, 16-bit samples `[N]`."""
    pause = np.zeros(round(0.8 * RATE), np.float32)
    parts = [part for clip in words().values() for part in (pause, clip.numpy())]
    sound = np.concatenate([*parts, np.zeros(2 * RATE, np.float32)])
    noise = 0.001 * np.random.default_rng(0).standard_normal(len(sound))
    return np.clip(np.round(32767 * (sound + noise)), -32768, 32767).astype(np.int16)
