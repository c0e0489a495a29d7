"""What a model keeps of a stream, where its network hears windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snn_voice_hub.config import SILENCE, VoiceConfig
from snn_voice_hub.errors import CheckpointError, SnnVoiceError
from snn_voice_hub.features import Features
from snn_voice_hub.inference.ends import too_loud
from snn_voice_hub.inference.sliding import LogMelRow, SlidingLogMel, log_mels
from snn_voice_hub.streaming.chunks import Samples
from snn_voice_hub.streaming.detector import Scores
from snn_voice_hub.streaming.ring import Ring
from snn_voice_hub.streaming.search import SoughtWindow
from snn_voice_hub.streaming.session import Due


class WindowHearing:
    """The newest window of sound, and its log-mel where the next window can take it over.

    A row is the frames of a window that are not known yet, where the front end works by frames, and otherwise
    the window `[N]` itself.

    Args:
        config: Of the model.
        features: Its front end.
        hop: Distance between windows in samples.
        back: How many windows before the newest the row of one may still be asked for.
        gate: Windows in which nothing is louder are silence, in dB of full scale; None for no such windows.
        reuse: Whether frames may be taken over.
        trouble: Says what is wrong with the network itself where its scores are not finite; "" for nothing.

    Attributes:
        silence: Scores `[C]` of silence.
    """

    def __init__(
        self,
        config: VoiceConfig,
        features: Features,
        hop: int,
        gate: float | None,
        *,
        back: int = 0,
        reuse: bool = True,
        trouble: Callable[[], str] = str,
    ) -> None:
        self._config = config
        self._ring = Ring(config.features.num_samples, hop, back * hop)
        self._gate = gate
        self._trouble = trouble
        fits = reuse and SlidingLogMel.fits(config.features, hop)
        self._log_mel = SlidingLogMel(features, hop, back * hop) if fits else None
        self._heard = False
        self.silence = silence_of(config.labels)

    @property
    def level(self) -> float:
        """Of the newest sound, in dB of full scale."""
        return self._ring.level

    @property
    def due_in(self) -> int:
        """How many samples at the model's rate more make something due."""
        return self._ring.due_in

    @property
    def spikes(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Nothing: a window leaves no membranes."""
        return {}

    @property
    def raster(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Nothing."""
        return {}

    def reset(self) -> None:
        """Forget all that was heard."""
        self._ring.reset()
        self._heard = False
        if self._log_mel is not None:
            self._log_mel.reset()

    def push(self, samples: Samples) -> None:
        """See `Hearing.push`."""
        self._heard |= len(samples) > 0
        self._ring.push(samples)

    def push_silence(self) -> None:
        """Zeros, for the windows that hold the last sample."""
        if self._heard:
            self._ring.push(np.zeros(self._ring.num_samples - 1, dtype=np.float32))

    def next(self) -> SoughtWindow | None:
        """The next window."""
        window = self._ring.next()
        if window is None:
            return None
        quiet = self._gate is not None and window.level <= self._gate
        end = (window.begin + self._ring.num_samples) / self._config.features.sample_rate
        return SoughtWindow(None if quiet else window.begin, end)

    def row(self, window: SoughtWindow) -> Tensor | LogMelRow:
        """What `network_inputs` makes the network's input of."""
        begin: int = window.place
        samples = self._ring.samples(begin)
        if self._log_mel is None:
            return torch.from_numpy(samples)
        return self._log_mel.take(samples, begin)

    def scores(self, due: Due, outputs: Any) -> Scores:
        """Scores `[W, C]`; silence has those that no word is in.

        Args:
            due: The windows.
            outputs: Logits `[R, C]` of its rows, a tensor or an array.

        Raises:
            AudioError: They are not finite, and the network is sound.
            CheckpointError: They are not finite, as the network is not.
        """
        found = np.tile(self.silence, (len(due.ends), 1))
        if len(due):
            logits = outputs.cpu().numpy() if isinstance(outputs, Tensor) else np.asarray(outputs)
            if not np.isfinite(logits).all():
                raise not_finite(self._config, self._trouble)
            found[~np.array(due.silent)] = shares_of((logits / self._config.temperature).astype(np.float32))
        return found


def silence_of(labels: Sequence[str]) -> Scores:
    """Scores `[C]` of silence: no word is in it."""
    return np.array([label == SILENCE for label in labels], dtype=np.float32)


def not_finite(config: VoiceConfig, trouble: Callable[[], str]) -> SnnVoiceError:
    """Why a stream has no finite scores: its model, or what it hears.

    Args:
        config: Of the model.
        trouble: Says what is wrong with the network itself; "" for nothing.
    """
    if found := trouble():
        return CheckpointError(f"{config.name or config.architecture}: {found}")
    return too_loud("the stream")


def outputs_of_rows(
    rows: Sequence[Tensor | LogMelRow],
    of_windows: Callable[[Tensor], Tensor],
    of_features: Callable[[Tensor], Tensor],
) -> Tensor:
    """What a model gives `[R, C]` for rows of any of its streams, at least one.

    Args:
        rows: Of `WindowHearing.row`.
        of_windows: Windows `[B, N]` -> logits `[B, C]`.
        of_features: Features `[B, 1, n_mels, frames]` -> logits.
    """
    framed = [row for row in rows if isinstance(row, LogMelRow)]
    if len(framed) == len(rows):
        return of_features(log_mels(framed))
    whole = of_windows(torch.stack([row for row in rows if isinstance(row, Tensor)]))
    if not framed:
        return whole
    # Streams of a model whose hops are whole frames, and others.
    out = whole.new_empty((len(rows), whole.shape[-1]))
    is_framed = torch.tensor([isinstance(row, LogMelRow) for row in rows], device=out.device)
    out[~is_framed], out[is_framed] = whole, of_features(log_mels(framed))
    return out


def shares_of(logits: Scores) -> Scores:
    """Softmax of logits `[..., C]`."""
    # NumPy's, as PyTorch's takes ten times as long for a single window.
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    shares: Scores = powers / powers.sum(-1, keepdims=True)
    return shares
