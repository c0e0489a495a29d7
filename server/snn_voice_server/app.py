"""The application: routes, errors and models put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from snn_voice_hub import SnnVoice, __version__
from snn_voice_hub.packages import use_packages
from snn_voice_server.http import catalogue, classify, errors, operations, spikes, stream, teach
from snn_voice_server.http import documentation as document
from snn_voice_server.http.keys import ApiKeys, read_keys
from snn_voice_server.http.middleware import HeadAsGet, Seen
from snn_voice_server.http.service import Service
from snn_voice_server.http.tracing import tracer_from_environment
from snn_voice_server.models.compute import Device, load_voice, resolve_devices
from snn_voice_server.models.library import Library
from snn_voice_server.models.metrics import Metrics
from snn_voice_server.models.naming import check_sources, source_of, sources_of
from snn_voice_server.models.served import Entry, Models
from snn_voice_server.settings import Settings
from snn_voice_server.web import pages, reference

_ABOUT = """Which word is spoken in a sound file? A spiking neural network answers.

Every error is `{"error": {"code": "...", "message": "...", "hint": "..."}}`.
`huggingface_hub.InferenceClient().audio_classification("yes.wav", model="http://127.0.0.1:8000/classify")`
works as it is."""

_ROUTES = (classify, spikes, stream, teach, catalogue, operations)


def create_app(model: SnnVoice | None = None, settings: Settings | None = None) -> FastAPI:
    """The service, for any ASGI server.

    Args:
        model: What answers, where it is not one that `settings` names; it is put into evaluation mode.
        settings: By default those of the environment.

    Returns:
        The application. It is ready when its lifespan has started.

    Raises:
        ConfigError: A setting is not legal, or a package can't be imported.
    """
    settings = settings or Settings()
    use_packages(settings.packages)
    keys = read_keys(settings.api_keys, settings.api_keys_file)
    metrics = Metrics()
    return assemble(settings, make_library(settings, metrics, keys, model), keys, metrics)


def make_library(
    settings: Settings, metrics: Metrics, keys: ApiKeys, model: SnnVoice | None = None
) -> Library:
    """The models of the settings, none of them loaded yet.

    Args:
        settings: What is served, where, and in which batches.
        metrics: What is counted.
        keys: Who may ask; several share the queue.
        model: Takes the place of the settings' models.

    Raises:
        ConfigError: A setting is not legal.
        CheckpointError: There is no such checkpoint.
    """
    devices = [str(model.device)] if model is not None else resolve_devices(settings.device)

    sources = [source_of(model)] if model is not None else sources_of(settings.model)
    check_sources(sources)
    return Library(
        sources,
        [Device(name) for name in devices],
        lambda spec, device: load_voice(spec, device, settings.engine, settings.dtype),
        settings.limits(len(keys)),
        max_megabytes=settings.max_models_mb,
        watcher=metrics,
    )


def assemble(settings: Settings, models: Models[Entry], keys: ApiKeys, metrics: Metrics) -> FastAPI:
    """The application over any models.

    Args:
        settings: Limits and sizes.
        models: What answers.
        keys: Who may ask.
        metrics: What is counted.
    """
    service = Service(settings, models, keys, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="snn-voice",
        summary="Spoken words by spiking neural networks",
        description=_ABOUT,
        version=__version__,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,  # FastAPI's own would load its files from another host
        redoc_url=None,
        # A redirected upload would have to be sent twice.
        redirect_slashes=False,
    )
    app.state.service = service
    for part in _ROUTES:
        app.include_router(part.router)
    pages.install(app, page=settings.page, frames=settings.frame_origins)
    reference.install(app)
    errors.install(app)
    from_routes = app.openapi

    def openapi() -> dict[str, Any]:
        made = document.as_answered(from_routes())
        return document.with_keys(made, operations.OPEN, needed=bool(len(keys)))

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_middleware(HeadAsGet)
    app.add_middleware(Seen, service=service, tracer=tracer_from_environment())
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Retry-After", "Server-Timing", "X-Request-ID"],
        )
    return app
