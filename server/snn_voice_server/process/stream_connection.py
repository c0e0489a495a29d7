"""A WebSocket: uvicorn's own, with an end to what a client does not read."""

from __future__ import annotations

from typing import Any

from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from snn_voice_server.process.door import DoorWatcher, Unwatched
from snn_voice_server.process.reading import Reading


class StreamConnection(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket.

    It is read from while no more than one message waits for the application. uvicorn's own stops at one, and
    so for each message, which costs two calls of the system.

    Args:
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        watcher: Is told when the connection is cut.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        watcher: DoorWatcher | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._watcher = watcher or Unwatched()
        self._reading = Reading()

    def send_receive_event_to_app(self) -> None:
        """See uvicorn, which stops reading here."""
        alone = self.queue.empty() and not self.read_paused
        self.read_paused |= alone
        super().send_receive_event_to_app()
        if alone:
            self.read_paused = False

    def sweep(self, now: float) -> None:
        """Cut the connection if its client does not read."""
        if self._reading.too_slow(self.transport, now):
            self._watcher.turned_away("slow_reader")
            self.transport.abort()

    def shutdown(self) -> None:
        """See uvicorn, which would wait for ever for a client that does not read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().shutdown()
