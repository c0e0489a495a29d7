"""The operating point: from which score on a word is taken for said."""

from __future__ import annotations

from dataclasses import dataclass, field

from snn_voice_lite.config.values import check_number, check_text

# Of each of the times, in seconds.
_LONGEST = 60.0


@dataclass(frozen=True, kw_only=True)
class DetectionConfig:
    """How scores of windows become events; see `streaming.detector.Detector`.

    Attributes:
        threshold: From which share on a word counts as said, 0 to 1; see `streaming.detector`.
        thresholds: Of single words, where another one helps.
        smoothing: A word counts by its lowest share over the windows of so many seconds.
        refractory: Seconds after an event in which there is no other.
        hop: Seconds between windows for which the values were chosen.
    """

    threshold: float = 0.5
    thresholds: dict[str, float] = field(default_factory=dict)
    smoothing: float = 0.0
    refractory: float = 1.0
    hop: float = 0.1

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is out of range; the message names it.
        """
        check_number("detection.threshold", self.threshold, above=0.0, high=1.0)
        for word, threshold in self.thresholds.items():
            check_text("a name in detection.thresholds", word)
            check_number(f"detection.thresholds.{word}", threshold, above=0.0, high=1.0)
        for name in ("smoothing", "refractory"):
            check_number(f"detection.{name}", getattr(self, name), low=0.0, high=_LONGEST)
        check_number("detection.hop", self.hop, above=0.0, high=_LONGEST)

    def threshold_of(self, word: str) -> float:
        """The threshold of one word."""
        return self.thresholds.get(word, self.threshold)
