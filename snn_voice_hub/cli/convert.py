"""`snn-voice convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snn_voice_hub.cli.output import say
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.writing import write_together


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Lightning checkpoint of the paper's code (.ckpt).")],
    out: Annotated[Path, typer.Argument(help="Folder to write; a new or an empty one.")],
    name: Annotated[
        str, typer.Option(help="The checkpoint's name.", show_default="such as piczak-snn-t15")
    ] = "",
    dtype: Annotated[
        str | None, typer.Option(help="float32, float16 or bfloat16.", show_default="float32")
    ] = None,
    num_steps: Annotated[
        int | None, typer.Option(help="Time steps, for a checkpoint that does not say them.")
    ] = None,
) -> None:
    """Turn a Lightning checkpoint of the paper's code into a folder that can be loaded and published.

    Nothing in the file is run.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} exists and is not an empty folder", hint="name a new folder")
    if out.resolve() == Path.cwd():
        raise CheckpointError("the current folder can't be replaced", hint="name a new folder")
    from snn_voice_hub.hub.cards.page import make_card
    from snn_voice_hub.hub.checkpoints import read_config
    from snn_voice_hub.hub.choice import WEIGHTS_FILE
    from snn_voice_hub.hub.legacy.conversion import convert_lightning

    try:
        convert_lightning(checkpoint, out, num_steps=num_steps, name=name, dtype=dtype)
        config = read_config(out)
        write_together({out / "README.md": str(make_card(config))})
    except OSError as error:
        raise CheckpointError(f"{out} can't be written: {error.strerror or error}") from error
    steps = f", {config.network['num_steps']} steps" if "num_steps" in config.network else ""
    size = (out / WEIGHTS_FILE).stat().st_size / 1e6
    say(f"{out}: {config.name}, {config.architecture}{steps}, {len(config.labels)} labels, {size:.1f} MB")
