"""`snn-voice wyoming`."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer
from snn_voice_lite.shell.words import threshold_of, words_of
from snn_voice_server.process import logs
from snn_voice_server.process.listening import bind, url_of
from snn_voice_server.process.starting import minding_signals

from snn_voice_hub.cli.completion import model_names
from snn_voice_hub.cli.options import MODEL_HELP, Engine
from snn_voice_hub.cli.output import say
from snn_voice_hub.cli.words import Thresholds, Words
from snn_voice_hub.config import check_choice
from snn_voice_hub.errors import needs_extra
from snn_voice_hub.inference.engines.names import check_engine

_LEVELS = ("debug", "info", "warning", "error")


def wyoming(
    host: Annotated[str, typer.Option(help="Address; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 10400,
    words: Words = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{MODEL_HELP} May be repeated: the words of all are offered.",
            show_default="bundled default",
            autocompletion=model_names,
        ),
    ] = None,
    threshold: Thresholds = None,
    engine: Engine = "auto",
    max_connections: Annotated[int, typer.Option(help="Clients at once.", min=1)] = 64,
    idle_timeout: Annotated[
        float, typer.Option(help="Seconds after which a silent client is cut off.", min=1.0)
    ] = 600.0,
    log_level: Annotated[str, typer.Option(help=f"Of stderr: {', '.join(_LEVELS)}.")] = "info",
) -> None:
    """Wake words for Home Assistant, by the Wyoming protocol (the extra wyoming).

    Satellites and Assist pipelines send sound, and are told which of the words were said.
    """
    check_engine(engine)
    check_choice("--log-level", log_level, _LEVELS)
    with minding_signals(), closing(bind(host, port)) as listener:
        logs.set_up(log_level, "text")
        with needs_extra("the Wyoming service", "wyoming", "the package wyoming", ("wyoming",)):
            from snn_voice_wyoming.connection import WakeLimits
            from snn_voice_wyoming.serving import serve_until_asked_to_end
        import torch

        from snn_voice_hub import SnnVoice
        from snn_voice_wyoming.offered import Vocabulary

        torch.set_num_threads(1)  # more would wait for each other: each run is one window
        names: list[str | None] = [*model] if model else [None]
        voices = [SnnVoice.from_pretrained(name, engine=engine) for name in names]
        chosen = words_of(words)
        labels = [label for voice in voices for label in voice.labels]
        vocabulary = Vocabulary(voices, chosen, threshold_of(threshold, labels if chosen is None else chosen))
        for voice in voices:
            voice.warm_up()
        titles = ", ".join(voice.config.title for voice in voices)

        def greet() -> None:
            url = url_of(listener, "tcp")
            say(f"snn-voice: wake words of {titles} at {url}: {', '.join(vocabulary.voice_of)}")

        limits = WakeLimits(connections=max_connections, idle=idle_timeout)
        serve_until_asked_to_end(listener, vocabulary, limits, greet)
