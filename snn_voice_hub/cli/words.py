"""`--words` and `--threshold` of the commands that listen."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Words: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD,…", help="Words to listen for; may be repeated.", show_default="all"),
]
Thresholds: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SCORE",
        help="Score from which on a word counts, 0 to 1; or WORD=SCORE for one word. May be repeated.",
        show_default="the checkpoint's own",
    ),
]
