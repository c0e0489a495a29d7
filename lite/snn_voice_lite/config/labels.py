"""Labels: which ones are words, and the words of Speech Commands."""

from __future__ import annotations

from collections.abc import Sequence

from snn_voice_lite.config.values import check_text, refusal, shown
from snn_voice_lite.errors import ConfigError

# The 35 words of Speech Commands v0.02 in the paper's index order.
SPEECH_COMMANDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go"),
    *("happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven"),
    *("sheila", "six", "stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero"),
)

# Labels that begin and end with an underscore stand for "no word", see `is_word`: nobody speaks; what is
# said is none of the words.
SILENCE = "_silence_"
UNKNOWN = "_unknown_"

_MEANINGS = {SILENCE: "nobody speaks", UNKNOWN: "none of the words"}

# Room for a dictionary of words, but not for a file that is all labels.
MAX_CLASSES = 20_000
_MAX_LABEL = 200


def is_word(label: str) -> bool:
    """Whether a label is a spoken word, not a class such as `_silence_` or `_unknown_`."""
    return not (label.startswith("_") and label.endswith("_"))


def meaning(label: str) -> str:
    """A label as people read it: a word as it is, what is no word in brackets and in plain words."""
    if is_word(label):
        return label
    return f"({_MEANINGS.get(label, label.strip('_').replace('_', ' ') or label)})"


def check_labels(labels: Sequence[object]) -> None:
    """Refuse labels that can't name the classes of a network.

    Raises:
        ConfigError: None, too many, one twice, or one that is no text, empty, or has a lone surrogate.
    """
    if not labels:
        raise ConfigError("labels is empty", hint="one label a class, in index order")
    if len(labels) > MAX_CLASSES:
        raise ConfigError(f"labels has {len(labels):,} entries", hint=f"at most {MAX_CLASSES:,}")
    seen = set()
    for i, label in enumerate(labels):
        if not check_text(f"labels[{i}]", label, most=_MAX_LABEL):
            raise refusal(f"labels[{i}]", label, "a word")
        if label in seen:
            raise ConfigError(f"labels holds {shown(label)} twice", hint="every label once")
        seen.add(label)
