"""What rooms, telephones, microphones and codecs do to clips `[B, N]`; nothing is drawn here."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import soundfile
import torch
from torch import Tensor

from snn_voice_hub.tensors import FLOAT32

# How hard libsndfile squeezes, from 0 to 1: about 24 kbit/s of Opus, and 24 to 32 of MP3.
CODECS = (("OGG", "OPUS", 0.95), ("MP3", "MPEG_LAYER_III", 0.6), ("MP3", "MPEG_LAYER_III", 0.99))


def in_room(x: Tensor, rooms: Tensor) -> Tensor:
    """Clips as they sound in rooms, as loud as before; the direct sound stays where it is.

    Args:
        x: Clips `[B, N]`.
        rooms: An impulse response for each, `[B, M]`, M <= N.
    """
    length = x.shape[1]
    size = length + rooms.shape[1]
    first = rooms.abs().argmax(1, keepdim=True)
    heard = torch.fft.irfft(torch.fft.rfft(x, size) * torch.fft.rfft(rooms, size), size)
    index = (torch.arange(length, device=x.device) + first).clamp(max=size - 1)
    heard = heard.gather(1, index)
    before, after = (wave.square().mean(1, keepdim=True).sqrt() for wave in (x, heard))
    out: Tensor = heard * (before / after.clamp(min=1e-6))
    return out


def band_limited(x: Tensor, low: Tensor, high: Tensor, sample_rate: int) -> Tensor:
    """Clips `[B, N]` with nothing below `low` and above `high` (`[B, 1]`, Hz); the edges are a tenth wide."""
    spectrum = torch.fft.rfft(x)
    hz = torch.arange(spectrum.shape[1], **FLOAT32) * (sample_rate / x.shape[1])
    gain = ((hz / low - 0.95) * 10).clamp(0, 1) * ((1.05 - hz / high) * 10).clamp(0, 1)
    out: Tensor = torch.fft.irfft(spectrum * gain, x.shape[1])
    return out


def clipped(x: Tensor, part: Tensor) -> Tensor:
    """Clips `[B, N]` whose loudest samples are cut off at `part` (`[B, 1]`) of the peak."""
    limit = x.abs().amax(1, keepdim=True) * part
    return torch.maximum(torch.minimum(x, limit), -limit)


def coded(wave: Tensor, codec: int, sample_rate: int) -> Tensor:
    """A clip `[N]` after a round trip through one of the `CODECS`.

    A rate that the codec does not take leaves the clip as it is.
    """
    kind, subtype, level = CODECS[codec]
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, wave.numpy(), sample_rate, subtype, format=kind, compression_level=level)
        buffer.seek(0)
        back = soundfile.read(buffer, dtype="float32")[0]
    except soundfile.LibsndfileError:
        return wave
    out = np.zeros(len(wave), np.float32)
    out[: len(back)] = back[: len(wave)]
    return torch.from_numpy(out)


def stacked(rooms: Sequence[np.ndarray[tuple[int], np.dtype[np.float32]]], longest: int) -> Tensor:
    """Impulse responses as one tensor `[n, M]`, cut at `longest` samples."""
    size = min(longest, max((len(room) for room in rooms), default=0))
    out = torch.zeros(len(rooms), size, **FLOAT32)
    for row, room in zip(out, rooms, strict=True):
        row[: min(size, len(room))] = torch.from_numpy(room[:size])
    return out
