"""Waiting for one message after the other, each for a limited time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """What one task waits with, as `asyncio.timeout`, which would set a timer for each message.

    One timer serves all messages. Where it comes too early, as a message came meanwhile, it is set anew.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waits: asyncio.Task[object] | None = None
        self._until = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    async def wait(self, what: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Wait for something.

        Args:
            what: Makes what is waited for.
            seconds: How long.

        Raises:
            TimeoutError: It took longer, or `stop` was called.
        """
        task = self._waits = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self._until = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._until:
            self._set()
        try:
            return await what()
        except asyncio.CancelledError:
            # Somebody else may have cancelled the task at the same time.
            if self._over and task.uncancel() <= before:
                raise TimeoutError from None
            raise
        finally:
            self._waits, self._over = None, False

    def stop(self) -> None:
        """Have `wait` end now, if something is waited for."""
        if self._waits is not None and not self._over:
            self._over = True
            self._waits.cancel()

    def close(self) -> None:
        """Nothing more is waited for."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self) -> None:
        self.close()
        self._timer = self._loop.call_at(self._until, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waits is None:
            return  # the next message sets it
        if self._loop.time() >= self._until:
            self.stop()
        else:
            self._set()
