"""What hearings share: the newest sound of a stream, and how scores come from logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from snn_voice_lite.answers import softmax, too_loud
from snn_voice_lite.config import SILENCE, ModelConfig
from snn_voice_lite.errors import CheckpointError, SnnVoiceError
from snn_voice_lite.samples import is_tensor
from snn_voice_lite.streaming.chunks import Samples
from snn_voice_lite.streaming.detector import Scores
from snn_voice_lite.streaming.ring import Ring
from snn_voice_lite.streaming.session import Due


class RingHearing:
    """The newest sound of a stream, in pieces that come due; see `session.Hearing`.

    Args:
        config: Of the model.
        ring: Holds the sound.
        gate: What is not louder is silence, in dB of full scale; None for none.
        trouble: Says what is wrong with the network itself where its scores are not finite; "" for nothing.

    Attributes:
        silence: Scores `[C]` of silence.
    """

    def __init__(
        self, config: ModelConfig, ring: Ring, gate: float | None, trouble: Callable[[], str]
    ) -> None:
        self._config, self._ring, self._gate, self._trouble = config, ring, gate, trouble
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

    def reset(self) -> None:
        """Forget all that was heard."""
        self._ring.reset()
        self._heard = False

    def push(self, samples: Samples) -> None:
        """See `Hearing.push`."""
        self._heard |= len(samples) > 0
        self._ring.push(samples)

    def sound(self, end: float) -> Samples:
        """See `Hearing.sound`."""
        features = self._config.features
        return self._ring.until(round(end * features.sample_rate), features.num_samples)

    def push_silence(self) -> None:
        """Zeros, for the answers in which the last sample counts."""
        if self._heard:
            self._ring.push(np.zeros(self._config.features.num_samples - 1, dtype=np.float32))

    def _is_quiet(self, level: float) -> bool:
        return self._gate is not None and level <= self._gate

    def _silent(self, due: Due) -> Scores:
        """Scores `[W, C]`, as if all windows were silence."""
        return np.tile(self.silence, (len(due.ends), 1))

    def _shares(self, logits: Scores) -> Scores:
        # In NumPy, as PyTorch's softmax takes ten times as long for a single window.
        return softmax(logits / np.float32(self._config.temperature))

    def _not_finite(self) -> SnnVoiceError:
        """Why there are no finite scores: the model, or what is heard."""
        if found := self._trouble():
            return CheckpointError(f"{self._config.title}: {found}")
        return too_loud("the stream")


def silence_of(labels: Sequence[str]) -> Scores:
    """Scores `[C]` of silence: no word is in it."""
    return np.array([label == SILENCE for label in labels], dtype=np.float32)


def on_cpu(outputs: Any) -> Scores:
    """What a network gave, a tensor or an array, as an array."""
    found: Scores = outputs.cpu().numpy() if is_tensor(outputs) else np.asarray(outputs)
    return found
