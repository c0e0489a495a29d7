"""One client's connection: uvicorn's own, with an end to everything that a client may put off or pile up."""

from __future__ import annotations

import asyncio
import functools
from enum import Enum
from typing import Any, cast

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from snn_voice_server.process.door import DoorLimits, DoorWatcher, plain_refusal
from snn_voice_server.process.reading import Reading

# A client that is answered already may go on sending for so long.
_UNREAD_SECONDS = 5.0
# After a refusal the connection stays open for so long, or so many bytes more, so that it can be read.
_LEAVING_SECONDS = 2.0
_LEAVING_BYTES = 1 << 20
# How often connections are looked at.
SWEEP_SECONDS = 1.0


class _State(Enum):
    SILENT = "nothing has come yet"
    HEAD = "a request's line and headers are coming"
    BODY = "its body is coming"
    REST = "the request is here; or the next is waited for, as long as uvicorn keeps a connection"
    LEAVING = "refused"


class Connection(HttpToolsProtocol):
    """A connection with limits.

    Args:
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        limits: Of headers and time.
        watcher: Is told when the connection is cut.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        limits: DoorLimits,
        watcher: DoorWatcher,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._limits = limits
        self._watcher = watcher
        self._state = _State.SILENT
        self._since = self.loop.time()
        self._head_bytes = 0
        self._head_count = 0
        self._begun = 0  # requests
        self._answered: float | None = None  # when it was, while the body still came
        self._reading = Reading()
        if self.ws_protocol_class is not None:
            streams: Any = self.ws_protocol_class
            self.ws_protocol_class = cast(Any, functools.partial(streams, watcher=watcher))

    def _go(self, state: _State) -> None:
        self._state = state
        self._since = self.loop.time()

    # --- what comes -------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._state is _State.LEAVING:
            self._head_bytes += len(data)
            if self._head_bytes > _LEAVING_BYTES:
                self.transport.close()
            return
        fresh = self._state in (_State.SILENT, _State.REST)
        if fresh:
            # Also before the parser sees a request: lines that are empty may go before one.
            self._go(_State.HEAD)
            self._head_bytes = self._head_count = 0
        in_head, begun = self._state is _State.HEAD, self._begun
        super().data_received(data)
        # Of a chunk in which an earlier request ends, nobody knows how much belongs to the next one's head.
        if in_head and self._state is _State.HEAD and self._begun - begun <= fresh:
            self._head_bytes += len(data)
            self._check_head()

    def on_message_begin(self) -> None:
        """See httptools."""
        if self._state is _State.LEAVING:
            return
        super().on_message_begin()
        self._begun += 1
        self._head_bytes = self._head_count = 0
        self._answered = None
        if self._state is not _State.HEAD:
            self._go(_State.HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools; also called for what follows a body in chunks."""
        self._head_count += 1
        if self._state is _State.BODY:
            self._head_bytes += len(name) + len(value)
        self._check_head()
        if self._state is not _State.LEAVING:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        self._check_head()
        if self._state is _State.LEAVING:
            return
        super().on_headers_complete()
        self._go(_State.BODY)

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self._state is not _State.LEAVING:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._state is not _State.LEAVING:
            super().on_message_complete()
            self._go(_State.REST)

    def _check_head(self) -> None:
        most = self._limits
        if self._head_bytes > most.header_bytes:
            hint = f"at most {most.header_bytes} bytes"
        elif self._head_count > most.headers:
            hint = f"at most {most.headers} headers"
        else:
            return
        self._refuse(
            "large_headers",
            "431 Request Header Fields Too Large",
            "headers_too_large",
            "the request's line and headers are too large",
            hint,
        )

    # --- how it ends ------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """See uvicorn."""
        if self._state is _State.BODY:
            self._answered = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets the form of all errors."""
        self._refuse("no_http", "400 Bad Request", "bad_request", "this is no HTTP request", "")

    def _at_work(self) -> bool:
        """Whether a request is here that has no whole answer yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, reason: str, status: str, code: str, message: str, hint: str) -> None:
        """Answer and close; a request before this one that is under way is answered first."""
        if self._state is _State.LEAVING:
            return
        self._watcher.turned_away(reason)
        self._go(_State.LEAVING)
        answer = plain_refusal(status, code, message, hint)
        if self._at_work():
            self.cycle.keep_alive = False
            if not self.cycle.more_body:
                return
            # Of this one the rest will never come.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started or self.pipeline:
                answer = b""
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.write_eof()

    def sweep(self, now: float) -> None:
        """Cut the connection if its client has had its time."""
        if self._reading.too_slow(self.transport, now):
            self._watcher.turned_away("slow_reader")
            self.transport.abort()
        if self._state is _State.SILENT and now - self._since > self._limits.first_byte_seconds:
            self._cut("silent")
        elif self._state is _State.HEAD and self._at_work():
            self._since = now  # while requests are answered, it may be this side that does not read
        elif self._state is _State.HEAD and now - self._since > self._limits.header_seconds:
            seconds = f"{self._limits.header_seconds:g} s"
            self._refuse(
                "slow_headers",
                "408 Request Timeout",
                "timeout",
                f"the request's line and headers were not complete after {seconds}",
                "",
            )
        elif self._state is _State.LEAVING and now - self._since > _LEAVING_SECONDS:
            if not self._at_work() or self.cycle.disconnected:
                self.transport.close()
        elif self._state is _State.BODY and self._answered and now - self._answered > _UNREAD_SECONDS:
            self._cut("unwanted_body")

    def _cut(self, reason: str) -> None:
        if not self.transport.is_closing():
            self._watcher.turned_away(reason)
            self.transport.close()


async def sweep_for_ever(state: ServerState) -> None:
    """Look at every connection now and then."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for connection in list(state.connections):
            # uvicorn's own set holds what HTTP connections have become, too.
            if callable(sweep := getattr(connection, "sweep", None)):
                sweep(loop.time())
