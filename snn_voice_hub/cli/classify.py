"""`snn-voice classify`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from snn_voice_lite.shell.live import STDIN, sound_of

from snn_voice_hub.cli.answers import Csv, Form, Json, Part, Text
from snn_voice_hub.cli.completion import LITE
from snn_voice_hub.cli.files import Failures, Given, given_files
from snn_voice_hub.cli.options import Device, EngineOrLite, OptionalModel, Revision
from snn_voice_hub.cli.output import say
from snn_voice_hub.config import check_number
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.inference.engines.names import check_engine

if TYPE_CHECKING:
    from snn_voice_lite.voice import Voice

    from snn_voice_hub.voice import SnnVoice

_BULK = "Many clips, on Ray (the extra ray)"


def classify(
    clips: Annotated[
        list[str],
        typer.Argument(
            help="Sound files, folders of them, or - for stdin; with --ray also URIs and patterns."
        ),
    ],
    model: OptionalModel = None,
    revision: Revision = None,
    top_k: Annotated[int, typer.Option(help="How many labels a clip.", min=1)] = 3,
    min_score: Annotated[
        float | None, typer.Option(help="Only words of at least this score, 0 to 1.")
    ] = None,
    words_only: Annotated[
        bool,
        typer.Option("--words-only", help="Leave out labels that are no word, such as `_silence_`."),
    ] = False,
    windows: Annotated[
        bool, typer.Option("--windows", help="An answer for each window of a file, with its time.")
    ] = False,
    device: Device = "auto",
    engine: EngineOrLite = "auto",
    early_exit: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE", help="Add no more time steps once the best score is at least this: 0.9, say."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line; for a file that fails one with `error`.")
    ] = False,
    as_csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write a table, a row for each label; - for stdout."),
    ] = None,
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

    Folders are walked, links in them followed, hidden files left out. A file that can't be used is named at
    the end, on stderr; the others are still answered, and the exit code is 2.
    """
    if engine == LITE:
        _check_lite(device, {"--ray": ray, "--early-exit": early_exit, "--revision": revision})
    else:
        check_engine(engine)
    if min_score is not None:
        check_number("--min-score", min_score, low=0.0, high=1.0)
    if early_exit is not None:
        check_number("--early-exit", early_exit, above=0.0, high=1.0)
    bulk: dict[str, int | str | None] = {
        "batch_size": batch_size,
        "num_workers": num_workers,
        "ray_address": ray_address,
        "part_clips": part_clips,
    }
    given = {name: value for name, value in bulk.items() if value is not None}
    if ray is not None:
        forms = {"--json": as_json, "--csv": as_csv is not None, "--windows": windows}
        for option in (name for name, wanted in forms.items() if wanted):
            raise SnnVoiceError(
                f"{option} and --ray do not go together", hint="the answers are in the dataset"
            )
        if early_exit is not None:
            raise SnnVoiceError("--early-exit and --ray do not go together", hint="all steps are run there")
        asked = {"top_k": top_k, "min_score": min_score, "words_only": words_only}
        where = {"model": model, "revision": revision, "device": device, "engine": engine}
        _classify_bulk(clips, ray, where | asked | given)
        return
    if given:
        option = next(iter(given)).replace("_", "-")
        raise SnnVoiceError(f"--{option} goes with --ray", hint="--ray OUT.PARQUET names where answers go")
    if as_json and as_csv is not None:
        raise SnnVoiceError("--json and --csv do not go together", hint="one of the two")
    options: dict[str, Any] = {
        "top_k": top_k,
        "min_score": min_score,
        "words_only": words_only,
        "on_error": "return",
    }
    if early_exit is not None:
        options["early_exit"] = early_exit
    files = list(given_files(clips))
    steps = early_exit is not None
    form: Form = Json(steps) if as_json else Text([file.path for file in files])
    if as_csv is not None:
        form = Csv(as_csv, windows=windows, steps=steps)
    voice: SnnVoice | Voice
    if engine == LITE:
        from snn_voice_lite.voice import Voice

        voice = Voice(model)
    else:
        from snn_voice_hub.voice import SnnVoice

        voice = SnnVoice.from_pretrained(model, revision=revision, device=device, engine=engine)
    failures, answered = Failures(), 0
    try:
        for file, answer in zip(files, _answers(voice, files, windows, options), strict=True):
            if isinstance(answer, AudioError):
                failures.add(file.path, answer)
                form.failure(file.path, answer)
            else:
                answered += 1
                form.answer(file.path, answer)
        form.close()
    finally:  # also where the run is interrupted
        failures.tell(answered)
    if failures:
        raise typer.Exit(2)


def _check_lite(device: str, given: Mapping[str, object]) -> None:
    """Refuse what does not go with `--engine lite`."""
    if device not in ("auto", "cpu"):
        raise SnnVoiceError(
            f"--device {device} and --engine lite do not go together", hint="it runs on the CPU"
        )
    for option in (name for name, value in given.items() if value is not None):
        raise SnnVoiceError(f"{option} and --engine lite do not go together", hint="another engine")


def _answers(
    voice: SnnVoice | Voice, files: Sequence[Given], windows: bool, options: dict[str, Any]
) -> Iterator[Sequence[Part] | AudioError]:
    """For each file the answer, or those for its windows, or why there is none."""
    if windows:
        for file in files:
            yield file.error or _windows(voice, file, options)
        return
    sources = [sound_of(file.path) for file in files if file.error is None]
    answers = voice.classify_each(sources, **options)
    for file in files:
        answer = file.error or next(answers)
        if file.path == STDIN and isinstance(answer, AudioError) and isinstance(answer.__cause__, AudioError):
            answer = answer.__cause__  # without its place among the clips
        yield answer if isinstance(answer, AudioError) else [Part(answer)]


def _windows(voice: SnnVoice | Voice, file: Given, options: dict[str, Any]) -> list[Part] | AudioError:
    try:
        found = voice.classify_windows(sound_of(file.path), **options)
    except AudioError as error:
        return error
    return [Part(window.predictions, window.start, window.end) for window in found]


def _classify_bulk(clips: list[str], target: str, options: dict[str, Any]) -> None:
    # Not at the top: the other commands need nothing of it.
    from snn_voice_hub.bulk.options import BulkOptions
    from snn_voice_hub.bulk.run import classify_bulk
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
