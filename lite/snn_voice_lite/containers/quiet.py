"""What libmpg123 writes to stderr while it decodes, kept out of what a program says there.

It names every damaged frame, by C, on descriptor 2; nothing of libsndfile turns that off. A program may give
the descriptor up while an MP3 is decoded. A library may not: the process is its user's, so without
`keep_stderr` nothing is changed.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator

_STDERR = 2


class _Descriptor:
    """Descriptor 2, which goes nowhere as long as at least one decoder is at work."""

    def __init__(self) -> None:
        self.ours = False
        self._lock = threading.Lock()
        self._decoders = 0
        self._kept = -1

    def enter(self) -> None:
        with self._lock:
            self._decoders += 1
            if self._decoders > 1:
                return
            with contextlib.suppress(OSError):  # without descriptors it is heard; that is no reason to fail
                nowhere = os.open(os.devnull, os.O_WRONLY)
                try:
                    self._kept = os.dup(_STDERR)
                    os.dup2(nowhere, _STDERR)
                finally:
                    os.close(nowhere)

    def leave(self) -> None:
        with self._lock:
            self._decoders -= 1
            if self._decoders == 0 and self._kept >= 0:
                os.dup2(self._kept, _STDERR)
                os.close(self._kept)
                self._kept = -1


_descriptor = _Descriptor()


def keep_stderr() -> None:
    """For a program: let Python write to a copy of stderr, so that `unheard` may take the original away.

    Where `sys.stderr` is not the process' own, nothing is changed.
    """
    stderr = sys.stderr
    if _descriptor.ours or stderr is not sys.__stderr__ or not isinstance(stderr, io.TextIOWrapper):
        return
    try:
        if stderr.fileno() != _STDERR:
            return
        copy = os.dup(_STDERR)
    except OSError:  # it is closed
        return
    stderr.flush()
    sys.stderr = open(copy, "w", 1, stderr.encoding, stderr.errors)  # noqa: SIM115, PTH123
    _descriptor.ours = True


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """What C writes to stderr in here is lost, if this process has called `keep_stderr`."""
    if not _descriptor.ours:
        yield
        return
    _descriptor.enter()
    try:
        yield
    finally:
        _descriptor.leave()
