"""What every request goes through: its path is kept as it was sent, it is noted, and it may go wrong."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from fnmatch import fnmatchcase
from urllib.parse import unquote

from pydantic import BaseModel
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snn_hub_sandbox.errors import HubError, refusal
from snn_hub_sandbox.faults import Fault, Faults

# The sandbox's own controls; they are never noted and never fail.
CONTROL = "/_sandbox/"


class Noted(BaseModel):
    """A request, as it stands in the log.

    Attributes:
        method: Its method.
        path: Its decoded path.
        query: Its query string, as it was sent.
        range: Its `Range`, or "".
        status: Status of the answer; 0 as long as there is none.
        sent: Bytes of the answer's body so far.
        fault: What went wrong on purpose, or "".
    """

    method: str
    path: str
    query: str = ""
    range: str = ""
    status: int = 0
    sent: int = 0
    fault: str = ""


class RequestLog:
    """The latest requests, oldest first; safe to use from any thread."""

    def __init__(self, length: int = 10_000) -> None:
        self._lock = threading.Lock()
        self._noted: deque[Noted] = deque(maxlen=length)

    def add(self, noted: Noted) -> None:
        """Note a request."""
        with self._lock:
            self._noted.append(noted)

    def find(self, path: str = "*", method: str | None = None) -> list[Noted]:
        """The noted requests that match.

        Args:
            path: Shell pattern for their decoded paths; `*` goes over slashes.
            method: Only those of this method.

        Returns:
            The requests.
        """
        with self._lock:
            noted = list(self._noted)
        return [n for n in noted if fnmatchcase(n.path, path) and method in (None, n.method)]

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._noted.clear()


class CutError(Exception):
    """Ends the answering of a request in the middle of its body."""


class Gate:
    """ASGI middleware; the outermost one.

    Args:
        app: What answers.
        faults: What is to go wrong.
        log: Where requests are noted.
    """

    def __init__(self, app: ASGIApp, *, faults: Faults, log: RequestLog) -> None:
        self._app = app
        self._faults = faults
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it go wrong."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A revision such as `refs/pr/1` is sent with %2F, and decoded it would look like three parts of the
        # path. So the routes see the path as it was sent, and decode the parts by themselves.
        raw = scope.get("raw_path", scope["path"].encode()).decode("ascii", "replace")
        path = unquote(raw)
        scope = {**scope, "path": raw}
        if path.startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        fault = self._faults.take(method, path)
        noted = Noted(
            method=method,
            path=path,
            query=scope["query_string"].decode("latin-1"),
            range=Headers(scope=scope).get("range", ""),
            fault=fault.kind if fault else "",
        )
        self._log.add(noted)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                noted.status = message["status"]
            elif method != "HEAD":
                noted.sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._answer(fault, scope, receive, noting)
        except CutError:
            return  # the server sees that the answer is not complete, and closes the connection
        except asyncio.CancelledError:
            if not fault:
                raise
            # The server ends while an answer is stalled; its log need not tell where exactly.

    async def _answer(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.kind == "status":
            # An upload is read to its end first: a client that is still sending would not see the answer.
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
            text, headers = fault.error()
            answer = refusal(HubError(fault.status, text, fault.error_code, headers=headers))
            await answer(scope, receive, send)
        else:
            if fault.kind == "stall" and fault.bytes is None:
                await asyncio.sleep(fault.seconds)
            await self._app(scope, receive, _Spoiler(fault, send))


class _Spoiler:
    """Spoils the body of one answer on its way out."""

    def __init__(self, fault: Fault, send: Send) -> None:
        self._fault = fault
        self._send = send
        self._at = fault.bytes or 0
        self._passed = 0
        self._length: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._start(message)
            return
        body = message.get("body", b"")
        start, self._passed = self._passed, self._passed + len(body)
        # The place that the fault is about, within this piece of the body.
        place = self._at - start
        if self._fault.kind == "wrong_length" and self._length is not None:
            message = {**message, "body": body[: max(0, self._length - start)]}
        elif self._fault.kind == "wrong_bytes" and 0 <= place < len(body):
            spoiled = bytes([body[place] ^ 0xFF])
            message = {**message, "body": body[:place] + spoiled + body[place + 1 :]}
        elif self._fault.kind == "cut" and self._passed > self._at:
            await self._send({**message, "body": body[: max(0, place)], "more_body": True})
            raise CutError
        elif self._fault.kind == "stall" and self._fault.bytes is not None and 0 <= place < len(body):
            await self._send({**message, "body": body[:place], "more_body": True})
            await asyncio.sleep(self._fault.seconds)
            message = {**message, "body": body[place:]}
        await self._send(message)

    async def _start(self, message: Message) -> None:
        headers = MutableHeaders(raw=list(message["headers"]))
        if self._fault.kind == "wrong_length" and "content-length" in headers:
            missing = 1 if self._fault.bytes is None else self._fault.bytes
            self._length = max(0, int(headers["content-length"]) - missing)
            headers["content-length"] = str(self._length)
        await self._send({**message, "headers": headers.raw})
