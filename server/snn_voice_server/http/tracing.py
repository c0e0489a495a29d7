"""Traces by OpenTelemetry, where its standard environment variables ask for them (extra `[otel]`)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import Scope

from snn_voice_hub.errors import ConfigError, needs_extra
from snn_voice_server.http.service import Timings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Tracer:
    """Sends a span for each request, with one for each stage in it.

    The spans are made when the request has been answered, from what was measured on the way, so that nothing
    waits for them.

    Args:
        provider: Where spans go.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("snn_voice_server")
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER
        self._inside = set_span_in_context

    def record(
        self,
        scope: Scope,
        headers: Headers,
        identifier: str,
        status: int,
        begun: float,
        seconds: float,
        timings: Timings,
    ) -> None:
        """Send the spans of a request.

        Args:
            scope: The request's.
            headers: Its headers; `traceparent` makes the span part of the caller's trace.
            identifier: Its `X-Request-ID`.
            status: Of the answer; 0 if there was none.
            begun: When it began, by `time.monotonic`.
            seconds: How long it took.
            timings: Its stages.
        """
        offset = time.time_ns() - int(1e9 * time.monotonic())

        def nanoseconds(moment: float) -> int:
            return offset + int(1e9 * moment)

        route = getattr(scope.get("route"), "path", "")
        attributes: dict[str, str | int] = {
            "http.request.method": scope["method"],
            "url.path": scope["path"],
            "http.response.status_code": status,
            "snn_voice.request_id": identifier,
        }
        if route:
            attributes["http.route"] = route
        if timings.model:
            attributes |= {"snn_voice.model": timings.model, "snn_voice.windows": timings.windows}
        span = self._tracer.start_span(
            f"{scope['method']} {route}".strip(),
            context=self._propagator.extract(dict(headers)),
            kind=self._kind,
            start_time=nanoseconds(begun),
            attributes=attributes,
        )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_attribute("error.type", str(status))
        inside = self._inside(span)
        for name, (start, duration) in timings.stages.items():
            stage = self._tracer.start_span(name, context=inside, start_time=nanoseconds(start))
            stage.end(nanoseconds(start + duration))
        span.end(nanoseconds(begun + seconds))


def tracer_from_environment(environment: Mapping[str, str] = os.environ) -> Tracer | None:
    """A tracer, if the standard variables ask for traces: an OTLP endpoint, or `OTEL_TRACES_EXPORTER`.

    Sampling, resource and batching follow OpenTelemetry's other variables; the service is called "snn-voice"
    unless `OTEL_SERVICE_NAME` says otherwise.

    Raises:
        MissingExtraError: They do, and OpenTelemetry is not installed.
        ConfigError: They name an exporter or protocol that is not here.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return None
    if not exporter and not any(environment.get(name) for name in _ENDPOINTS):
        return None
    if exporter not in ("", "otlp", "console"):
        raise ConfigError(f"OTEL_TRACES_EXPORTER={exporter} is not legal", hint="otlp, console or none")
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "http/protobuf")
    if protocol != "http/protobuf" and exporter != "console":
        raise ConfigError(f"traces are not sent by the OTLP protocol {protocol}", hint="http/protobuf")
    with needs_extra("sending traces", "otel", "opentelemetry-sdk and its OTLP exporter", ("opentelemetry",)):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    provider = TracerProvider(resource=Resource.create({"service.name": _name(environment)}))
    sink = ConsoleSpanExporter() if exporter == "console" else OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(sink))
    return Tracer(provider)


def _name(environment: Mapping[str, str]) -> str:
    return environment.get("OTEL_SERVICE_NAME") or "snn-voice"
