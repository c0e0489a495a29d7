"""The optional dependencies of the commands of this package."""

from __future__ import annotations

from contextlib import AbstractContextManager

from snn_voice_hub.errors import needs_extra

_EXTRA = (
    "fastapi",
    "httptools",
    "prometheus_client",
    "pydantic",
    "pydantic_settings",
    "python_multipart",
    "starlette",
    "uvicorn",
    "websockets",
)


def serve_extra(what: str) -> AbstractContextManager[None]:
    """Around imports that need the extra `[serve]`; see `needs_extra`."""
    return needs_extra(what, "serve", "fastapi, uvicorn and what they need", _EXTRA)
