"""What a model keeps of a stream, where its network hears windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_voice_lite.config import ModelConfig
from snn_voice_lite.hearing.ringed import RingHearing, on_cpu
from snn_voice_lite.streaming.detector import Scores
from snn_voice_lite.streaming.ring import Ring
from snn_voice_lite.streaming.search import SoughtWindow
from snn_voice_lite.streaming.session import Due


class WindowHearing(RingHearing):
    """The newest window of sound; a row is the window `[N]` itself.

    Args:
        config: Of the model.
        hop: Distance between windows in samples.
        gate: Windows in which nothing is louder are silence, in dB of full scale; None for no such windows.
        back: How many windows before the newest the row of one may still be asked for.
        trouble: Says what is wrong with the network itself where its scores are not finite; "" for nothing.
    """

    def __init__(
        self,
        config: ModelConfig,
        hop: int,
        gate: float | None,
        *,
        back: int = 0,
        trouble: Callable[[], str] = str,
    ) -> None:
        super().__init__(config, Ring(config.features.num_samples, hop, back * hop), gate, trouble)

    @property
    def spikes(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Nothing: a window leaves no membranes."""
        return {}

    @property
    def raster(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Nothing."""
        return {}

    def next(self) -> SoughtWindow | None:
        """The next window."""
        window = self._ring.next()
        if window is None:
            return None
        end = (window.begin + self._ring.num_samples) / self._config.features.sample_rate
        return SoughtWindow(None if self._is_quiet(window.level) else window.begin, end)

    def row(self, window: SoughtWindow) -> Any:
        """The window `[N]`, a view that the next one may overwrite."""
        begin: int = window.place
        return self._ring.samples(begin)

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
