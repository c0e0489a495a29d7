"""`snn-voice models`."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.catalog import list_models


def models(
    pattern: Annotated[str, typer.Argument(help='Shell-style, for example "*snn*".')] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the bundled models; the first is the default."""
    found = list_models(pattern)
    if not found:
        everything = ", ".join(info.name for info in list_models())
        raise SnnVoiceError(f"no bundled model matches {pattern!r}", hint=f"there are {everything}")
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(info) for info in found], indent=2))
        return
    table = Table()
    for title, side in (
        ("name", "left"),
        ("architecture", "left"),
        ("steps", "right"),
        ("parameters", "right"),
    ):
        table.add_column(title, justify="right" if side == "right" else "left", no_wrap=True)
    for title in ("test top-1", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    for info in found:
        table.add_row(
            info.name,
            info.architecture,
            "-" if info.num_steps is None else str(info.num_steps),
            "-" if info.parameters is None else f"{info.parameters:,}",
            "-" if info.accuracy is None else f"{100 * info.accuracy:.1f} %",
            f"{info.size / 1e6:.2f} MB",
        )
    Console().print(table)
