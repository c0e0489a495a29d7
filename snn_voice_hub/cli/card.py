"""`snn-voice card`."""

from __future__ import annotations

from typing import Annotated

import typer

from snn_voice_hub.cli.options import Model, Revision
from snn_voice_hub.cli.output import say
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.writing import write_whole


def card(
    model: Model,
    repo_id: Annotated[
        str | None, typer.Option(help="Where it will be published; stands in the examples.")
    ] = None,
    revision: Revision = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write README.md; what you wrote there stays.")
    ] = False,
) -> None:
    """Print the model card of a checkpoint: metadata for the Hub, figures and examples from config.json."""
    from snn_voice_hub.hub.cards.page import make_card, update_card
    from snn_voice_hub.hub.checkpoints import local_path, read_config, resolve, split_revision
    from snn_voice_hub.hub.loading import Loading
    from snn_voice_hub.hub.publish import CARD_FILE, read_card

    name, revision = split_revision(model, revision)
    own = local_path(name) if revision is None else None
    found = own if own is not None and own.is_dir() else resolve(name, Loading(revision=revision))
    config = read_config(found)
    # A name, bundled or of the Hub, is what the examples load; a folder may lie anywhere.
    fresh = make_card(config, repo_id or (None if own is not None else name))
    if not write:
        typer.echo(str(fresh), nl=False)
        return
    if own is None or not own.is_dir():
        raise SnnVoiceError(f"{model} is no folder", hint="--write goes with a checkpoint folder")
    path = own / CARD_FILE
    existing = read_card(path)
    text = str(update_card(existing, fresh) if existing is not None else fresh)
    write_whole(path, text, hint="a folder of your own")
    say(path)
