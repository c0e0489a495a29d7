"""`snn-voice pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snn_voice_hub.cli.output import say


def pull(
    repo_id: Annotated[str, typer.Argument(help="owner/name on the Hub.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; empty or new.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.", show_default="main")] = None,
    subfolder: Annotated[str | None, typer.Option(help="Folder inside the repository.")] = None,
    filename: Annotated[str | None, typer.Option(help="File of weights, where there are several.")] = None,
    num_steps: Annotated[
        int | None, typer.Option(help="Of a Lightning checkpoint that does not say it.", min=1)
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="Hub token.", show_default="that of `hf auth login`")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Copy a model of the Hugging Face Hub to a plain folder, with its card."""
    from snn_voice_hub.hub.publish import pull_folder

    folder = pull_folder(
        repo_id,
        out,
        revision=revision,
        subfolder=subfolder,
        filename=filename,
        num_steps=num_steps,
        token=token,
        quiet=quiet,
    )
    say(folder)
