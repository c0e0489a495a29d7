"""Which windows have to be run by the network, where only events are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from snn_voice_lite.streaming.detector import Scores


@dataclass(frozen=True)
class SoughtWindow:
    """A window that may have to be run.

    Attributes:
        place: By which the model knows it; None for silence.
        end: Where it ends, in seconds.
    """

    place: Any
    end: float


class Search:
    """Finds all events with fewer runs of the network, by the way that Boyer and Moore search text.

    An event needs K windows in a row in which its word reaches the threshold, and any K windows in a row hold
    one whose number is a multiple of K. Where that one has no word, none of those around it need be run.
    Where it has one, those before it are run one by one, back to the first that has none, and those after it
    as they come. After an event there is none for the refractory time, and only the windows count that may be
    in one behind it. What is not run counts as 0. Events come out the same, and at the same time.

    Args:
        together: K, windows in a row that make an event.
        holds: Whether scores `[C]` of a window reach the threshold of some word.
        silence: Scores `[C]` of silence.
        apart: From the window of an event to the first that may be the next one.
    """

    def __init__(
        self, together: int, holds: Callable[[Scores], bool], silence: Scores, apart: int = 1
    ) -> None:
        self._together = together
        self._apart = apart
        self._holds = holds
        self._silence = silence
        self._nothing = np.zeros_like(silence)
        self.reset()

    def reset(self) -> None:
        """Forget all windows."""
        self._new: deque[SoughtWindow] = deque()
        self._skipped: list[SoughtWindow] = []  # since the last window that was run, fewer than K
        self._asked: SoughtWindow | None = None
        self._back: list[tuple[Scores, float]] = []  # of a window with a word, and of those before it
        self._follows = False  # whether the last window holds a word
        self._left = self._together  # windows to the next that has to be run
        self._idle = 0  # windows before those, which count for nothing
        self._idled: list[SoughtWindow] = []
        self._known: list[tuple[Scores, float]] = []

    @property
    def waits(self) -> bool:
        """Whether a window was asked for that has no answer yet."""
        return self._asked is not None

    @property
    def spare(self) -> int:
        """How many windows may come before one has to be run."""
        return 0 if self._follows else self._idle + self._left - 1

    def push(self, window: SoughtWindow) -> None:
        """Take the next window."""
        self._new.append(window)

    def ask(self) -> SoughtWindow | None:
        """The window to run now; None for none, and while one that was asked for has no answer."""
        if self._asked is None:
            self._asked = self._skipped[-1] if self._back else self._next()
            return self._asked
        return None

    def tell(self, scores: Scores) -> None:
        """Take the scores `[C]` of the window that was asked for."""
        assert self._asked is not None
        window, self._asked = self._asked, None
        holds = self._holds(scores)
        if self._back:
            self._skipped.pop()
            self._back.append((scores, window.end))
            if not holds or not self._skipped:
                self._settle(*reversed(self._back))
                self._back = []
        elif holds and self._skipped:
            self._back = [(scores, window.end)]
            self._follows = True
        else:
            self._settle((scores, window.end))
            self._follows, self._left = holds, self._together

    def event(self) -> None:
        """Take note that the last window that was run makes an event."""
        if self._apart >= self._together:
            self._follows, self._left = False, self._together
            self._idle = self._apart - self._together

    def known(self) -> tuple[Scores, list[float]] | None:
        """Scores `[W, C]` and ends of the windows of which all is known now, in order; None for none."""
        if not self._known:
            return None
        scores, ends = zip(*self._known, strict=True)
        self._known = []
        return np.stack(scores), list(ends)

    def _next(self) -> SoughtWindow | None:
        while self._new:
            window = self._new.popleft()
            if window.place is None:
                self._settle((self._silence, window.end))
                self._follows, self._left = False, self._together
                self._idle = max(0, self._idle - 1)
                continue
            if self._idle:
                self._idle -= 1
                self._idled.append(window)
                continue
            self._left -= 1
            if self._follows or self._left <= 0:
                return window
            self._skipped.append(window)
        return None

    def _settle(self, *found: tuple[Scores, float]) -> None:
        """Nothing more will be known of the windows before `found`."""
        self._known += [(self._nothing, window.end) for window in (*self._idled, *self._skipped)]
        self._known += found
        self._idled, self._skipped = [], []
