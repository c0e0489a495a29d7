"""Clients that do not read what they have asked for."""

from __future__ import annotations

import asyncio

# What a client does not read leaves the memory after so long, and a second for each of so many bytes.
_READING_SECONDS = 30.0
_READING_RATE = 16_384


class Reading:
    """Watches whether a client reads."""

    def __init__(self) -> None:
        self._unread: float | None = None  # since when the client leaves answers unread
        self._unread_bytes = 0

    def too_slow(self, transport: asyncio.WriteTransport, now: float) -> bool:
        """Whether the client has had its time; to be asked now and then.

        Args:
            transport: Of its connection.
            now: By the loop's clock.
        """
        waiting = transport.get_write_buffer_size()
        if not waiting:
            self._unread, self._unread_bytes = None, 0
            return False
        self._unread = now if self._unread is None else self._unread
        self._unread_bytes = max(self._unread_bytes, waiting)
        return now - self._unread > _READING_SECONDS + self._unread_bytes / _READING_RATE
