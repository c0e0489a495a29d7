"""Answers as `snn-voice classify` prints them: for people, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO

import typer
from snn_voice_lite.shell.lines import answer_line, answer_row, failure_row
from snn_voice_lite.visible import LINE_LIMIT, visible

from snn_voice_hub.cli.output import say, say_json
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.writing import check_target

if TYPE_CHECKING:
    from snn_voice_lite.answers import Prediction

STDOUT = Path("-")


class Part(NamedTuple):
    """The answer for a whole file, or for one window of it.

    Attributes:
        predictions: Best first; none where no word is clear enough.
        start: Where the window begins, in seconds.
        end: Where it ends.
    """

    predictions: Sequence[Prediction]
    start: float | None = None
    end: float | None = None

    @property
    def steps(self) -> int | None:
        """Time steps that were run, with `--early-exit`."""
        return self.predictions[0].steps if self.predictions else None


class Form(Protocol):
    """A way of printing answers."""

    def answer(self, path: str, parts: Sequence[Part]) -> None:
        """Print what a file's answer is."""

    def failure(self, path: str, error: AudioError) -> None:
        """Print that a file has none; that stderr says so as well is seen to elsewhere."""

    def close(self) -> None:
        """All has been printed."""


class Text:
    """A line a file or window, in columns, that says in words what is no word.

    Args:
        paths: All that will come.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._width = max((len(visible(path, LINE_LIMIT)) for path in paths), default=0)

    def answer(self, path: str, parts: Sequence[Part]) -> None:
        """See `Form`."""
        for part in parts:
            line = answer_line(path, part.predictions, width=self._width, start=part.start, end=part.end)
            say(line + (f"  after step {part.steps}" if part.steps else ""))

    def failure(self, path: str, error: AudioError) -> None:
        """See `Form`."""

    def close(self) -> None:
        """See `Form`."""


class Json:
    """An object a file or window, a line each.

    Args:
        steps: Whether to tell them.
    """

    def __init__(self, steps: bool) -> None:
        self._steps = steps

    def answer(self, path: str, parts: Sequence[Part]) -> None:
        """See `Form`."""
        for part in parts:
            row = answer_row(path, part.predictions, start=part.start, end=part.end)
            if self._steps:
                row["steps"] = part.steps
            say_json(row)

    def failure(self, path: str, error: AudioError) -> None:
        """See `Form`."""
        say_json(failure_row(path, error))

    def close(self) -> None:
        """See `Form`."""


class Csv:
    """A row for each label of a file or window; a file without one has a row all the same.

    Rows are in the file as soon as they are known, so that a run that is cut has lost none.

    Args:
        target: The file; "-" for stdout.
        windows: Whether to tell where windows begin and end.
        steps: Whether to tell the time steps.

    Raises:
        SnnVoiceError: It can't be written.
    """

    def __init__(self, target: Path, *, windows: bool, steps: bool) -> None:
        self._target = target if target == STDOUT else check_target(target, hint="--csv names a file")
        self._file: TextIO | None = None
        self._files = 0
        self._columns = [
            *("file", *["start", "end"] * windows),
            *("rank", "label", "score", *["steps"] * steps, "error"),
        ]

    def answer(self, path: str, parts: Sequence[Part]) -> None:
        """See `Form`."""
        self._files += 1
        rows: list[dict[str, object]] = []
        for part in parts:
            row: dict[str, object] = {
                "file": _cell(path),
                "start": part.start,
                "end": part.end,
                "steps": part.steps,
            }
            rows += [
                row | {"rank": rank, "label": _cell(found.label), "score": round(found.score, 6)}
                for rank, found in enumerate(part.predictions, 1)
            ] or [row]
        self._write(rows)

    def failure(self, path: str, error: AudioError) -> None:
        """See `Form`."""
        self._files += 1
        self._write([{"file": _cell(path), "error": _cell(str(error))}])

    def close(self) -> None:
        """See `Form`."""
        if self._file is None:
            return
        with self._told():
            self._file.close()
        say(f"{self._target}: {self._files:,} file{'s' * (self._files != 1)}")

    def _write(self, rows: Sequence[dict[str, object]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, extrasaction="ignore", lineterminator="\n")
        if self._files == 1:  # not before: what was in the file stays where no file is answered
            writer.writeheader()
        writer.writerows(rows)
        if self._target == STDOUT:
            typer.echo(text.getvalue(), nl=False)
            return
        with self._told():
            if self._file is None:
                self._file = self._target.open("w", encoding="utf-8", newline="")
            self._file.write(text.getvalue())
            self._file.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"--csv {self._target} can't be written: {error.strerror or error}"
            raise SnnVoiceError(what) from error


def _cell(text: str) -> str:
    # A table is looked at in a terminal too; JSON tells names to the byte.
    return visible(text, LINE_LIMIT)
