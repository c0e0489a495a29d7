"""What is asked of each parser of strangers' bytes: an answer or an error of ours, within time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from snn_voice_lite.errors import SnnVoiceError

# Of one input, in seconds of the processor (a machine that is busy otherwise is no hang), and MiB above what
# the process had before.
MOST_SECONDS: Final = 2.0
MOST_MEMORY: Final = 300
# Of a message: what is shown of others' text has a bound.
_MOST_TEXT: Final = 9000

Target: TypeAlias = Callable[[bytes], str]
_STATUS: Final = Path("/proc/self/status")
_MARKS: Final = Path("/proc/self/clear_refs")
_FIELDS: Final = ("VmHWM:", "VmRSS:")


class BrokenContractError(AssertionError):
    """What an input has done that none may do."""


def told(error: SnnVoiceError) -> str:
    """The outcome of an input that was refused: its code.

    Raises:
        BrokenContractError: The message is none that could be shown on one line.
    """
    text = str(error)
    if not error.message or "\n" in text or len(text) > _MOST_TEXT or not _shows(text):
        raise BrokenContractError(f"the message is {text[:200]!r}")
    return f"refused: {error.code}"


def run(target: Target, data: bytes) -> str:
    """What becomes of an input.

    Args:
        target: Gives a word for the outcome; refusals are its to catch.
        data: The input.

    Raises:
        BrokenContractError: It took too long, or too much memory. Whatever else the target raises is a fault,
            too.
    """
    measured = measures_memory()
    before = 0
    if measured:
        _MARKS.write_text("5")  # the peak begins anew
        before = _memory()[1]
    began = time.process_time()
    outcome = target(data)
    seconds = time.process_time() - began
    if seconds > MOST_SECONDS:
        raise BrokenContractError(f"it took {seconds:.1f} s")
    if measured and (more := (_memory()[0] - before) >> 10) > MOST_MEMORY:
        raise BrokenContractError(f"it took {more} MiB")
    return outcome


def measures_memory() -> bool:
    """Whether this system tells the peak of a while: Linux does."""
    return _MARKS.exists()


def _memory() -> tuple[int, int]:
    """Peak and now, in KiB."""
    lines = _STATUS.read_text().splitlines()
    peak, now = (next(int(line.split()[1]) for line in lines if line.startswith(name)) for name in _FIELDS)
    return peak, now


def _shows(text: str) -> bool:
    # Joiners are harmless, and Python calls them unprintable.
    return text.replace("\u200c", "").replace("\u200d", "").isprintable()
