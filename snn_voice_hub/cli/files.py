"""The sound files that a command was given: paths, folders, and stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from snn_voice_lite.shell.live import STDIN, closed
from snn_voice_lite.visible import LINE_LIMIT, visible

from snn_voice_hub.cli.output import say
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.notation import some

# Of the files without an answer, so many are named once more in the closing line.
_NAMED = 6


class Given(NamedTuple):
    """A file to answer for.

    Attributes:
        path: Its name; "-" for stdin.
        error: Why it can't be had, where that is known before it is opened.
    """

    path: str
    error: AudioError | None = None


def given_files(arguments: Iterable[str | os.PathLike[str]]) -> Iterator[Given]:
    """The files that arguments name, and those in the folders that they name; notes on links go to stderr.

    Args:
        arguments: Paths; "-" for stdin.

    Yields:
        Each file, in order, and what would have been one. At least one for each argument.
    """
    from snn_voice_hub.folders import no_sound, walk

    for given in arguments:
        argument = os.fspath(given)
        if argument == STDIN:
            yield Given(argument, closed() if sys.stdin is None else None)
            continue
        if not os.path.isdir(argument):  # noqa: PTH112  (False where it may not be looked at)
            yield Given(argument)
            continue
        empty = True
        for path, problem, code in walk(argument):
            if code == "same_folder":
                say(f"snn-voice: {visible(path, LINE_LIMIT)}: {problem}, whose files are answered", err=True)
            elif code != "empty_folder":
                empty = False
                error = AudioError(f"{path}: {problem}", code=code) if problem else None
                yield Given(path, error)
        if empty:
            lacking = no_sound(argument)
            yield Given(argument, AudioError(lacking.message, hint=lacking.hint, code="no_sound"))


class Failures:
    """The files that have no answer, to be told on stderr when all others have theirs."""

    def __init__(self) -> None:
        self._failed: list[tuple[str, AudioError]] = []

    def add(self, path: str, error: AudioError) -> None:
        """Keep a file for the end."""
        self._failed.append((path, error))

    def __len__(self) -> int:
        return len(self._failed)

    def tell(self, answered: int) -> None:
        """A line for each file, and one for all where there are several.

        Args:
            answered: How many others there were.
        """
        for path, error in self._failed:
            reason, name = str(error), visible(path)
            say(f"snn-voice: error: {reason if name in reason else f'{name}: {reason}'}", err=True)
        if len(self._failed) > 1:
            what = f"{len(self._failed):,} of {len(self._failed) + answered:,} files have no answer"
            say(f"snn-voice: error: {what}: {self._names()}", err=True)

    def error(self) -> SnnVoiceError:
        """What to say where nothing can go on, as no file is left."""
        (_, first), *others = self._failed
        if not others:
            return first
        return SnnVoiceError(f"no file can be read: {self._names()}", hint=f"the first: {first}")

    def _names(self) -> str:
        return some([visible(path) for path, _ in self._failed], _NAMED)
