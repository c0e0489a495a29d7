"""What a model keeps of a stream, where its network hears windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from snn_voice_hub.config import SILENCE, VoiceConfig
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.features import Features
from snn_voice_hub.inference.answers import scores
from snn_voice_hub.inference.ends import too_loud
from snn_voice_hub.inference.sliding import SlidingLogMel
from snn_voice_hub.streaming.chunks import Samples
from snn_voice_hub.streaming.detector import Scores
from snn_voice_hub.streaming.ring import Ring, RingWindow
from snn_voice_hub.streaming.session import Due

# Of a batch of windows `[B, N]`; a batch of features has more.
WINDOW_DIMS: Final = 2


class WindowHearing:
    """The newest window of sound, and its log-mel where the next window can take it over.

    A row for the network is the features `[1, n_mels, frames]` of a window where these are computed frame by
    frame, and otherwise the window `[N]` itself.

    Args:
        config: Of the model.
        features: Its front end.
        hop: Distance between windows in samples.
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
        reuse: bool = True,
        trouble: Callable[[], str] = str,
    ) -> None:
        self._config = config
        self._ring = Ring(config.features.num_samples, hop)
        self._gate = gate
        self._trouble = trouble
        fits = reuse and SlidingLogMel.fits(config.features, hop)
        self._log_mel = SlidingLogMel(features, hop) if fits else None
        self.silence = np.array([label == SILENCE for label in config.labels], dtype=np.float32)

    @property
    def level(self) -> float:
        """Of the newest sound, in dB of full scale."""
        return self._ring.level

    @property
    def due_in(self) -> int:
        """How many samples at the model's rate more make something due."""
        return self._ring.due_in

    def reset(self) -> None:
        """Forget all that was heard."""
        self._ring.reset()
        if self._log_mel is not None:
            self._log_mel.reset()

    def take(self, samples: Samples) -> Due:
        """The windows that samples `[N]` at the model's rate complete."""
        return self._due(self._ring.push(samples))

    def take_silence(self) -> Due:
        """The windows that hold the last sample, with zeros behind it."""
        if not self._ring.count:
            return Due([], [], [])
        return self._due(self._ring.push(np.zeros(self._ring.num_samples - 1, dtype=np.float32)))

    @torch.inference_mode()
    def _due(self, windows: Iterable[RingWindow]) -> Due:
        rows, ends, silent = [], [], []
        for window in windows:
            quiet = self._gate is not None and window.level <= self._gate
            if not quiet:
                rows.append(self._row(window))
            ends.append((window.begin + self._ring.num_samples) / self._config.features.sample_rate)
            silent.append(quiet)
        return Due(rows, ends, silent)

    def _row(self, window: RingWindow) -> Tensor:
        if self._log_mel is None:
            return torch.from_numpy(window.samples.copy())
        return self._log_mel.take(window.samples, window.begin)

    @torch.inference_mode()
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
            logits = torch.as_tensor(outputs, device="cpu")
            if not bool(logits.isfinite().all()):
                self._refuse()
            found[~np.array(due.silent)] = scores(logits, self._config.temperature, "softmax").cpu().numpy()
        return found

    def _refuse(self) -> None:
        if trouble := self._trouble():
            raise CheckpointError(f"{self._config.name or self._config.architecture}: {trouble}")
        raise too_loud("the stream")
