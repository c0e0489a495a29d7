"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

# What the option or argument for a model takes.
MODEL = "Bundled name, folder or Hub id: owner/name, owner/name@revision."

Revision: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Of a Hub repository: branch, tag or commit.", show_default="main"),
]
