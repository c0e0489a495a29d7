"""The encoder of OpenAI's Whisper (MIT), run by CTranslate2: which files it is made of, and what it hears.

A. Radford et al., "Robust speech recognition via large-scale weak supervision", ICML 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torchaudio
from torch import Tensor
from torch.nn import functional

from snn_voice_hub.errors import needs_extra
from snn_voice_hub.tensors import FLOAT32, float32_on_cpu
from snn_voice_hub.training.clips.pinned import check, digest, read_file

SAMPLE_RATE = 16_000

_N_FFT, _HOP, _N_MELS = 400, 160, 80
# Whisper hears 30 s. Of that a word needs its second and some quiet around it: with 1.6 s a clip takes a
# twentieth of the time, and the frames that are kept end 0.1 s after the clip, as they begin before it.
_SECONDS, _LEAD = 1.6, 0.1
_FRAMES = 60  # of 20 ms
# Clips that are encoded together: no faster on a CPU with more.
_BATCH = 8

_WEIGHTS = "model.bin"
_HINT = 'the files that docs/training.md names under "Whisper as teacher"'


@dataclass(frozen=True)
class Pinned:
    """A Whisper model in CTranslate2's format.

    Attributes:
        name: What it is called.
        files: SHA-256 of each of its files.
    """

    name: str
    files: Mapping[str, str]


# Conversions of OpenAI's weights by Systran (faster-whisper). Another file may hold anything.
KNOWN = (
    Pinned(
        "Whisper tiny.en",
        {
            _WEIGHTS: "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        },
    ),
    Pinned(
        "Whisper base",
        {
            _WEIGHTS: "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        },
    ),
)


class Encoder(Protocol):
    """What turns sound into frames that tell words apart.

    Attributes:
        name: What it is called.
    """

    name: str

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Frames `[B, T, D]` of waveforms `[B, N]` at 16 kHz."""


class WhisperEncoder:
    """Whisper's encoder.

    Args:
        folder: Its files, one of `KNOWN`.
        threads: Of the CPU.

    Attributes:
        name: Which one it is.

    Raises:
        CheckpointError: A file is not there, or is not what it was when it was pinned.
        MissingExtraError: CTranslate2 is not installed.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        loaded = load_whisper(folder, threads)
        self.name, self._model, self._frames = loaded.name, loaded.model, loaded.frames

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Frames `[B, 60, D]`, 20 ms each, of clips `[B, N]` of up to 1 s at 16 kHz.

        They begin 0.1 s before the clip, and end 0.1 s after its second.
        """
        parts = []
        for part in torch.split(waveforms, _BATCH):
            heard = self._frames(np.ascontiguousarray(log_mel(_padded(part)).numpy()))
            parts.append(np.array(self._model.encode(heard, to_cpu=True))[:, :_FRAMES])
        return torch.from_numpy(np.concatenate(parts))


class LoadedWhisper(NamedTuple):
    """A Whisper model in memory.

    Attributes:
        name: Which one it is.
        model: CTranslate2's.
        frames: Makes of an array what that takes.
    """

    name: str
    model: Any
    frames: Any


def load_whisper(folder: Path, threads: int = 1) -> LoadedWhisper:
    """Load a Whisper model.

    Args:
        folder: Its files, one of `KNOWN`.
        threads: Of the CPU.

    Raises:
        CheckpointError: A file is not there, or is not what it was when it was pinned.
        MissingExtraError: CTranslate2 is not installed.
    """
    with needs_extra("Whisper", "teacher", "CTranslate2", ("ctranslate2",)):
        import ctranslate2
    pinned, files = _checked(folder)
    # From memory: what was checked is what is loaded, and nothing that lies beside it.
    model = ctranslate2.models.Whisper(
        str(folder), device="cpu", compute_type="float32", intra_threads=threads, files=files
    )
    return LoadedWhisper(pinned.name, model, ctranslate2.StorageView.from_array)


def log_mel(waveforms: Tensor) -> Tensor:
    """Whisper's own front end: waveforms `[B, N]` at 16 kHz -> `[B, 80, N / 160]`.

    Slaney's mel filters, the logarithm, at most 80 dB below the loudest value of the clip, and a shift.
    """
    with float32_on_cpu():
        filters = torchaudio.functional.melscale_fbanks(
            _N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, _N_MELS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
        )
    window = torch.hann_window(_N_FFT, **FLOAT32)
    spectrum = torch.stft(waveforms, _N_FFT, _HOP, window=window, return_complex=True)[..., :-1]
    power = spectrum.real.square() + spectrum.imag.square()
    levels = (power.transpose(1, 2) @ filters).transpose(1, 2).clamp_min(1e-10).log10()
    levels = torch.maximum(levels, levels.amax((1, 2), keepdim=True) - 8.0)
    return (levels + 4.0) / 4.0


def _padded(waveforms: Tensor) -> Tensor:
    """Clips in as much quiet as the encoder hears."""
    lead, length = round(_LEAD * SAMPLE_RATE), round(_SECONDS * SAMPLE_RATE)
    return functional.pad(waveforms, (lead, length - lead - waveforms.shape[1]))


def _checked(folder: Path) -> tuple[Pinned, dict[str, bytes]]:
    """The files of a known model.

    Raises:
        CheckpointError: They are not.
    """
    content = {_WEIGHTS: read_file(folder / _WEIGHTS, _HINT)}
    found = digest(content[_WEIGHTS])
    pinned = next((one for one in KNOWN if one.files[_WEIGHTS] == found), None)
    names = pinned.name if pinned else " or ".join(one.name for one in KNOWN)
    for name, wanted in (pinned or KNOWN[0]).files.items():
        if name not in content:
            content[name] = read_file(folder / name, _HINT)
        check(content[name], wanted, folder / name, names, _HINT)
    assert pinned is not None
    return pinned, content
