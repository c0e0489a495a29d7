"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from snn_voice_hub.cli.completion import LITE, engine_names, engine_or_lite_names, model_names
from snn_voice_hub.inference.engines.names import ENGINES

MODEL_HELP = "Bundled name, folder or Hub id: owner/name, owner/name@revision."

Model: TypeAlias = Annotated[str, typer.Argument(help=MODEL_HELP, autocompletion=model_names)]
OptionalModel: TypeAlias = Annotated[
    str | None, typer.Option(help=MODEL_HELP, show_default="bundled default", autocompletion=model_names)
]

Revision: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Of a Hub repository: branch, tag or commit.", show_default="main"),
]

Device: TypeAlias = Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")]
Engine: TypeAlias = Annotated[
    str, typer.Option(help=f"How the network is run: {', '.join(ENGINES)}.", autocompletion=engine_names)
]
# Of commands that `snn-voice-lite` can answer, too.
EngineOrLite: TypeAlias = Annotated[
    str,
    typer.Option(
        help=f"How the network is run: {', '.join(ENGINES)}; or {LITE}: by snn-voice-lite, without PyTorch.",
        autocompletion=engine_or_lite_names,
    ),
]

Token: TypeAlias = Annotated[
    str | None, typer.Option(help="Hub token.", show_default="that of `hf auth login`")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


def names(text: str | None) -> list[str]:
    """The names in an option, with commas or spaces between."""
    return (text or "").replace(",", " ").split()
