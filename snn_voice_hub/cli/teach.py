"""`snn-voice teach`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snn_voice_hub.cli.clips import tell_skipped, use_threads
from snn_voice_hub.cli.completion import model_names
from snn_voice_hub.cli.options import Quiet
from snn_voice_hub.cli.output import say, say_json, show
from snn_voice_hub.cli.speaking import Engines, KokoroFolder
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.machine import sleep_soon
from snn_voice_hub.terminal import rich_table

if TYPE_CHECKING:
    from snn_voice_hub.training.lessons.teach import Step, Taught

_TAKES = 10


def teach(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORD",
            help="Words, and phrases in quotes; with a pronunciation where synthesisers err: "
            "'sheila=SH IY1 L AH0'.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint; a second call goes on there.")],
    clips: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recordings: a folder, or a zip of one, with a folder for each word; may be repeated."
        ),
    ] = None,
    record: Annotated[
        int | None,
        typer.Option(metavar="COUNT", help="Record so many clips of each word first, by the microphone."),
    ] = None,
    synthetic_only: Annotated[
        bool, typer.Option("--synthetic-only", help="Don't ask whether to record.")
    ] = False,
    model: Annotated[
        str, typer.Option(help="What learns the words.", autocompletion=model_names)
    ] = DEFAULT_MODEL,
    negatives: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder or tar of sound without the words; may be repeated.",
            show_default="what `snn-voice negatives` fetched, if it has",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Synthetic clips a word; 0 for none.", show_default="400")
    ] = None,
    engine: Engines = None,
    kokoro: KokoroFolder = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    threads: Annotated[int | None, typer.Option(help="PyTorch's threads on the CPU.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="For programs: a line of JSON for each step, and for the end.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Teach a model words of your own: from their text, from recordings, or from both.

    `snn-voice teach "hey robot" --out runs/robot` lets synthesisers say it, and what sounds like it, asks
    whether you want to record it, trains, chooses the threshold, and says how it does on voices that were
    kept back. The end is the line that listens. It takes some minutes; a second call goes on where the first
    one was cut off. Needs the extras train and synth.
    """
    sleep_soon()
    from snn_voice_hub.training.lessons.lesson import COUNT, RECORDED, WORK

    if record is not None and synthetic_only:
        raise SnnVoiceError("--record and --synthetic-only do not go together", hint="one of the two")
    if record is not None and record < 1:
        raise SnnVoiceError(f"--record {record} is not legal", hint="a whole number above 0")
    use_threads(threads)
    given = list(clips or [])
    recorded = out / WORK / RECORDED
    if record is None and not given and not synthetic_only and not json and _wants_to_record(recorded):
        record = _TAKES
    if record is not None:
        _record(words, recorded, record)
    if recorded.is_dir():  # of this call, or of the one that was cut off
        given.append(recorded)

    from snn_voice_hub.training.lessons.teach import teach as run

    with LessonProgress(json=json, quiet=quiet) as progress:
        taught = run(
            words,
            out,
            model=model,
            clips=given,
            negatives=negatives,
            count=COUNT if count is None else count,
            engines=engine or (),
            kokoro=kokoro,
            seed=seed,
            report=progress,
        )
    command = shlex.join(["snn-voice", "listen", "--model", str(out)])
    if json:
        about = {"step": "done", "folder": str(out), "model": taught.folder.resolve().name}
        say_json(about | {"figures": taught.figures, "notes": list(taught.notes), "listen": command})
        return
    for note in taught.notes:
        say(note, err=True)
    tell_skipped(taught.skipped)
    show(_table(taught))
    say(command)


def _wants_to_record(recorded: Path) -> bool:
    """Whether somebody sits there with a microphone, and would like to; nobody else is asked."""
    if recorded.is_dir() or not sys.stdin.isatty() or not sys.stderr.isatty():
        return False
    from snn_voice_lite.shell.live import of_microphone

    try:
        of_microphone(None, None)
    except SnnVoiceError:  # no microphone, or nothing installed that could read it
        return False
    return typer.confirm(f"Record {_TAKES} clips of each word now? It will hear you better", err=True)


def _record(words: list[str], recorded: Path, count: int) -> None:
    from snn_voice_hub.cli.record import record
    from snn_voice_hub.training.voices.wishes import wishes

    record([said.text for said in wishes(words)], recorded, count=count, wav=None, device=None)


def _table(taught: Taught) -> Any:
    from snn_voice_hub.hub.cards.figures import heard_by
    from snn_voice_hub.hub.cards.figures import taught as rows_of

    title = ", ".join(taught.words)
    return rich_table((title, ""), rows_of(taught.figures), title=heard_by(taught.figures).capitalize())


class LessonProgress:
    """Shows how far a lesson is: a bar on a terminal, a line a step elsewhere, JSON for programs.

    Args:
        json: Whether it is for programs.
        quiet: Whether nothing is to be shown.
    """

    def __init__(self, *, json: bool, quiet: bool) -> None:
        self._json, self._quiet = json, quiet
        self._last: Step | None = None
        self._bar: Any = None

    def __enter__(self) -> LessonProgress:
        if not self._json and not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
            self._bar = Progress(*columns, console=Console(stderr=True), redirect_stdout=False)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, step: Step) -> None:
        """Show a step."""
        before, self._last = self._last, step
        if self._json:
            say_json({"step": step.name, "text": step.text, "done": step.done, "of": step.of})
        elif self._bar is not None:
            if before is None or before.text != step.text:
                self._task = self._bar.add_task(step.text, total=step.of or None)
            self._bar.update(self._task, completed=step.done, total=step.of or None)
        elif not self._quiet and (before is None or before.text != step.text):
            say(f"{step.text} …", err=True)
