"""`snn-voice serve`."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import closing
from typing import Annotated

import torch
import typer

from snn_voice_hub import SnnVoice
from snn_voice_hub.config import check_number
from snn_voice_hub.inference.engines.choice import ENGINES
from snn_voice_server.extra import serve_extra


def serve(
    host: Annotated[str, typer.Option(help="Address; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535, envvar="SNN_VOICE_PORT")
    ] = 8000,
    model: Annotated[
        str | None, typer.Option(help="Bundled name, folder or Hub id.", show_default="bundled default")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "auto",
    engine: Annotated[
        str, typer.Option(help=f"How the network is run: {', '.join(ENGINES)}.", envvar="SNN_VOICE_ENGINE")
    ] = "auto",
    max_seconds: Annotated[float, typer.Option(help="Longest sound that is accepted.")] = 60.0,
    max_body_mb: Annotated[float, typer.Option(help="Largest request body, in megabytes.")] = 25.0,
) -> None:
    """Answer over HTTP: POST a sound file to /classify."""
    with serve_extra("the service"):
        from snn_voice_server.app import create_app
        from snn_voice_server.running import bind, configuration, run, url_of
    check_number("--max-seconds", max_seconds, above=0.0)
    check_number("--max-body-mb", max_body_mb, low=0.001)
    with closing(bind(host, port)) as listener:
        voice = SnnVoice.from_pretrained(model, device=device, engine=engine)
        _set_threads()
        # A broken form is told to its sender; a line in the log for each would only fill it.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)
        app = create_app(voice, max_body_bytes=int(max_body_mb * 1e6), max_seconds=max_seconds)
        # The lifespan would do it, but a model that can't be used is to be an error of this command.
        asyncio.run(app.state.service.warm_up())
        url = url_of(listener)
        greeting = (
            f"snn-voice: {app.state.service.name} on {voice.device}, {url} (docs: /docs); "
            f"try: curl --data-binary @examples/yes.wav {url}/classify"
        )
        run(configuration(app), listener, greeting)


def _set_threads() -> None:
    """Give PyTorch a few threads: the networks are too small to gain from many."""
    if "OMP_NUM_THREADS" not in os.environ:
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        torch.set_num_threads(min(4, cores))
