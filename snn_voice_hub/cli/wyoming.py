"""`snn-voice wyoming`: `snn-voice-lite wyoming`, with every model that the hub can open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from snn_voice_lite.process.logs import LEVELS
from snn_voice_lite.shell.wake import WakeOptions, serve_words

from snn_voice_hub.cli.completion import model_names
from snn_voice_hub.cli.options import MODEL_HELP, Engine
from snn_voice_hub.cli.output import say
from snn_voice_hub.cli.words import Thresholds, Words
from snn_voice_hub.inference.engines.names import check_engine

if TYPE_CHECKING:
    from snn_voice_hub.voice import SnnVoice


def wyoming(
    host: Annotated[str, typer.Option(help="Address; 0.0.0.0 lets other machines in.")] = WakeOptions.host,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = WakeOptions.port,
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
    max_connections: Annotated[
        int, typer.Option(help="Clients at once.", min=1)
    ] = WakeOptions.max_connections,
    idle_timeout: Annotated[
        float, typer.Option(help="Seconds after which a silent client is cut off.", min=1.0)
    ] = WakeOptions.idle_timeout,
    log_level: Annotated[str, typer.Option(help=f"Of stderr: {', '.join(LEVELS)}.")] = WakeOptions.log_level,
) -> None:
    """Wake words for Home Assistant, by the Wyoming protocol (the extra wyoming).

    Satellites and Assist pipelines send sound, and are told which of the words were said.
    """
    check_engine(engine)

    def open_models() -> list[SnnVoice]:
        import torch

        from snn_voice_hub.voice import SnnVoice

        torch.set_num_threads(1)  # more would wait for each other: each run is one window
        names: list[str | None] = [*model] if model else [None]
        voices = [SnnVoice.from_pretrained(name, engine=engine) for name in names]
        for voice in voices:
            voice.warm_up()
        return voices

    options = WakeOptions(host, port, words, threshold, max_connections, idle_timeout, log_level)
    serve_words(options, open_models, lambda line: say(f"snn-voice: {line}"))
