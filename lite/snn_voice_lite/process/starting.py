"""Signals that come before the service listens, while its packages are still being imported."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn


@contextlib.contextmanager
def minding_signals() -> Iterator[None]:
    """Until the service takes signals itself: SIGTERM and Ctrl-C end it as a wish, SIGHUP changes nothing.

    By default they would end it as if it had failed. Nothing is there yet to be finished or loaded again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    had_terminal = has_terminal()

    def hang_up(*_: object) -> None:
        if had_terminal and not has_terminal():
            _end()  # the user has closed the window

    handlers: dict[int, Callable[..., object]] = {signal.SIGTERM: _end, signal.SIGINT: _end}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = hang_up
    with handling(handlers):
        yield


@contextlib.contextmanager
def handling(handlers: Mapping[int, Callable[..., object]]) -> Iterator[None]:
    """Have signals handled so until the end of the block. For the main thread."""
    before = {sig: signal.signal(sig, handler) for sig, handler in handlers.items()}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _end(*_: object) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def has_terminal() -> bool:
    """Whether there is a terminal that this process belongs to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True
