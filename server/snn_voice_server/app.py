"""The application: routes, errors and the model put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from snn_voice_hub import SnnVoice, __version__
from snn_voice_server import errors
from snn_voice_server.routes import router
from snn_voice_server.service import Service

_ABOUT = """Which word is spoken in a sound file? A spiking neural network answers.

Every error is `{"error": {"code": "...", "message": "...", "hint": "..."}}`.
`huggingface_hub.InferenceClient().audio_classification("yes.wav", model="http://127.0.0.1:8000/classify")`
works as it is."""


def create_app(model: SnnVoice, *, max_body_bytes: int = 25_000_000, max_seconds: float = 60.0) -> FastAPI:
    """The service over one model, for any ASGI server.

    Args:
        model: What answers; it is put into evaluation mode.
        max_body_bytes: Larger request bodies are refused (413) before they are read to the end.
        max_seconds: Longer sound is refused (413).

    Returns:
        The application. It is ready when its lifespan has started.

    Raises:
        ConfigError: A limit is not legal.
    """
    service = Service(model, max_body_bytes=max_body_bytes, max_seconds=max_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.warm_up()
        yield

    app = FastAPI(
        title="snn-voice",
        summary="Spoken words by spiking neural networks",
        description=_ABOUT,
        version=__version__,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        redoc_url=None,
        # A redirected upload would have to be sent twice.
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(router)
    errors.install(app)
    return app
