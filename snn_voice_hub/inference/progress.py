"""A progress bar for what turns out to take long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TextIO, TypeVar

T = TypeVar("T")

# Who waits longer wants to know for how long.
_PATIENCE_SECONDS = 1.0


def with_progress(
    answers: Generator[T, None, None],
    total: int | None,
    *,
    doing: str = "Classifying",
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """Pass answers on; where they take over a second and stderr is a terminal, draw there how many came.

    Args:
        answers: What is counted; it is closed at the end.
        total: How many will come, if that is known.
        doing: What takes so long.
        clock: Seconds, rising.

    Yields:
        The answers.
    """
    # Not left to rich alone: an environment with FORCE_COLOR makes a terminal of every file.
    if not _is_terminal(sys.stderr):
        yield from answers
        return

    # Not at the top: rich's bars take a twentieth of a second to import, and most processes need none.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_interactive,  # TERM=dumb
        # What is printed meanwhile has to go above the bar if it goes to the same terminal. rich would send
        # it there from a file or pipe as well.
        redirect_stdout=_is_terminal(sys.stdout),
    )
    task = bar.add_task("", total=total)
    begun, shown = clock(), False
    with closing(answers):
        try:
            for count, answer in enumerate(answers, 1):
                bar.update(task, completed=count)
                if not shown and count != total and clock() - begun > _PATIENCE_SECONDS:
                    bar.start()
                    shown = True
                yield answer
        finally:
            if shown:
                bar.stop()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # a program without a console has no streams
