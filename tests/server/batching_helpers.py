"""A clock that costs no time, and a model that can be made to fail."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from snn_voice_server.failures import OutOfMemory

T = TypeVar("T")

# A request and the place of a window in it; the row that answers it is made from both.
Window = tuple[int, int]


class _Jump(selectors.SelectSelector):
    """Waits for nothing: where a loop would sleep, its clock moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that never comes"
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of its timers."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        # Timers that are due within the clock's resolution run together; they are to keep their order.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jump.now


def run(scene: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a scene in virtual time; one that hangs is an error at once."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scene())


def row(window: Window) -> tuple[str, Window]:
    """What the model answers to a window."""
    return ("row", window)


@dataclass
class FakeModel:
    """A device that takes time, checks that it is used as promised, and fails as it is told.

    Attributes:
        base: Seconds of a batch.
        each: Seconds of a window.
        poison: Requests on whose windows it raises.
        memory: Windows that fit.
        batches: What it was given, and when.
    """

    base: float = 0.01
    each: float = 0.001
    poison: frozenset[int] = frozenset()
    memory: int = 1 << 30
    batches: list[tuple[float, list[Window]]] = field(default_factory=list)
    done: list[Window] = field(default_factory=list)
    running: bool = False

    async def __call__(self, windows: list[Window]) -> Sequence[tuple[str, Window]]:
        assert not self.running, "two batches at once"
        assert windows
        self.running = True
        try:
            self.batches.append((asyncio.get_running_loop().time(), list(windows)))
            await asyncio.sleep(self.base + self.each * len(windows))
            if len(windows) > self.memory:
                raise OutOfMemory("no memory")
            if any(request in self.poison for request, _ in windows):
                raise RuntimeError("a bad window")
            self.done += windows
            return [row(window) for window in windows]
        finally:
            self.running = False


@dataclass
class Notes:
    """An observer that remembers."""

    waits: list[float] = field(default_factory=list)
    runs: list[tuple[int, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def ran(self, windows: int, seconds: float) -> None:
        self.runs.append((windows, seconds))

    def failed(self, kind: str) -> None:
        self.failures.append(kind)
