"""What is asked of a model's configuration, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from snn_voice_lite.config.detection import DetectionConfig
from snn_voice_lite.config.features import FeatureConfig


class ModelConfig(Protocol):
    """A model's configuration: that of a checkpoint, or of a lite file."""

    @property
    def labels(self) -> Sequence[str]:
        """One label a class, in index order."""

    @property
    def temperature(self) -> float:
        """Logits are divided by it before the softmax."""

    @property
    def features(self) -> FeatureConfig:
        """The front end."""

    @property
    def detection(self) -> DetectionConfig | None:
        """The operating point; None where nobody has chosen one."""

    @property
    def title(self) -> str:
        """What the model is called."""
