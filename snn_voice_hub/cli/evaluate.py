"""`snn-voice evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from snn_voice_hub.inference.engines.choice import ENGINES
from snn_voice_hub.training.evaluate import evaluate as measure
from snn_voice_hub.voice import SnnVoice


def evaluate(
    model: Annotated[str, typer.Argument(help="Bundled name, folder or Hub id.")],
    data: Annotated[Path, typer.Option(help="Folder of folders word/clip.wav, or a tar of one.")],
    noise: Annotated[Path | None, typer.Option(help="Folder or tar of background recordings.")] = None,
    words: Annotated[bool, typer.Option("--words", help="Add the recall of each word.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "auto",
    engine: Annotated[str, typer.Option(help=f"How the network is run: {', '.join(ENGINES)}.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Measure a model on labelled clips."""
    voice = SnnVoice.from_pretrained(model, device=device, engine=engine)
    figures = measure(voice, data, noise=noise, words=words)
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    table = Table(title=f"{model} on {data}", show_header=False)
    for name, value in _flat(figures):
        table.add_row(name, value)
    Console().print(table)


def _flat(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested figures as rows."""
    rows: list[tuple[str, str]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name} · ")
        elif value is not None:
            rows.append(
                (prefix + name.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else str(value))
            )
    return rows
