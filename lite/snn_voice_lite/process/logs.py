"""The log on stderr, in lines of text for people."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from snn_voice_lite.visible import LINE_LIMIT, visible

LEVELS = ("debug", "info", "warning", "error")

# Of a traceback the end is kept, which says most.
_TRACE_LIMIT = 20_000


class TextLines(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        parts = [time, f"{record.levelname.lower():<7}", record.getMessage()]
        parts += [f"{key}={value}" for key, value in self.fields(record).items()]
        lines = [visible(" ".join(parts), LINE_LIMIT)]
        # Indented: what an exception says can't pass for a line of the log.
        lines += [f"    {visible(line, LINE_LIMIT)}" for line in trace_of(record).splitlines()]
        return "\n".join(lines)

    def fields(self, record: logging.LogRecord) -> Mapping[str, Any]:
        """What stands behind the message: what was given as `extra={"fields": {...}}`."""
        found: Mapping[str, Any] = getattr(record, "fields", {})
        return found


def trace_of(record: logging.LogRecord) -> str:
    """The end of the traceback of an exception that is logged; "" where there is none."""
    return logging.Formatter().formatException(record.exc_info)[-_TRACE_LIMIT:] if record.exc_info else ""


def to_stderr(roots: Iterable[str], level: str, form: logging.Formatter) -> None:
    """Send the log of some packages to stderr, and nowhere else.

    Args:
        roots: Their names.
        level: One of `LEVELS`.
        form: How a line looks.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(form)
    for name in roots:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
