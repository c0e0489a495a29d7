"""`snn-voice pull`."""

from __future__ import annotations

from typing import Annotated

import typer

from snn_voice_hub.cli.options import Quiet, Token, names
from snn_voice_hub.cli.output import say


def pull(
    repo_id: Annotated[str, typer.Argument(help="owner/name on the Hub.")],
    out: Annotated[str, typer.Argument(help="Folder to write; empty or new.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.", show_default="main")] = None,
    subfolder: Annotated[str | None, typer.Option(help="Folder inside the repository.")] = None,
    filename: Annotated[str | None, typer.Option(help="File of weights, where there are several.")] = None,
    num_steps: Annotated[
        int | None, typer.Option(help="Of a Lightning checkpoint that does not say it.", min=1)
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Bring it in these formats, too, with commas: onnx, onnx-int8, lite. `push --formats` lays "
            "them there.",
        ),
    ] = None,
    token: Token = None,
    quiet: Quiet = False,
) -> None:
    """Copy a model of the Hugging Face Hub to a plain folder, with its card.

    How much disk that takes is said on stderr, the copies that later loads use included.
    """
    from snn_voice_hub.hub.checkpoints import disk_space, split_revision
    from snn_voice_hub.hub.loading import Loading
    from snn_voice_hub.hub.publish import pull_folder

    loading = Loading(
        revision=revision, subfolder=subfolder, filename=filename, num_steps=num_steps, token=token
    )
    folder = pull_folder(repo_id, out, loading, formats=names(formats), quiet=quiet)
    say(folder)
    if quiet:
        return
    name, _ = split_revision(repo_id)
    cached, converted = disk_space(name)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    told = f"{_megabytes(size)} in {folder}, {_megabytes(cached)} of {name} in the Hub's cache"
    if converted:
        told += f", {_megabytes(converted)} converted from it for later loads, which need no more than that"
    say(told, err=True)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
