"""The service's log on stderr: lines of text for people, or JSON for programs."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from snn_voice_lite.process.logs import TextLines, to_stderr, trace_of
from snn_voice_lite.visible import LINE_LIMIT, visible, visible_json

# Which request the code that logs is about; "" outside of one.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

ROOTS = ("snn_voice_server", "snn_voice_hub", "snn_voice_lite", "uvicorn")
# Libraries that print their log by themselves, in a form of their own.
PRINTERS = ("huggingface_hub", "torch", "ray")


class JsonLines(logging.Formatter):
    """One JSON object a line; what is given as `extra={"fields": {...}, "request": {...}}` is part of it."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": visible(record.getMessage(), LINE_LIMIT),
        }
        if identifier := request_id.get():
            line["request_id"] = identifier
        line.update(getattr(record, "request", {}))
        line.update(getattr(record, "fields", {}))
        if trace := trace_of(record):
            line["traceback"] = trace
        return visible_json(line, default=str)


class RequestLines(TextLines):
    """A line for people, which says what request it is about."""

    def fields(self, record: logging.LogRecord) -> Mapping[str, Any]:
        """See `TextLines.fields`."""
        identifier = request_id.get()
        return {**super().fields(record), **({"request_id": identifier} if identifier else {})}


def set_up(level: str, form: str) -> None:
    """Send the log of this package, its libraries and uvicorn to stderr.

    Args:
        level: "debug", "info", "warning" or "error".
        form: "text" or "json".
    """
    to_stderr(ROOTS, level, JsonLines() if form == "json" else RequestLines())
    # A line for each connection tells an operator nothing.
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, getattr(logging, level.upper())))
    # A broken form is told to its sender; a line in the log for each would only fill it.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def take_over() -> None:
    """Tell what other libraries log or warn of in the same form; for a process that is the service's own."""
    handler = logging.getLogger(ROOTS[0]).handlers[0]
    logging.getLogger().handlers[:] = [handler]
    for name in PRINTERS:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(True)
