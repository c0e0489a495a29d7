"""The application: store, routes, faults and log put together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI

from snn_hub_sandbox import errors
from snn_hub_sandbox.faults import Faults
from snn_hub_sandbox.gate import Gate, RequestLog
from snn_hub_sandbox.routes import router
from snn_hub_sandbox.store import Hub
from snn_voice_hub import __version__


def create_app(folder: Path, tokens: Mapping[str, str] | None = None) -> FastAPI:
    """A Hub for models, for any ASGI server.

    Its parts can be used from any thread: `app.state.hub` (`Hub`), `app.state.faults` (`Faults`) and
    `app.state.requests` (`RequestLog`).

    Args:
        folder: Where repositories are kept; made if it is missing.
        tokens: Token -> user name. The default is one user: `hf_sandbox` is `me`.

    Returns:
        The application.

    Raises:
        SnnVoiceError: The folder can't be used.
    """
    # No documentation routes: they would stand where the Hub has users.
    app = FastAPI(
        title="snn-voice hub-sandbox", version=__version__, openapi_url=None, redirect_slashes=False
    )
    app.state.hub = Hub(folder, tokens)
    app.state.faults = Faults()
    app.state.requests = RequestLog()
    app.include_router(router)
    app.add_middleware(Gate, faults=app.state.faults, log=app.state.requests)
    errors.install(app)
    return app
