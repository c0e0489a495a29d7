"""Options of the commands that let synthesisers speak."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from snn_voice_hub.cli.completion import synthesiser_names
from snn_voice_hub.training.voices.synthesiser import ENGINES

Engines: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help=f"Who speaks: {', '.join(ENGINES)}; may be repeated.",
        show_default="all that are installed",
        autocompletion=synthesiser_names,
    ),
]
KokoroFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Folder with Kokoro's files, kokoro.onnx and voices.", show_default="what `voices` fetched"
    ),
]
