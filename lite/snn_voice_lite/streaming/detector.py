"""Scores of windows that follow each other -> events: which word was said, and when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from snn_voice_lite.config import UNKNOWN, DetectionConfig, is_word
from snn_voice_lite.errors import ConfigError
from snn_voice_lite.streaming.chunks import Samples

Scores = npt.NDArray[np.float32]

# Of a checkpoint for which nobody chose an operating point: its scores over speech that holds none of its
# words are often high, so a word has to be sure, and for a while.
UNTUNED: Final = DetectionConfig(threshold=0.9, smoothing=0.3)

# The first window that is sure of a word ends so many seconds before the word, in the median
# (`benchmarks/stream.py`): its end is known without it.
EARLY = 0.2
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Event:
    """A word that was said.

    Attributes:
        label: The word.
        score: Its lowest share over the smoothing time (`against_no_word`), where that passed the threshold.
        start: Where about the word begins, in seconds from the first sample: it is looked for in the stretch
            that all windows have in common by which it was heard.
        end: Where about it ends.
        time: When it was known: where the newest window ends.
        sound: What that window holds, `[N]` at the model's rate, where the stream was asked for it.
    """

    label: str
    score: float
    start: float
    end: float
    time: float
    sound: Samples | None = field(default=None, repr=False, compare=False)


def chosen_words(labels: Sequence[str], words: Iterable[str] | None) -> list[int]:
    """Indices of the words to listen for.

    Args:
        labels: Of the model.
        words: Some of them; None for all that are words.

    Raises:
        ConfigError: One of them is none of the model's words.
    """
    known = {label: i for i, label in enumerate(labels) if is_word(label)}
    if words is None:
        return list(known.values())
    wanted = list(dict.fromkeys(words))
    for word in wanted:
        if word not in known:
            raise ConfigError(
                f"{word!r} is no word of the model", hint=f"it listens for {', '.join(known) or 'none'}"
            )
    if not wanted:
        raise ConfigError("no words to listen for", hint="some of the model's, or None for all")
    return [known[word] for word in wanted]


def against_no_word(scores: Scores, words: npt.NDArray[np.bool_], *, knows_others: bool) -> Scores:
    """The scores of words, as their share of what speaks for them and for no word at all.

    Which of two similar words was said can be in doubt where it is in none that one was: "go" with 0.5 beside
    "no" with 0.4 is better heard than nothing, so other words do not count against one here. Where a model
    knows no other speech (no `_unknown_`), nothing would be left to count, and the scores stay as they are.

    Args:
        scores: `[W, C]`, 0 to 1.
        words: Which of the C labels are words, `[C]`.
        knows_others: Whether `_unknown_` is one of the labels.

    Returns:
        `[W, words]`, in the order of the labels.
    """
    own = scores[:, words]
    if not knows_others:
        return own
    none = scores[:, ~words].sum(1, keepdims=True)
    shares: Scores = own / np.maximum(own + none, np.float32(1e-12))
    return shares


class Detector:
    """Turns scores into events; how these are cut into calls changes nothing, and what is kept does not grow.

    A word that was said is heard by all windows that hold it, and what only resembles one by few. So a word
    counts by its lowest share over the newest windows, see `against_no_word`. It is an event where that is
    the highest of all words that the model knows and reaches the word's threshold, the word is one that is
    listened for, and the last event is at least `refractory` seconds old. Times are those of the sound, not
    of the clock.

    Args:
        labels: C labels of the model.
        settings: The operating point.
        window: Length of a window in seconds.
        hop: Seconds between windows.
        words: What to listen for; None for all words.

    Attributes:
        hop: Seconds between windows.
        thresholds: Of each word that is listened for.
        together: Windows in a row in which a word has to reach its threshold.
        apart: From the window of an event to the first that may be the next one, at least.

    Raises:
        ConfigError: `words` holds what is none of the model's words.
    """

    def __init__(
        self,
        labels: Sequence[str],
        settings: DetectionConfig,
        *,
        window: float,
        hop: float,
        words: Iterable[str] | None = None,
    ) -> None:
        chosen = [labels[i] for i in chosen_words(labels, words)]
        self.hop = hop
        self.thresholds = {word: settings.threshold_of(word) for word in chosen}
        self._is_word = np.array([is_word(label) for label in labels])
        self._knows_others = UNKNOWN in labels
        self._words = [label for label in labels if is_word(label)]
        # A word that is not listened for makes no event, but it may be what was said.
        limits = np.array([self.thresholds.get(word, np.inf) for word in self._words], np.float32)
        # What has no share at all is no word, however small a threshold is. Below this number float32 has few
        # digits, and some processors take what is left for 0.
        self._thresholds = np.maximum(limits, np.finfo(np.float32).tiny)
        self._refractory = settings.refractory
        self._window = window
        self.together = max(1, round(settings.smoothing / hop))
        # Sums of hops may be a rounding too short, and then it is one window more.
        self.apart = max(1, math.ceil(settings.refractory / hop - _ROUNDING))
        # The first of the windows by which a word is heard ends so much before the last.
        self._held = (self.together - 1) * hop
        self.reset()

    def _shares(self, scores: Scores) -> Scores:
        return against_no_word(scores, self._is_word, knows_others=self._knows_others)

    def reset(self) -> None:
        """Forget all that was heard."""
        # Before the first window, nothing was said.
        self._before = np.zeros((self.together - 1, len(self._words)), dtype=np.float32)
        self._last = -float("inf")

    def holds(self, scores: Scores) -> bool:
        """Whether scores `[C]` of a window reach the threshold of a word that is listened for."""
        return bool((self._shares(scores[np.newaxis])[0] >= self._thresholds).any())

    def feed(self, scores: Scores, ends: Sequence[float] | npt.NDArray[np.float64]) -> list[Event]:
        """Take the scores of windows that follow those of the last call.

        Args:
            scores: `[W, C]`, 0 to 1.
            ends: Where each window ends, in seconds from the first sample; rising.

        Returns:
            The events that they make, in order.
        """
        heard = np.concatenate([self._before, self._shares(scores)])
        self._before = heard[len(scores) :]
        held = np.minimum.reduce([heard[i : i + len(scores)] for i in range(self.together)])
        best = held.argmax(1)
        top = held[np.arange(len(scores)), best]
        events = []
        for i in np.flatnonzero(top >= self._thresholds[best]).tolist():
            time = float(ends[i])
            if time - self._last >= self._refractory:
                self._last = time
                end = round(min(time, time - self._held + EARLY), 6)
                start = min(end, max(0.0, round(time - self._window + EARLY, 6)))
                events.append(Event(self._words[best[i]], float(top[i]), start, end, time))
        return events
