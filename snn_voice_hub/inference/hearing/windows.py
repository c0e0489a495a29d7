"""What a model keeps of a stream, where its network hears windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.features import Features
from snn_voice_hub.inference.hearing.ringed import RingHearing, on_cpu
from snn_voice_hub.inference.hearing.sliding import LogMelRow, SlidingLogMel, log_mels
from snn_voice_hub.streaming.detector import Scores
from snn_voice_hub.streaming.ring import Ring
from snn_voice_hub.streaming.search import SoughtWindow
from snn_voice_hub.streaming.session import Due


class WindowHearing(RingHearing):
    """The newest window of sound, and its log-mel where the next window can take it over.

    A row is the frames of a window that are not known yet, where the front end works by frames, and otherwise
    the window `[N]` itself.

    Args:
        config: Of the model.
        features: Its front end.
        hop: Distance between windows in samples.
        gate: Windows in which nothing is louder are silence, in dB of full scale; None for no such windows.
        back: How many windows before the newest the row of one may still be asked for.
        reuse: Whether frames may be taken over.
        trouble: Says what is wrong with the network itself where its scores are not finite; "" for nothing.
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
        super().__init__(config, Ring(config.features.num_samples, hop, back * hop), gate, trouble)
        fits = reuse and SlidingLogMel.fits(config.features, hop)
        self._log_mel = SlidingLogMel(features, hop, back * hop) if fits else None

    @property
    def spikes(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Nothing: a window leaves no membranes."""
        return {}

    @property
    def raster(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Nothing."""
        return {}

    def reset(self) -> None:
        """See `Hearing.reset`."""
        super().reset()
        if self._log_mel is not None:
            self._log_mel.reset()

    def next(self) -> SoughtWindow | None:
        """The next window."""
        window = self._ring.next()
        if window is None:
            return None
        end = (window.begin + self._ring.num_samples) / self._config.features.sample_rate
        return SoughtWindow(None if self._is_quiet(window.level) else window.begin, end)

    def row(self, window: SoughtWindow) -> Tensor | LogMelRow:
        """What `outputs_of_rows` takes."""
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
        found = self._silent(due)
        if len(due):
            logits = on_cpu(outputs)
            if not np.isfinite(logits).all():
                raise self._not_finite()
            found[~np.array(due.silent)] = self._shares(logits)
        return found


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
