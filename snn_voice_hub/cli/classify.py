"""`snn-voice classify`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from snn_voice_hub.cli.output import say, say_json
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.inference.engines.names import ENGINES, check_engine
from snn_voice_hub.visible import visible

_BULK = "Many clips, on Ray (the extra ray)"


def classify(
    clips: Annotated[
        list[str],
        typer.Argument(
            help="Sound files, folders of them, or - for stdin; with --ray also URIs and patterns."
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="Bundled name, folder or Hub id.", show_default="bundled default")
    ] = None,
    top_k: Annotated[int, typer.Option(help="How many labels a clip.", min=1)] = 3,
    min_score: Annotated[float | None, typer.Option(help="Only words of at least this score.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "auto",
    engine: Annotated[str, typer.Option(help=f"How the network is run: {', '.join(ENGINES)}.")] = "auto",
    early_exit: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE", help="Add no more time steps once the best score is at least this: 0.9, say."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="OUT.PARQUET",
            help="Write a Parquet dataset into this folder or URI, or go on with it.",
            rich_help_panel=_BULK,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Windows that run together.", min=1, rich_help_panel=_BULK, show_default="32"),
    ] = None,
    num_workers: Annotated[
        int | None,
        typer.Option(
            "--num-workers",
            "--concurrency",
            help="Processes that classify.",
            min=1,
            rich_help_panel=_BULK,
            show_default="one a core, or one a GPU",
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="An existing Ray cluster, or auto.",
            rich_help_panel=_BULK,
            show_default="Ray on this machine alone",
        ),
    ] = None,
    part_clips: Annotated[
        int | None,
        typer.Option(help="Rows of a part file.", min=1, rich_help_panel=_BULK, show_default="20000"),
    ] = None,
) -> None:
    """Say which word is in each sound file.

    A file that can't be used gets a line on stderr; the others are still answered, and the exit code is 2.
    """
    check_engine(engine)
    bulk: dict[str, int | str | None] = {
        "batch_size": batch_size,
        "num_workers": num_workers,
        "ray_address": ray_address,
        "part_clips": part_clips,
    }
    given = {name: value for name, value in bulk.items() if value is not None}
    if ray is not None:
        if as_json:
            raise SnnVoiceError("--json and --ray do not go together", hint="the answers are in the dataset")
        if early_exit is not None:
            raise SnnVoiceError("--early-exit and --ray do not go together", hint="all steps are run there")
        asked = {"model": model, "top_k": top_k, "min_score": min_score, "device": device, "engine": engine}
        _classify_bulk(clips, ray, asked | given)
        return
    if given:
        option = next(iter(given)).replace("_", "-")
        raise SnnVoiceError(f"--{option} goes with --ray", hint="--ray OUT.PARQUET names where answers go")
    from snn_voice_hub.voice import SnnVoice

    paths = list(_files(clips))
    voice = SnnVoice.from_pretrained(model, device=device, engine=engine)
    failed = 0
    sources = [sys.stdin.buffer if path == "-" else path for path in paths]
    answers = voice.classify_each(
        sources, top_k=top_k, min_score=min_score, early_exit=early_exit, on_error="return"
    )
    width = max(len(visible(path)) for path in paths)
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, AudioError):
            failed += 1
            reason, name = str(answer), visible(path)
            say(f"snn-voice: error: {reason if name in reason else f'{name}: {reason}'}", err=True)
        elif as_json:
            found = [{"label": p.label, "score": round(p.score, 6)} for p in answer]
            shown: dict[str, object] = {"file": path, "predictions": found}
            if early_exit is not None:
                shown["steps"] = answer[0].steps if answer else None
            say_json(shown)
        else:
            words = "  ".join(f"{visible(p.label)} {p.score:.2f}" for p in answer) or "(no word)"
            after = f"  after step {answer[0].steps}" if answer and answer[0].steps else ""
            say(f"{visible(path):<{width}}  {words}{after}")
    if failed:
        raise typer.Exit(2)


def _classify_bulk(clips: list[str], target: str, options: dict[str, Any]) -> None:
    # Not at the top: the other commands need nothing of it.
    from snn_voice_hub.bulk.run import BulkOptions, classify_bulk
    from snn_voice_hub.bulk.sources import without_secrets

    shown = without_secrets(target)
    try:
        done = classify_bulk(clips, target, BulkOptions(**options))
    except KeyboardInterrupt:
        goes_on = "and the same command goes on"
        say(f"snn-voice: stopped; the rows so far are kept in {shown}, {goes_on}", err=True)
        raise typer.Exit(130) from None
    before = f", {done.before:,} were there before" if done.before else ""
    rate = f"{done.clips / done.seconds:,.0f} clips/s"
    say(f"{done.clips:,} clips in {done.seconds:.1f} s ({rate}){before}: {shown}")
    failed = done.errors + done.errors_before
    if failed:
        everything = done.clips + done.before
        what = f"{failed:,} of {everything:,} clips failed; error_message in their rows says why"
        say(f"snn-voice: error: {what}", err=True)
        raise typer.Exit(2)


def _files(arguments: Iterable[str]) -> Iterator[str]:
    """The files that the arguments name; folders are walked."""
    from snn_voice_hub.audio import SUFFIXES

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
