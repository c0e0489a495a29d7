"""uvicorn with what a command-line program owes its user: one line at the start, and a clean end."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI

from snn_voice_hub import SnnVoiceError

# Longer than the routes wait for a client that sends nothing.
_SHUTDOWN_SECONDS = 30


class _Server(uvicorn.Server):
    """Says when it listens, and takes SIGTERM and Ctrl-C for a normal end.

    Args:
        config: uvicorn's own.
        greeting: The line to print.
    """

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            typer.echo(self._greeting)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self.force_exit:
            # A second Ctrl-C: what is cut off now is cut off on purpose, and its traceback tells nothing.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signals again when all is done, and the process would die of them.
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)


def bind(host: str, port: int) -> socket.socket:
    """A socket at that address, so that a taken port is known before a model is loaded.

    Args:
        host: Name or address.
        port: 0 takes a free one.

    Returns:
        The socket; it does not listen yet.

    Raises:
        SnnVoiceError: The address can't be had; the message says why.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SnnVoiceError(f"host {host!r} is not known", hint="127.0.0.1, or 0.0.0.0 for all") from error
    # "localhost" may have both kinds of address, and most clients try the older one.
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    if sys.platform != "win32":  # there it would let two programs share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with _explained(host, port):
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    return listener


@contextlib.contextmanager
def _explained(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"port {port} of {host}"
        if error.errno == errno.EADDRINUSE:
            hint = "--port takes another; --port 0 any free one"
            raise SnnVoiceError(f"{what} is already in use", hint=hint) from error
        if error.errno == errno.EACCES:
            raise SnnVoiceError(f"{what} is not allowed", hint="ports below 1024 are protected") from error
        raise SnnVoiceError(f"{what} can't be had: {error.strerror}") from error


def url_of(listener: socket.socket) -> str:
    """The address of what listens there, without a slash at the end."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def configuration(app: FastAPI, **settings: Any) -> uvicorn.Config:
    """How an application of this package is served.

    Args:
        app: The application.
        **settings: Of `uvicorn.Config`, where they are to be other ones.

    Returns:
        Settings for `run`.
    """
    usual: dict[str, Any] = {
        "log_level": "warning",
        "access_log": False,
        "lifespan": "on",
        "ws": "none",
        "server_header": False,
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
    }
    return uvicorn.Config(app, **(usual | settings))


def run(config: uvicorn.Config, listener: socket.socket, greeting: str) -> None:
    """Serve until SIGTERM or Ctrl-C; open requests are finished first.

    Args:
        config: What to serve, and how.
        listener: A bound socket.
        greeting: A line to print when it listens.

    Raises:
        SnnVoiceError: Another program was faster to listen at the address.
    """
    host, port = listener.getsockname()[:2]
    with _explained(host, port):
        # Two sockets can be bound to one address as long as neither listens.
        listener.listen(socket.SOMAXCONN)
    _Server(config, greeting).run(sockets=[listener])
