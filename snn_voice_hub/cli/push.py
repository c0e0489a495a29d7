"""`snn-voice push`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from snn_voice_hub.cli.options import Quiet, Token, names
from snn_voice_hub.cli.output import say


def push(
    folder: Annotated[str, typer.Argument(help="Checkpoint folder: config.json and model.safetensors.")],
    repo_id: Annotated[str, typer.Argument(help="me/my-model; made if it does not exist.")],
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Of a new repository.", show_default="the account's"),
    ] = None,
    branch: Annotated[
        str | None, typer.Option(help="Made if it does not exist.", show_default="main")
    ] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead.")] = False,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Of the commit.")] = None,
    replace_card: Annotated[
        bool, typer.Option("--replace-card", help="Push README.md even where the Hub's has other words.")
    ] = False,
    endpoint_handler: Annotated[
        bool,
        typer.Option(
            "--endpoint-handler",
            help="Push the handler.py that Hugging Face Inference Endpoints need, too. Its "
            "requirements.txt names this package, which is not on PyPI yet.",
        ),
    ] = False,
    formats: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Push the model in these formats, too, with commas: onnx, onnx-int8, lite. Needs the extra "
            "export.",
        ),
    ] = None,
    token: Token = None,
    quiet: Quiet = False,
) -> None:
    """Publish a checkpoint folder on the Hugging Face Hub, with its card, in one commit.

    Prints the URL of the commit or pull request. Log in once before: hf auth login.
    """
    from snn_voice_hub.hub.local import exists, named_path
    from snn_voice_hub.hub.publish import push_folder
    from snn_voice_hub.registry import check_checkpoint

    path = named_path(folder)
    if exists(path) and path.is_dir():
        check_checkpoint(path)  # that somebody can load it; publishing knows no networks
    given = {} if message is None else {"commit_message": message}
    with TemporaryDirectory() as exports:
        url = push_folder(
            path,
            repo_id,
            private=private,
            branch=branch,
            create_pr=create_pr,
            replace_card=replace_card,
            endpoint_handler=endpoint_handler,
            beside={} if formats is None else _written(path, Path(exports), formats),
            token=token,
            quiet=quiet,
            **given,
        )
    say(url)


def _written(path: Path, folder: Path, formats: str) -> dict[str, Path]:
    from snn_voice_hub.export.formats import write_formats
    from snn_voice_hub.models.base import Network
    from snn_voice_hub.voice import SnnVoice

    voice = SnnVoice.from_pretrained(path, engine="torch")
    assert isinstance(voice.network, Network), "a checkpoint of another one can't be opened"
    return write_formats(voice.network, voice.config, folder, names(formats))
