"""`snn-voice classify`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from snn_voice_hub.audio import SUFFIXES
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.inference.engines.choice import ENGINES
from snn_voice_hub.voice import SnnVoice


def classify(
    clips: Annotated[list[str], typer.Argument(help="Sound files, folders of them, or - for stdin.")],
    model: Annotated[
        str | None, typer.Option(help="Bundled name, folder or Hub id.", show_default="bundled default")
    ] = None,
    top_k: Annotated[int, typer.Option(help="How many labels a clip.", min=1)] = 3,
    min_score: Annotated[float | None, typer.Option(help="Only words of at least this score.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "auto",
    engine: Annotated[str, typer.Option(help=f"How the network is run: {', '.join(ENGINES)}.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Say which word is in each sound file.

    A file that can't be used gets a line on stderr; the others are still answered, and the exit code is 2.
    """
    paths = list(_files(clips))
    voice = SnnVoice.from_pretrained(model, device=device, engine=engine)
    failed = 0
    sources = [sys.stdin.buffer if path == "-" else path for path in paths]
    answers = voice.classify_each(sources, top_k=top_k, min_score=min_score, on_error="return")
    width = max(map(len, paths))
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, AudioError):
            failed += 1
            reason = " ".join(str(answer).split())
            typer.echo(f"snn-voice: error: {reason if path in reason else f'{path}: {reason}'}", err=True)
        elif as_json:
            found = [{"label": p.label, "score": round(p.score, 6)} for p in answer]
            typer.echo(json.dumps({"file": path, "predictions": found}, ensure_ascii=False))
        else:
            typer.echo(
                f"{path:<{width}}  " + ("  ".join(f"{p.label} {p.score:.2f}" for p in answer) or "(no word)")
            )
    if failed:
        raise typer.Exit(2)


def _files(arguments: Iterable[str]) -> Iterator[str]:
    """The files that the arguments name; folders are walked."""
    for argument in arguments:
        path = Path(argument)
        if argument == "-" or not path.is_dir():
            yield argument
            continue
        inside = sorted(str(p) for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not inside:
            raise SnnVoiceError(
                f"{argument} holds no sound files", hint=f"files ending in {', '.join(SUFFIXES)}"
            )
        yield from inside
