"""What a model can be asked to do with windows of sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snn_voice_hub import SnnVoice
from snn_voice_hub.config import FeatureConfig
from snn_voice_server.models.compute import logits_of, outputs_of, runs_alone
from snn_voice_server.queue.places import Limits

R = TypeVar("R")
Floats = NDArray[np.float32]

# Windows that wait where they run one by one: each takes as long as several in a batch.
_ONE_BY_ONE = 16


def _any_model(voice: SnnVoice, name: str) -> None:
    pass


@dataclass(frozen=True)
class Work(Generic[R]):
    """Something that a model does with windows, in a queue of its own.

    Replicas on Ray get it by the names of its functions, which must be those of a module, and send its rows
    back pickled.

    Attributes:
        name: Of its queue, among those of a model.
        run: Model and W windows `[N]` -> a row for each; called in the device's thread.
        together: Whether windows of several requests run in one batch. Others run one by one, between the
            batches, and few may wait.
        check: Model and its name -> raises the `RequestError` for whoever asks it of a model that can't.
    """

    name: str
    run: Callable[[SnnVoice, Sequence[Tensor]], Sequence[R]]
    together: bool = False
    check: Callable[[SnnVoice, str], None] = _any_model

    def limits(self, limits: Limits, features: FeatureConfig) -> Limits:
        """Of its queue before a model with that front end.

        Args:
            limits: Of the service.
            features: The model's.
        """
        if not self.together:
            return replace(limits, batch_windows=1, queue_windows=min(_ONE_BY_ONE, limits.queue_windows))
        return replace(limits, batch_windows=1) if runs_alone(features) else limits


def _logits(voice: SnnVoice, windows: Sequence[Tensor]) -> list[Floats]:
    return list(logits_of(voice, windows).numpy())


# Logits `[C]` of each window; what every model does.
LOGITS: Work[Floats] = Work("logits", _logits, together=True)


def _outputs(voice: SnnVoice, rows: Sequence[Any]) -> list[Floats]:
    return list(outputs_of(voice, rows).numpy())


# What the network gives for rows that streams of sound have prepared.
STREAMED: Work[Floats] = Work("streamed", _outputs, together=True)
