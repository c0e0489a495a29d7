"""Around every request: its id, its time, its line in the log and its place in the metrics."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from http import HTTPStatus
from typing import Any

from snn_voice_lite.visible import visible
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snn_voice_server.failures import Stopped
from snn_voice_server.http.errors import HUNG_UP, error_response
from snn_voice_server.http.service import Service, Timings
from snn_voice_server.http.tracing import Tracer
from snn_voice_server.process.logs import request_id

logger = logging.getLogger(__name__)

_IDENTIFIER = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
# Of what is asked all the time and says nothing, no line is logged: probes, and the files of a page.
_QUIET = ("/health", "/ready", "/metrics", "/web/", "/docs/")


class HeadAsGet:
    """ASGI middleware that answers HEAD as GET without the body: probes and `wget --spider` ask so.

    Args:
        app: What answers GET.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, without_body)
        finally:
            scope["route"] = as_get.get("route")  # for who counts the request


class Seen:
    """ASGI middleware that sees every request.

    Args:
        app: What answers.
        service: Whose metrics are filled.
        tracer: Sends traces, if there is one.
    """

    def __init__(self, app: ASGIApp, service: Service, tracer: Tracer | None = None) -> None:
        self._app = app
        self._service = service
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._stream(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        identifier = _identifier(headers)
        timings = Timings()
        scope.setdefault("state", {})["timings"] = timings
        begun = time.monotonic()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(MutableHeaders(scope=message), identifier, timings)
            await send(message)

        metrics = self._service.metrics
        metrics.in_flight.inc()
        token = request_id.set(identifier)
        try:
            await self._app(scope, receive, answer)
        except asyncio.CancelledError:
            if status or not self._service.draining:
                raise
            # The grace time is over; whoever waits is to send it to another copy of the service.
            refusal = Stopped.now()
            logger.warning("a request was cut off: the grace time is over")
            later = {"Retry-After": str(refusal.retry_after)}
            response = error_response(503, refusal.code, refusal.message, refusal.hint, later)
            await response(scope, receive, answer)
        except Exception:
            if status:
                raise  # half an answer is out: the server closes the connection
            logger.exception("a request failed")
            response = error_response(500, "internal", "the service failed", "its log says why")
            await response(scope, receive, answer)
        finally:
            seconds = time.monotonic() - begun
            metrics.in_flight.dec()
            self._count(scope, status or HUNG_UP, seconds, timings)
            if self._tracer is not None:
                self._tracer.record(scope, headers, identifier, status, begun, seconds, timings)
            request_id.reset(token)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket is counted, logged and traced when it is over, by the code that it closed with."""
        headers = Headers(scope=scope)
        identifier = _identifier(headers)
        timings = Timings()
        scope.setdefault("state", {})["timings"] = timings
        begun = time.monotonic()
        code = status = 0

        async def take() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = code or message.get("code", 1005)
            return message

        async def answer(message: Message) -> None:
            nonlocal code, status
            if message["type"] == "websocket.accept":
                status = HTTPStatus.SWITCHING_PROTOCOLS
                MutableHeaders(scope=message)["X-Request-ID"] = identifier
            elif message["type"] == "websocket.close":
                code = message.get("code", 1000)
            await send(message)

        token = request_id.set(identifier)
        try:
            await self._app(scope, take, answer)
        except asyncio.CancelledError:
            if not self._service.draining:
                raise
            logger.warning("a stream was cut off: the grace time is over")
        finally:
            # What was not let in has no code that says more.
            code = code if status else HTTPStatus.FORBIDDEN
            seconds = time.monotonic() - begun
            self._service.metrics.requests.labels(_route(scope), str(code)).inc()
            self._log({**scope, "method": "WS"}, code, seconds, timings)
            if self._tracer is not None:
                as_get = {**scope, "method": "GET"}
                self._tracer.record(as_get, headers, identifier, status or code, begun, seconds, timings)
            request_id.reset(token)

    def _mark(self, headers: MutableHeaders, identifier: str, timings: Timings) -> None:
        headers["X-Request-ID"] = identifier
        if timings.stages:
            headers["Server-Timing"] = timings.header()
        if self._service.draining:
            # Who keeps the connection would send the next request into a socket that is about to close.
            headers["Connection"] = "close"

    def _count(self, scope: Scope, status: int, seconds: float, timings: Timings) -> None:
        metrics = self._service.metrics
        route = _route(scope)
        metrics.requests.labels(route, str(status)).inc()
        metrics.duration.labels(route).observe(seconds)
        if status == HUNG_UP:
            metrics.abandoned.inc()
        path = scope["path"]
        asked_all_the_time = path.startswith(_QUIET) or (scope["method"], path) == ("GET", "/teach")
        quiet = status < 400 and asked_all_the_time
        if not quiet:
            self._log(scope, status, seconds, timings)

    def _log(self, scope: Scope, status: int, seconds: float, timings: Timings) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        # In a line for people these stand in the message.
        request = {"method": scope["method"], "route": _route(scope), "status": status}
        fields: dict[str, Any] = {
            "milliseconds": round(1e3 * seconds, 2),
            **{name: round(1e3 * value, 2) for name, (_, value) in timings.stages.items()},
        }
        if timings.model:
            fields |= {"model": timings.model, "windows": timings.windows, "batch": timings.batch}
        shown = visible(scope["path"])
        logger.info("%s %s %d", scope["method"], shown, status, extra={"request": request, "fields": fields})


def _identifier(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _IDENTIFIER.fullmatch(given) else f"{random.getrandbits(64):016x}"


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "other")
