"""Spans, as a collector receives them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app
from snn_voice_server.http.tracing import tracer_from_environment

from snn_voice_hub import ConfigError, SnnVoice
from tests.server.helpers import wait_until, wav

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What was posted to a collector that the environment names."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield received
    server.shutdown()
    server.server_close()


def test_a_request_and_its_stages_in_the_callers_trace(model: SnnVoice, collector: list[bytes]) -> None:
    with TestClient(create_app(model)) as client:
        headers = {"traceparent": PARENT, "X-Request-ID": "abc"}
        assert client.post("/classify", content=wav(), headers=headers).status_code == 200
        assert client.post("/classify", content=b"no sound at all").status_code == 415
    wait_until(lambda: sum(len(_spans(body)) for body in collector) >= 5)
    spans = [span for body in collector for span in _spans(body)]
    ours = {span.name: span for span in spans if span.trace_id.hex() == PARENT.split("-")[1]}
    assert set(ours) == {"POST /classify", "decode", "queue", "compute"}
    root = ours.pop("POST /classify")
    assert root.parent_span_id.hex() == PARENT.split("-")[2]
    attributes = {item.key: item.value for item in root.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["snn_voice.request_id"].string_value == "abc"
    for stage in ours.values():
        assert stage.parent_span_id == root.span_id
        assert root.start_time_unix_nano <= stage.start_time_unix_nano
        assert stage.start_time_unix_nano <= stage.end_time_unix_nano
    refused = next(span for span in spans if span.trace_id != root.trace_id)
    assert {item.key: item.value for item in refused.attributes}["http.response.status_code"].int_value == 415


def _spans(body: bytes) -> list:  # type: ignore[type-arg]
    request = trace_service.ExportTraceServiceRequest.FromString(body)
    names = {
        attribute.value.string_value
        for resource in request.resource_spans
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
    }
    assert names == {"snn-voice"}
    return [
        span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
        {"OTEL_SERVICE_NAME": "words"},
    ],
)
def test_no_traces_unless_asked_for(environment: dict[str, str]) -> None:
    assert tracer_from_environment(environment) is None


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_what_is_not_here_is_said(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"zipkin|grpc"):
        tracer_from_environment(environment)
