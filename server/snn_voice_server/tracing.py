"""Traces by OpenTelemetry, where the standard environment variables ask for them."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

from snn_voice_server.service import Timings


class Tracer:
    """Sends a span for each request."""

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
        """Send the spans of a request that has been answered."""


def tracer_from_environment() -> Tracer | None:
    """A tracer, if the environment asks for traces."""
    return None
