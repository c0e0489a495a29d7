"""Whether batches succeed: what `/ready` asks."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

# So many failures within so many seconds mean that it is not the requests' doing.
_SECONDS = 60.0
_OUT_OF_MEMORY = 3
_ERRORS = 5
# No batch takes so long on a device that works.
_STALLED_SECONDS = 30.0


class RecentFailures:
    """Remembers the failures of the last minute. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self._out_of_memory: deque[float] = deque(maxlen=_OUT_OF_MEMORY)
        self._errors: deque[float] = deque(maxlen=_ERRORS)  # without a success between them
        self._running: dict[object, float] = {}

    def failed(self, kind: str, now: float) -> None:
        """A run has failed: "error" or "out_of_memory"."""
        (self._out_of_memory if kind == "out_of_memory" else self._errors).append(now)

    def succeeded(self) -> None:
        """A run has succeeded."""
        self._errors.clear()

    @contextmanager
    def busy(self, now: float) -> Iterator[None]:
        """Around the run of a batch."""
        mark = object()
        self._running[mark] = now
        try:
            yield
        finally:
            del self._running[mark]

    def since_out_of_memory(self, now: float) -> float:
        """Seconds since the device ran out of memory; infinity if it never did."""
        return now - self._out_of_memory[-1] if self._out_of_memory else math.inf

    def trouble(self, now: float) -> str:
        """Why nothing should be sent here now; empty if all is well."""
        if _all_recent(self._out_of_memory, now):
            return f"the device ran out of memory {_OUT_OF_MEMORY} times within a minute"
        if _all_recent(self._errors, now):
            return f"the last {_ERRORS} runs of the model failed"
        if self._running and now - min(self._running.values()) > _STALLED_SECONDS:
            return f"a batch has been running for over {_STALLED_SECONDS:g} s"
        return ""


def _all_recent(times: deque[float], now: float) -> bool:
    return len(times) == times.maxlen and now - times[0] <= _SECONDS
