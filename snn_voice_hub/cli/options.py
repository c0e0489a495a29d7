"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from snn_voice_hub.cli.completion import model_names

_MODEL = "Bundled name, folder or Hub id: owner/name, owner/name@revision."

Model: TypeAlias = Annotated[str, typer.Argument(help=_MODEL, autocompletion=model_names)]
OptionalModel: TypeAlias = Annotated[
    str | None, typer.Option(help=_MODEL, show_default="bundled default", autocompletion=model_names)
]

Revision: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Of a Hub repository: branch, tag or commit.", show_default="main"),
]
