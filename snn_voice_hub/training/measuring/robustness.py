"""Accuracy under noise and time shifts, drawn alike for every model.

What a clip gets is decided by its name alone: not by the model, the batch, or the other clips. So figures of
two models over the same clips differ by the models only.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_voice_hub.inference.windows import split
from snn_voice_hub.tensors import FLOAT32
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.measuring.logits import logits_of
from snn_voice_hub.training.measuring.metrics import right_answers
from snn_voice_hub.voice import SnnVoice

SNR_DB = (20, 10, 0)
SHIFT_MS = 100
SEED = 0

_BATCH = 64
# Root mean square under which a piece of a recording is silence (-80 dB of full scale): it can't be brought
# to a ratio.
_SILENT = 1e-4


def noise_pieces(recordings: Mapping[str, Tensor], size: int) -> tuple[list[Tensor], list[str]]:
    """Cut recordings into pieces that can be added to a clip.

    Args:
        recordings: Waveforms `[N]` by name; one shorter than a piece is repeated.
        size: Length of a piece in samples.

    Returns:
        Pieces `[size]` that are not silent, ordered by the recordings' names, half a piece apart; and the
        names of recordings without any.
    """
    pieces: list[Tensor] = []
    silent = []
    for name in sorted(recordings):
        wave = recordings[name]
        if 0 < len(wave) < size:
            wave = wave.repeat(-(-size // len(wave)))[:size]
        windows = split(wave, size, size // 2, 0)[0] if len(wave) else torch.zeros(0, size, **FLOAT32)
        loud = [window for window in windows if float(window.square().mean().sqrt()) >= _SILENT]
        pieces += loud
        if not loud:
            silent.append(name)
    return pieces, silent


def mix(waveforms: Tensor, noise: Tensor, snr_db: float) -> Tensor:
    """Add noise at a signal-to-noise ratio, both powers taken over the whole window.

    A silent clip stays silent: it has no power to which noise could be set in a ratio.

    Args:
        waveforms: `[B, N]`.
        noise: `[B, N]`, none of them silent.
        snr_db: The ratio in dB.
    """
    level = waveforms.square().mean(1, keepdim=True).sqrt() / 10 ** (snr_db / 20)
    return waveforms + noise / noise.square().mean(1, keepdim=True).sqrt() * level


def shift(waveforms: Tensor, samples: Sequence[int]) -> Tensor:
    """Move each clip `[B, N]` later (positive) or earlier; zeros come in, what leaves the window is lost."""
    moved = torch.zeros_like(waveforms)
    length = waveforms.shape[1]
    for to, wave, by in zip(moved, waveforms, samples, strict=True):
        by = max(-length, min(length, by))
        if by >= 0:
            to[by:] = wave[: length - by]
        else:
            to[:by] = wave[-by:]
    return moved


def _draw(name: str, what: str) -> np.random.Generator:
    # Word and file alone: a clip of a tar and of the folder that it was packed from gets the same.
    key = "/".join(PurePosixPath(name).parts[-2:])
    return np.random.default_rng([SEED, zlib.crc32(f"{what}|{key}".encode())])


def _white(names: Sequence[str], size: int) -> Tensor:
    rows = [_draw(name, "white").standard_normal(size, dtype=np.float32) for name in names]
    return torch.from_numpy(np.stack(rows))


def _recorded(names: Sequence[str], pieces: Sequence[Tensor]) -> Tensor:
    return torch.stack([pieces[int(_draw(name, "recorded").integers(len(pieces)))] for name in names])


@torch.inference_mode()
def robustness(
    model: SnnVoice,
    clips: Clips,
    recordings: Mapping[str, Tensor] | None = None,
    *,
    told: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Top-1 accuracy over changed clips.

    Args:
        model: The model.
        clips: Labelled clips of the model's rate and length.
        recordings: Background recordings `[N]` by name.
        told: Gets a line on each recording that can't be used.

    Returns:
        `white_noise` and, with usable recordings, `recorded_noise`: top-1 by ratio ("20_db", "10_db",
        "0_db"). `shift`: top-1 with each clip moved by up to 100 ms either way, and with all moved by
        100 ms.
    """
    size = clips.waveforms.shape[1]
    pieces, silent = noise_pieces(recordings or {}, size)
    for name in silent:
        told(f"{name} is silent and is not added as noise")
    most = round(SHIFT_MS * model.sample_rate / 1000)
    right: dict[tuple[str, str], list[Tensor]] = {}
    for begin in range(0, len(clips), _BATCH):
        rows = slice(begin, begin + _BATCH)
        waves, names, words = clips.batch(rows), clips.names[rows], clips.labels[rows]
        changed: dict[tuple[str, str], Tensor] = {}
        noises = {"white_noise": _white(names, size)}
        if pieces:
            noises["recorded_noise"] = _recorded(names, pieces)
        for kind, noise in noises.items():
            changed |= {(kind, f"{snr}_db"): mix(waves, noise, snr) for snr in SNR_DB}
        drawn = [int(_draw(name, "shift").integers(-most, most, endpoint=True)) for name in names]
        for name, by in (
            (f"up_to_{SHIFT_MS}_ms", drawn),
            (f"{SHIFT_MS}_ms_earlier", [-most] * len(names)),
            (f"{SHIFT_MS}_ms_later", [most] * len(names)),
        ):
            changed["shift", name] = shift(waves, by)
        for key, wave in changed.items():
            right.setdefault(key, []).append(right_answers(logits_of(model, [wave]), words, model.labels))
    figures: dict[str, Any] = {}
    for (kind, name), parts in right.items():
        figures.setdefault(kind, {})[name] = round(float(torch.cat(parts).float().mean()), 4)
    return figures
