"""What the tests of `audio.load` share: sounds, their encodings, and what all errors have in common."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch

from snn_voice_hub import audio
from snn_voice_hub.errors import AudioError

PCM = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAV", "ALAW"),
    ("WAVEX", "PCM_16"),
    ("WAVEX", "PCM_24"),
    ("WAVEX", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("AIFF", "PCM_S8"),
    ("AIFF", "PCM_16"),
    ("AIFF", "PCM_24"),
    ("AIFF", "FLOAT"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_24"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("AU", "PCM_16"),
]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
RATES = [4000, 8000, 11025, 16000, 22050, 44100, 44101, 48000, 96000, 192000]
LOSSY_RATES = {
    "VORBIS": [8000, 11025, 16000, 22050, 44100, 44101, 48000, 96000, 192000],
    "OPUS": [8000, 16000, 24000, 48000],
    "MPEG_LAYER_III": [8000, 11025, 16000, 22050, 44100, 48000],
}
# Largest error of a sample that the coding itself brings, at amplitude 0.5.
TOLERANCE = {"PCM_U8": 0.01, "PCM_S8": 0.01, "ULAW": 0.02, "ALAW": 0.02}
RAW_WORDS = (
    "BytesIO",
    "libsndfile",
    "LibsndfileError",
    "Error opening",
    "Format not",
    "malformed",
    "Errno",
    "0x",
)


def tone(rate: int, *, freq: float = 440.0, seconds: float = 0.4, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * freq * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def encode(
    samples: np.ndarray, rate: int, fmt: str = "WAV", subtype: str = "PCM_16", **options: Any
) -> bytes:
    """Encode `[samples]` or `[samples, channels]`."""
    file = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with sf.SoundFile(file, "w", rate, channels, subtype, format=fmt, **options) as sound:
        sound.write(samples)
    return file.getvalue()


def fit(wave: torch.Tensor, freq: float, rate: int = 16_000) -> tuple[float, float]:
    """Amplitude of the sine of `freq` in the middle of `wave`, and the RMS of all that is something else."""
    x = wave.numpy().astype(np.float64)
    x = x[len(x) // 5 : -len(x) // 5]
    angle = 2 * np.pi * freq * np.arange(len(x)) / rate
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    weights, *_ = np.linalg.lstsq(basis, x, rcond=None)
    return float(np.hypot(*weights)), float(np.sqrt(np.mean((x - basis @ weights) ** 2)))


def noise(rate: int, seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(rate * seconds)).astype(np.float32)


def fails(code: str, source: Any, **kwargs: Any) -> AudioError:
    """Load, and check what all errors have in common."""
    with pytest.raises(AudioError) as caught:
        audio.load(source, **kwargs)
    error = caught.value
    assert error.code == code, str(error)
    assert "\n" not in str(error)
    assert not [word for word in RAW_WORDS if word in str(error)]
    assert isinstance(error, ValueError)
    return error


def junk(seed: int, count: int) -> bytes:
    return np.random.default_rng(seed).bytes(count)


@cache
def recording(fmt: str, subtype: str) -> bytes:
    return encode(noise(16_000, 4), 16_000, fmt, subtype)


def flac_with_total(data: bytes, total: int) -> bytes:
    field = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    return data[:18] + field.to_bytes(8, "big") + data[26:]
