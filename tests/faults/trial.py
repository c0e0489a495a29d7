"""Somebody who writes, on a disk that fails at each of the operations: what is told, and what is left."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from snn_voice_hub import cli
from snn_voice_hub.errors import SnnVoiceError
from tests.faults import disk

Act = Callable[[Path], None]

# Of the operations, so many are tried by these.
_KILLS, _TOGETHER = 4, 4
# Exit code of a process that was told why it can't.
_REFUSED = 3
# Of two processes, the second one has so long before the first one goes on: it may wait for that.
_WAIT_SECONDS = 2.0


def nothing(_: Path) -> None:
    """For who needs no preparation."""


@dataclass(frozen=True)
class Writer:
    """Somebody who writes below a folder.

    Attributes:
        act: Writes; is called again after a failure, and has to succeed then.
        opens: Raises where what lies in the folder is not whole.
        stands: Raises where what a failure has left is not in order.
        prepare: Lays there what is there before.
        differs: Patterns of files whose content is another one each time.
        kept: Patterns of files that a failure may leave besides: what a second call goes on from.
        silent: Whether it does without, where it can't write.
        alone: Whether it is not tried twice at once, as it takes away what is there first.
        says: How it tells the reason, if not in the system's words.
        most: At most so many of the operations are tried, spread evenly.
    """

    act: Act
    opens: Act
    prepare: Act = nothing
    stands: Act = nothing
    alone: bool = False
    differs: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    silent: bool = False
    says: str = "\n"
    most: int = 12


class Told(Exception):  # noqa: N818  (not all of them are errors)
    """What a command has said on stderr, and its exit code."""

    def __init__(self, code: object, said: str) -> None:
        super().__init__(said)
        self.code, self.said = code, said


def command(*arguments: object) -> None:
    """`snn-voice` with these arguments.

    Raises:
        Told: It does not end well.
    """
    before, sys.argv = sys.argv, ["snn-voice", *map(str, arguments)]
    # These are about the descriptors of the process, which it shares with whoever calls it.
    cli.open_streams = cli.keep_stderr = lambda: None
    cli.finish_stdout = lambda: None
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            cli.main()
    except SystemExit as done:
        if done.code:
            raise Told(done.code, said.getvalue()) from None
    finally:
        sys.argv = before


Content = dict[str, bytes]


def content_of(folder: Path) -> Content:
    """All files below a folder; of what is a link, where it leads."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = b"-> " + os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def _like(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class Trial:
    """A writer, tried.

    Args:
        writer: Who writes.
        base: An empty folder, which nobody else uses.

    Attributes:
        operations: How many there are where nothing fails.
        problems: What was found, a line each.
    """

    def __init__(self, writer: Writer, base: Path) -> None:
        self.writer = writer
        self.problems: list[str] = []
        self._place, self._before = base.resolve() / "place", base.resolve() / "before"
        self._said = base.resolve() / "said"
        self._before.mkdir()
        writer.prepare(self._before)
        self._there = content_of(self._before)
        self._anew()
        disk.count(self._place)
        try:
            writer.act(self._place)
        finally:
            self.operations = disk.rest()
        writer.opens(self._place)
        self._whole = content_of(self._place)

    def numbers(self, most: int = 1000) -> Iterator[int]:
        """The operations that are tried, so many at most."""
        most = min(self.operations, self.writer.most, most)
        for number in range(most):
            yield 1 + number * (self.operations - 1) // max(1, most - 1)

    def full(self) -> None:
        """The disk is full at each of the operations."""
        for number in self.numbers():
            self._try(number, disk.FULL)

    def read_only(self) -> None:
        """Nothing can be written from the start."""
        self._try(1, disk.READ_ONLY)

    def killed(self) -> None:
        """The process is killed at some of the operations."""
        for number in self.numbers(_KILLS):
            self._anew()
            if not (child := os.fork()):
                disk.fail(self._place, number, disk.KILL)
                try:
                    self.writer.act(self._place)
                finally:
                    os._exit(1)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            what = f"killed at operation {number} of {self.operations}"
            if status != -signal.SIGKILL:
                self.problems.append(f"{what}: it ended with {status}")
            # A killed process can't tidy up; what it leaves is only not to be taken for whole.
            self._look(what, ("*",))
            self._again(what)

    def together(self) -> None:
        """One process stands still before some of the operations, and another one does the same meanwhile.

        Both end well, or one of them is told clearly; the other one may have to wait for it.
        """
        for number in () if self.writer.alone else self.numbers(_TOGETHER):
            self._anew()
            what = f"two at once, the first one stopped at operation {number} of {self.operations}"
            first = self._child(what, number)
            os.waitpid(first, os.WUNTRACED)
            second = self._child(what, 0)
            end, ended = time.monotonic() + _WAIT_SECONDS, (0, 0)
            while not ended[0] and time.monotonic() < end:
                ended = os.waitpid(second, os.WNOHANG)
                time.sleep(0.005)
            os.kill(first, signal.SIGCONT)
            codes = [os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])]
            codes.append(os.waitstatus_to_exitcode((ended if ended[0] else os.waitpid(second, 0))[1]))
            self.problems += (self._said.read_text() if self._said.exists() else "").splitlines()
            self._said.unlink(missing_ok=True)
            if 0 not in codes or not {*codes} <= {0, _REFUSED}:
                self.problems.append(f"{what}: they ended with {codes}")
            self._look(what, self.writer.kept)
            self._opens(what)

    def _child(self, what: str, number: int) -> int:
        """A process that writes; with a number it stands still before that operation."""
        if child := os.fork():
            return child
        code = 1
        try:
            if number:
                disk.fail(self._place, number, disk.STOP)
            self.writer.act(self._place)
            code = 0
        except (SnnVoiceError, Told) as error:
            code = _REFUSED
            if "\n" in str(error).strip() or "No such file" in str(error):
                code = 1
                self._said.write_text(f"{what}: {str(error)!r}")
        except BaseException as error:
            self._said.write_text(f"{what}: {' '.join(traceback.format_exception(error)[-4:])!r}")
        finally:
            os._exit(code)

    def _anew(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.copytree(self._before, self._place, symlinks=True)

    def _try(self, number: int, reason: int) -> None:
        self._anew()
        why = os.strerror(reason)
        what = f"{why} at operation {number} of {self.operations}"
        disk.fail(self._place, number, reason)
        try:
            self.writer.act(self._place)
        except (SnnVoiceError, Told) as error:
            seen = disk.rest()
            self._hear(what, why, error)
        except BaseException as error:
            seen = disk.rest()
            self.problems.append(f"{what}: {''.join(traceback.format_exception(error)[-6:])}")
        else:
            seen = disk.rest()
            if seen >= number and not self.writer.silent:
                self.problems.append(f"{what}: nothing was told")
            if not self.writer.silent or seen < number:
                self._opens(f"{what}, and all seems well")
        self._look(what, self.writer.kept)
        try:
            self.writer.stands(self._place)
        except Exception as error:
            self.problems.append(f"{what}: what is left is not in order: {type(error).__name__}: {error}")
        self._again(what)

    def _hear(self, what: str, why: str, error: SnnVoiceError | Told) -> None:
        said = str(error)
        if isinstance(error, Told):
            # Before it there may be how far the command came.
            if error.code != 2 or said.count("snn-voice: error: ") != 1:
                self.problems.append(f"{what}: exit code {error.code}, {said!r}")
            said = said.rstrip("\n").rpartition("\n")[2]
        if (why not in said and self.writer.says not in said) or str(self._place) not in said or "\n" in said:
            self.problems.append(f"{what}: {said!r} does not tell path and reason in a line")

    def _look(self, what: str, kept: tuple[str, ...]) -> None:
        """Nothing is half there, nothing is left, and nothing is lost."""
        found = content_of(self._place)
        for name in self._there.keys() - found.keys():
            if name in self._whole:
                self.problems.append(f"{what}: {name} is gone")
        for name, content in found.items():
            if content == self._there.get(name) or content == self._whole.get(name) or _like(name, kept):
                continue
            if name not in self._whole and not _like(name, self.writer.differs):
                self.problems.append(f"{what}: {name} is left")
            elif not _like(name, self.writer.differs):
                self.problems.append(f"{what}: {name} is neither the old one nor the new one")

    def _again(self, what: str) -> None:
        """With room, the same succeeds, whatever was left."""
        try:
            self.writer.act(self._place)
        except BaseException as error:
            self.problems.append(f"{what}, then again: {type(error).__name__}: {error}")
            return
        self._opens(f"{what}, then again")
        found, hidden = (
            content_of(self._place),
            (".*.part", "*/.*.part", ".*.part/*", "*/.*.part/*", *self.writer.kept),
        )
        for name in (found.keys() ^ self._whole.keys()) | {
            name for name in found.keys() & self._whole.keys() if found[name] != self._whole[name]
        }:
            if not _like(name, self.writer.differs) and not (name in found and _like(name, hidden)):
                self.problems.append(f"{what}, then again: {name} is not as it is without a fault")

    def _opens(self, what: str) -> None:
        if content_of(self._place) == self._whole:
            return  # that has been opened
        try:
            self.writer.opens(self._place)
        except Exception as error:
            self.problems.append(f"{what}: it does not open: {type(error).__name__}: {error}")
