"""The socket that a service listens at, and why it can't be had."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Iterator

from snn_voice_lite.errors import SnnVoiceError


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


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """The address of what listens there, without a slash at the end."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def begin_to_listen(listener: socket.socket) -> None:
    """Take connections at a bound socket from now on.

    Raises:
        SnnVoiceError: Another program was faster to listen at the address.
    """
    host, port = listener.getsockname()[:2]
    with _explained(host, port):
        # Two sockets can be bound to one address as long as neither listens.
        listener.listen(socket.SOMAXCONN)
