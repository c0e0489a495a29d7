"""uvicorn with what a command-line program owes its user: one line at the start, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import FrameType
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI
from snn_voice_lite.process.sockets import begin_to_listen
from snn_voice_lite.process.starting import handling, has_terminal

from snn_voice_server.process.connection import Connection, sweep_for_ever
from snn_voice_server.process.door import Door, DoorLimits, DoorWatcher, Unwatched

# Longer than the routes wait for a client that sends nothing.
_SHUTDOWN_SECONDS = 30
# What a client has sent on a connection that it keeps is here within this time.
_LINGER_SECONDS = 0.3
# A connection that has begun is established within this time.
_HANDSHAKE_SECONDS = 0.1
# A socket filter in the kernel's own code, for `_ignore_new`: of a TCP packet, the flags SYN and ACK; only
# SYN without ACK, which begins a connection, is dropped.
_NO_SYN = (
    (0x30, 0, 0, 13),
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFFFFFF),
)
_SO_ATTACH_FILTER = 26  # Python's socket module does not name it
# Proxies close an idle connection after 60 s. If this side did it first, a request could meet the closing.
_KEEP_ALIVE_SECONDS = 75
# Of a WebSocket, for what the application can't refuse in its own words any more.
_MAX_MESSAGE = 1 << 22
# The answer to a ping stands behind the sound that a client has sent before.
_PONG_SECONDS = 60.0


@dataclass(frozen=True)
class Life:
    """What happens around the service itself.

    Attributes:
        limits: What clients may take before anybody knows what they want.
        watcher: Is told of connections that are refused or cut.
        on_start: Awaited when it listens; what it raises ends the service.
        on_stop: Called when it is asked to end, maybe inside a signal handler.
        on_drain: Awaited when no more connections are taken: connections that would stay open are to end.
        on_end: Awaited when all requests are answered.
        on_hangup: Called for SIGHUP; without it, the signal does what it does by default.
        drain_delay: Seconds after that in which requests are still taken.
        cut_off_code: Exit code where requests took longer than the grace time.
    """

    limits: DoorLimits = field(default_factory=DoorLimits)
    watcher: DoorWatcher = field(default_factory=Unwatched)
    on_start: Callable[[], Coroutine[Any, Any, None]] | None = None
    on_stop: Callable[[], None] | None = None
    on_drain: Callable[[], Coroutine[Any, Any, None]] | None = None
    on_end: Callable[[], Coroutine[Any, Any, None]] | None = None
    on_hangup: Callable[[], Coroutine[Any, Any, object]] | None = None
    drain_delay: float = 0.0
    cut_off_code: int = 1


class _Server(uvicorn.Server):
    """Says when it listens, takes SIGTERM and Ctrl-C for a normal end, and loses no request on the way.

    Args:
        config: uvicorn's own.
        greeting: The line to print.
        life: What happens around the end.
    """

    def __init__(self, config: uvicorn.Config, greeting: str, life: Life) -> None:
        super().__init__(config)
        self._greeting = greeting
        self._life = life
        self._had_terminal = has_terminal()
        self._hangups: set[asyncio.Task[object]] = set()
        self._begun: asyncio.Task[None] | None = None
        self._door: Door | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self.finished = False  # whether every request was answered
        self.failure: Exception | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])  # the door is ours
        if self.started:
            state, life = self.server_state, self._life
            self._door = Door(
                sockets or [], self._protocol, lambda: len(state.connections), life.limits, life.watcher
            )
            self._door.open()
            self._sweeper = asyncio.create_task(sweep_for_ever(state))
            if self._life.on_hangup is not None and hasattr(signal, "SIGHUP"):
                asyncio.get_running_loop().add_signal_handler(
                    signal.SIGHUP, self._hang_up, self._life.on_hangup
                )
            self._begun = asyncio.create_task(self._begin())

    async def _begin(self) -> None:
        # Meanwhile the service answers already: that it is alive, and not ready.
        try:
            if self._life.on_start is not None:
                await self._life.on_start()
        except Exception as error:
            self.failure = error
            self.should_exit = True
        else:
            typer.echo(self._greeting)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            # Asked a second time: what is cut off now is cut off on purpose.
            _leave(1)
        super().handle_exit(sig, frame)
        if self._life.on_stop is not None:
            self._life.on_stop()

    def _hang_up(self, reload: Callable[[], Coroutine[Any, Any, object]]) -> None:
        if self._had_terminal and not has_terminal():
            # The user has closed the window: this is no wish for another checkpoint.
            self.handle_exit(signal.SIGHUP, None)
            return
        task = asyncio.ensure_future(reload())
        self._hangups.add(task)
        task.add_done_callback(self._reloaded)

    def _reloaded(self, task: asyncio.Task[object]) -> None:
        self._hangups.discard(task)
        if not task.cancelled():
            task.exception()  # the log has it already

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.failure is None:
            await asyncio.sleep(self._life.drain_delay)
        await self._close_listeners(sockets or [])
        if self._life.on_drain is not None:
            await self._life.on_drain()
        linger = asyncio.get_running_loop().time() + _LINGER_SECONDS
        while self.server_state.connections and asyncio.get_running_loop().time() < linger:
            await asyncio.sleep(0.02)
        await super().shutdown()
        if self._life.on_end is not None:
            await self._life.on_end()
        if self._begun is not None and not self._begun.done():
            # A thread is loading a model that nobody will use, and the interpreter would wait for it.
            _leave(0)
        if not self.finished:
            _leave(self._life.cut_off_code)

    async def _close_listeners(self, sockets: Sequence[socket.socket]) -> None:
        """Take every connection that is established, then close; in the other order, those would be reset."""
        door = self._door
        assert door is not None, "startup has made it"
        ignoring = [_ignore_new(listener) for listener in sockets]
        if any(ignoring):
            await asyncio.sleep(_HANDSHAKE_SECONDS)
        door.close()
        for listener in sockets:
            for connection in _accepted(listener):
                door.admit(connection)
            listener.close()
        await door.settle()

    def _protocol(self) -> asyncio.Protocol:
        return Connection(
            self.config,
            self.server_state,
            self.lifespan.state,
            limits=self._life.limits,
            watcher=self._life.watcher,
        )

    async def _wait_tasks_to_complete(self) -> None:
        await super()._wait_tasks_to_complete()
        self.finished = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signals again when all is done, and the process would die of them.
        with handling(dict.fromkeys((signal.SIGINT, signal.SIGTERM), self.handle_exit)):
            yield


def _ignore_new(listener: socket.socket) -> bool:
    """Let no new connection begin, if the system can do that (Linux can).

    Otherwise one that is established between the last `accept` and `close` would be reset. A client whose
    packet is dropped sends it again after a second, and is refused then.
    """
    if sys.platform != "linux":
        return False
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_SYN))
    pointer = struct.pack("HP", len(_NO_SYN), ctypes.addressof(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
    except OSError:  # some sandboxes have no such filters
        return False
    return True


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait to be accepted."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # none, or one that is gone already
            return
        yield connection


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def configuration(app: FastAPI, **settings: Any) -> uvicorn.Config:
    """How an application of this package is served.

    Args:
        app: The application.
        **settings: Of `uvicorn.Config`, where they are to be other ones.

    Returns:
        Settings for `run`.
    """
    usual: dict[str, Any] = {
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "lifespan": "on",
        "loop": "asyncio",  # the door adds its listeners to it
        "http": "httptools",
        "ws": _websockets(),
        "ws_per_message_deflate": False,  # sound hardly shrinks, and a few bytes could become many
        "ws_max_size": _MAX_MESSAGE,
        "ws_ping_timeout": _PONG_SECONDS,
        "server_header": False,
        "timeout_keep_alive": _KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
    }
    return uvicorn.Config(app, **(usual | settings))


def _websockets() -> Any:
    """What serves WebSockets, as `uvicorn.Config` takes it."""
    if find_spec("websockets") is None:  # an installation from before it was in the extra
        return "none"
    from snn_voice_server.process.stream_connection import StreamConnection

    return StreamConnection


def run(config: uvicorn.Config, listener: socket.socket, greeting: str, life: Life | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; open requests are finished first.

    The process ends with `Life.cut_off_code` if they took longer than the grace time.

    Args:
        config: What to serve, and how.
        listener: A bound socket.
        greeting: A line to print when it listens.
        life: What happens around the end.

    Raises:
        SnnVoiceError: Another program was faster to listen at the address.
        Exception: What `Life.on_start` has raised.
    """
    begin_to_listen(listener)
    server = _Server(config, greeting, life or Life())
    server.run(sockets=[listener])
    if server.failure is not None:
        raise server.failure
