"""What a model keeps of a stream, where its network hears windows whose log-mels share their columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from snn_voice_lite.hearing.windows import WindowHearing
from snn_voice_lite.streaming.search import SoughtWindow
from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.features import Features
from snn_voice_hub.inference.hearing.sliding import LogMelRow, SlidingLogMel, log_mels


class SlidingHearing(WindowHearing):
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
        super().__init__(config, hop, gate, back=back, trouble=trouble)
        fits = reuse and SlidingLogMel.fits(config.features, hop)
        self._log_mel = SlidingLogMel(features, hop, back * hop) if fits else None

    def reset(self) -> None:
        """See `Hearing.reset`."""
        super().reset()
        if self._log_mel is not None:
            self._log_mel.reset()

    def row(self, window: SoughtWindow) -> Tensor | LogMelRow:
        """What `outputs_of_rows` takes."""
        samples = super().row(window)
        if self._log_mel is None:
            return torch.from_numpy(samples)
        return self._log_mel.take(samples, window.place)


def outputs_of_rows(
    rows: Sequence[Tensor | LogMelRow],
    of_windows: Callable[[Tensor], Tensor],
    of_features: Callable[[Tensor], Tensor],
) -> Tensor:
    """What a model gives `[R, C]` for rows of any of its streams, at least one.

    Args:
        rows: Of `SlidingHearing.row`.
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
