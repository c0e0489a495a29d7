"""What the commands print: every line of it is safe to show, whatever labels and names it holds."""

from __future__ import annotations

import typer
from snn_voice_lite.visible import LINE_LIMIT, visible, visible_json


def say(line: object, *, err: bool = False) -> None:
    """Print one line for people, on stdout or stderr."""
    typer.echo(visible(line, LINE_LIMIT), err=err)


def say_json(value: object, *, indent: int | None = None) -> None:
    """Print JSON for programs, on stdout."""
    typer.echo(visible_json(value, indent=indent))


def show(*parts: object) -> None:
    """Print tables and what else rich draws, on stdout."""
    from rich.console import Console

    Console().print(*parts)
