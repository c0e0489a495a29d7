"""What Whisper writes down of a clip: its decoder, a word at a time, whichever is likeliest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional

from snn_voice_hub.training.fitting.whisper.encoder import SAMPLE_RATE, load_whisper, log_mel

# Seconds of quiet before a clip, and of all that Whisper hears. It was trained with 30; with too few it says
# a word over and over, and with many each clip takes longer.
_LEAD, _LEAST = 0.3, 2.5
# A phrase has no more tokens, and what it says over and over ends there.
_MOST_TOKENS = 16
_BEGIN, _END = "<|startoftranscript|>", "<|notimestamps|>"
_ENGLISH = ("<|en|>", "<|transcribe|>")  # of a model that knows more languages


def _bytes_of() -> dict[str, int]:
    """The byte that each character of a token stands for: itself where it can be seen, else one above 255."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    found = {chr(byte): byte for byte in plain}
    hidden = [byte for byte in range(256) if byte not in set(plain)]
    return found | {chr(256 + i): byte for i, byte in enumerate(hidden)}


_BYTES = _bytes_of()


class Transcriber:
    """Whisper, as it writes down what it hears.

    Args:
        folder: Its files, as of `WhisperEncoder`.
        threads: Of the CPU.

    Attributes:
        name: Which one it is.

    Raises:
        CheckpointError: A file is not there, or is not what it was when it was pinned.
        MissingExtraError: CTranslate2 is not installed.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.name, self._model, self._frames = load_whisper(folder, threads)
        self._prompt = [_BEGIN, *(_ENGLISH if self._model.is_multilingual else ()), _END]

    def __call__(self, wave: Tensor) -> str:
        """What is said in a clip `[N]` at 16 kHz, as far as Whisper understands it.

        Of a word alone it often writes the same word several times.
        """
        lead = round(_LEAD * SAMPLE_RATE)
        length = max(round(_LEAST * SAMPLE_RATE), 2 * lead + len(wave))
        heard = log_mel(functional.pad(wave, (lead, length - lead - len(wave)))[None])
        frames = self._frames(np.ascontiguousarray(heard.numpy()))
        (answer,) = self._model.generate(
            frames, [self._prompt], beam_size=1, max_length=_MOST_TOKENS + len(self._prompt)
        )
        return text_of(answer.sequences[0])


def text_of(tokens: Sequence[str]) -> str:
    """Tokens of Whisper, whose characters stand for bytes, as text."""
    data = bytes(_BYTES[character] for token in tokens for character in token if character in _BYTES)
    return data.decode("utf-8", "replace").strip()
