"""`snn-voice serve`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import typer
from snn_voice_lite.containers.quiet import keep_stderr
from snn_voice_lite.process.starting import minding_signals

from snn_voice_server.options import ServeCommand
from snn_voice_server.process.extra import serve_extra

if TYPE_CHECKING:
    from fastapi import FastAPI

    from snn_voice_server.http.service import Service
    from snn_voice_server.settings import Settings


def serve(context: typer.Context) -> None:
    """Answer over HTTP: POST a sound file to /classify.

    Each option is a variable of the environment too, such as SNN_VOICE_MAX_QUEUE for --max-queue.
    """
    keep_stderr()
    with minding_signals():
        _serve(context.args)


def _serve(arguments: Sequence[str]) -> None:
    with serve_extra("the service"):
        from snn_voice_server.process import logs
        from snn_voice_server.settings import read_settings, warn_of_unknown

        settings = read_settings(arguments)
        # Before anything else is imported: its warnings are to have the form of the log.
        logs.set_up(settings.log_level, settings.log_format)
        logs.take_over()
        warn_of_unknown()
        from snn_voice_lite.process.sockets import bind, url_of

        from snn_voice_server.http.operations import reload_models
        from snn_voice_server.models.compute import settle
        from snn_voice_server.process.running import Life, configuration, run

        if settings.ray:
            from snn_voice_server.on_ray.command import on_ray as opened
        else:
            opened = _here
    with closing(bind(settings.host, settings.port)) as listener, opened(settings) as (app, where):
        service: Service = app.state.service

        async def start() -> None:
            await service.start()
            settle()

        url = url_of(listener)
        greeting = (
            f"snn-voice: {service.models.default} on {where}, {url} (docs: /docs); "
            f"try: curl --data-binary @examples/yes.wav {url}/classify"
        )
        life = Life(
            limits=settings.door,
            watcher=service.metrics,
            on_start=start,
            on_stop=service.begin_to_stop,
            on_drain=service.end_streams,
            on_end=service.stop,
            on_hangup=lambda: reload_models(service),
            drain_delay=settings.drain_delay,
        )
        config = configuration(app, lifespan="off", timeout_graceful_shutdown=settings.grace)
        run(config, listener, greeting, life)


@contextmanager
def _here(settings: Settings) -> Iterator[tuple[FastAPI, str]]:
    """The application, and where its models run: in this process."""
    from snn_voice_server.app import create_app
    from snn_voice_server.models.compute import resolve_devices, set_threads
    from snn_voice_server.teaching.teacher import check_training

    if settings.allow_teach:
        check_training()
    set_threads(settings.threads)
    yield create_app(settings=settings), ", ".join(resolve_devices(settings.device))


serve.command_class = ServeCommand  # type: ignore[attr-defined]
