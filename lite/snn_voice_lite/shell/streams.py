"""stdin, stdout and stderr as whoever started the program left them: closed, full, or a pipe nobody reads."""

from __future__ import annotations

import os
import sys


def open_streams() -> None:
    """Make a use of a closed stream an error, and let no other file take its place.

    Python has None for a stdout that is closed, and what is printed there is lost in silence.
    """
    while (number := os.open(os.devnull, os.O_RDONLY)) <= 2:
        pass
    os.close(number)
    if sys.stdout is None:
        # Of a file that is open for reading: writing fails.
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:  # who closes that wants no messages
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115


def finish_stdout() -> OSError | None:
    """Write what waits for stdout; where that fails, drop it, so that it doesn't fail once more at the end.

    Returns:
        Why it failed.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None
