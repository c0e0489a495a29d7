"""Who gets in: no more connections than agreed, and never with the last file descriptor."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

logger = logging.getLogger(__name__)

# Of one listener, so many connections are accepted before other work gets its turn.
_TURN = 64
# Descriptors that are left for what the service itself opens: a checkpoint, a sound file, a thread's pipe.
_RESERVE = 32
# Refused connections that are kept for a moment, so that their clients get to read why.
_LINGERING = 16
_LINGER_SECONDS = 1.0
# How long the listeners rest when the system has no descriptors, and how often the log says so.
_REST_SECONDS = 0.25
_SILENCE_SECONDS = 60.0
_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True)
class DoorLimits:
    """What clients may take of the server before anybody knows what they want.

    Attributes:
        connections: Open at once; fewer where the process may not open so many files.
        header_bytes: Of a request's line and headers together.
        headers: Of one request.
        first_byte_seconds: From the connection to its first byte.
        header_seconds: From a request's first byte to the end of its headers.
    """

    connections: int = 1024
    header_bytes: int = 32_768
    headers: int = 100
    first_byte_seconds: float = 30.0
    header_seconds: float = 20.0


class DoorWatcher(Protocol):
    """Is told of connections."""

    def watch(self, count: Callable[[], int]) -> None:
        """`count` says how many are open now."""

    def turned_away(self, reason: str) -> None:
        """One was, for that reason."""


class Unwatched:
    """Counts nothing."""

    def watch(self, count: Callable[[], int]) -> None:
        """See `DoorWatcher.watch`."""

    def turned_away(self, reason: str) -> None:
        """See `DoorWatcher.turned_away`."""


def plain_refusal(status: str, code: str, message: str, hint: str = "", *headers: str) -> bytes:
    """A whole HTTP answer in the form of all errors, after which the connection is closed.

    Args:
        status: Number and phrase: "408 Request Timeout".
        code: What programs tell it by.
        message: What was wrong.
        hint: What would be right.
        *headers: More header lines.
    """
    body = json.dumps({"error": {"code": code, "message": message, "hint": hint}}).encode()
    lines = [
        f"HTTP/1.1 {status}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


_FULL = plain_refusal(
    "503 Service Unavailable",
    "too_many_connections",
    "the service has as many open connections as it may",
    "send it again in 1 s",
    "retry-after: 1",
)


class Door:
    """Accepts the connections of some listeners.

    asyncio's own server tries a failed `accept` again at once, as often as its backlog is long, and logs a
    traceback each time: without descriptors it is busy with nothing else.

    Args:
        listeners: Sockets that listen.
        protocol: Makes what serves a connection.
        open_connections: How many are served now.
        limits: How many may be.
        watcher: Is told of those that are refused.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        protocol: Callable[[], asyncio.Protocol],
        open_connections: Callable[[], int],
        limits: DoorLimits,
        watcher: DoorWatcher,
    ) -> None:
        self._listeners = listeners
        self._protocol = protocol
        self._open_connections = open_connections
        self._limits = limits
        self._watcher = watcher
        self._loop = asyncio.get_running_loop()
        self._setting_up: set[asyncio.Task[Any]] = set()
        self._lingering: set[_Refusal] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._spare = _spare()
        self._told = -_SILENCE_SECONDS
        self._last_descriptor = _descriptors()
        watcher.watch(open_connections)
        self._reserve = min(_RESERVE, self._last_descriptor // 4)

    def open(self) -> None:
        """Accept from now on."""
        self._resting = None
        for listener in self._listeners:
            listener.setblocking(False)
            self._loop.add_reader(listener, self._accept, listener)

    def close(self) -> None:
        """Accept no more; what is being set up is finished."""
        if self._resting is not None:
            self._resting.cancel()
        for listener in self._listeners:
            self._loop.remove_reader(listener)
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def admit(self, connection: socket.socket) -> None:
        """Serve a connection that was accepted, whatever the limits say."""
        connection.setblocking(False)
        task = self._loop.create_task(self._set_up(connection))
        self._setting_up.add(task)
        task.add_done_callback(self._setting_up.discard)

    async def settle(self) -> None:
        """Wait until every connection that was accepted is served."""
        while self._setting_up:
            await asyncio.wait(self._setting_up)

    async def _set_up(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # its client has left
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_TURN):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # it was gone before it was accepted
                continue
            except OSError as error:
                if error.errno not in _NO_RESOURCES:
                    raise
                self._without_descriptors(error)
                return
            # The system gives the lowest free number, so it says how many are left.
            left = self._last_descriptor - connection.fileno()
            count = self._open_connections() + len(self._setting_up)
            if left <= self._reserve or count >= self._limits.connections:
                self._refuse(connection, count, few_left=left <= self._reserve)
            else:
                self.admit(connection)

    def _refuse(self, connection: socket.socket, count: int, *, few_left: bool) -> None:
        reason = "no_descriptors" if few_left else "too_many_connections"
        self._watcher.turned_away(reason)
        hint = "ulimit -n allows no more" if few_left else "max_connections allows no more"
        self._tell("connections are refused: %d are open, and %s", count, hint)
        connection.setblocking(False)
        tight = self._last_descriptor - connection.fileno() <= self._reserve // 2
        if tight or len(self._lingering) >= _LINGERING:
            _say_no(connection)
            return
        refusal = _Refusal(self._loop, self._lingering)
        self._lingering.add(refusal)
        task = self._loop.create_task(self._linger(refusal, connection))
        self._setting_up.add(task)
        task.add_done_callback(self._setting_up.discard)

    async def _linger(self, refusal: _Refusal, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: refusal, connection)
        except OSError:
            self._lingering.discard(refusal)
            connection.close()

    def _without_descriptors(self, error: OSError) -> None:
        """Refuse what waits, by the one descriptor that was kept for it; then rest, and try again."""
        self._tell("connections are refused: %s", error.strerror)
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            for _ in range(_TURN):
                if self._spare is None:
                    break
                os.close(self._spare)
                try:
                    connection, _ = listener.accept()
                except OSError:
                    self._spare = _spare()
                    break
                _say_no(connection)
                self._watcher.turned_away("no_descriptors")
                self._spare = _spare()
        self._spare = self._spare if self._spare is not None else _spare()
        self._resting = self._loop.call_later(_REST_SECONDS, self.open)

    def _tell(self, text: str, *arguments: object) -> None:
        now = self._loop.time()
        if now - self._told >= _SILENCE_SECONDS:
            self._told = now
            logger.warning(text, *arguments)


class _Refusal(asyncio.Protocol):
    """Says no to a client once it has asked, and waits a little for it to read that.

    To close a connection on which something unread has arrived would take the answer away again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, among: set[_Refusal]) -> None:
        self._loop = loop
        self._among = among
        self._transport: Any = None
        self._said = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport
        self._loop.call_later(_LINGER_SECONDS, self._end)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._say()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._among.discard(self)

    def _say(self) -> None:
        if not self._said and not self._transport.is_closing():
            self._said = True
            self._transport.write(_FULL)
            self._transport.write_eof()

    def _end(self) -> None:
        self._say()
        self._transport.close()


def _say_no(connection: socket.socket) -> None:
    connection.setblocking(False)
    with contextlib.suppress(OSError):
        connection.recv(1 << 16)
    with contextlib.suppress(OSError):
        connection.send(_FULL)
        connection.shutdown(socket.SHUT_WR)
    connection.close()


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None


def _descriptors() -> int:
    """How many this process may have open."""
    if sys.platform == "win32":
        return 1 << 16
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft
