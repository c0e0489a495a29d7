"""uvicorn, set up for an application that cuts connections on purpose."""

from __future__ import annotations

import logging

import uvicorn
from fastapi import FastAPI
from snn_voice_server.process import running

# A stalled answer is not worth waiting for.
_SHUTDOWN_SECONDS = 2


class _Deliberate(logging.Filter):
    """Keeps quiet about answers that a fault left out or incomplete; nothing else here ends like that."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("ASGI callable returned without")


def configuration(app: FastAPI) -> uvicorn.Config:
    """How the sandbox is served.

    Args:
        app: The sandbox.

    Returns:
        Settings for a `uvicorn.Server`.
    """
    # The faults are written for this implementation: what it flushes before it closes, and when it does.
    config = running.configuration(
        app, http="h11", lifespan="off", timeout_graceful_shutdown=_SHUTDOWN_SECONDS
    )
    logging.getLogger("uvicorn.error").addFilter(_Deliberate())
    return config
