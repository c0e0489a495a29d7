"""`snn-voice negatives`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from snn_voice_hub.cli.output import say


def negatives(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for them.", show_default="where `teach` looks, in the user's cache"),
    ] = None,
) -> None:
    """Fetch recordings of other speech, which an own word is held against: two hours of it, and music.

    They come out of packages of Debian (about 200 MB; nothing is installed). `snn-voice teach` takes them by
    itself, `snn-voice train` by --negatives.
    """
    from snn_voice_hub.inference.progress import with_progress
    from snn_voice_hub.training.clips.debian import default_negatives, fetch_negatives

    folder = out or default_negatives()
    minutes = fetch_negatives(folder, show=partial(with_progress, doing="Fetching packages"))
    told = ", ".join(f"{kind} {spent:.0f} min" for kind, spent in sorted(minutes.items()))
    say(f"{folder}: {told}")
