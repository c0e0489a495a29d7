"""The log on stderr: lines of text for people, or JSON for programs."""

from __future__ import annotations

import contextvars
import logging
import sys
from datetime import UTC, datetime

from snn_voice_lite.visible import LINE_LIMIT, visible, visible_json

# Which request the code that logs is about; "" outside of one.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

ROOTS = ("snn_voice_server", "snn_voice_wyoming", "snn_voice_hub", "uvicorn")
# Libraries that print their log by themselves, in a form of their own.
PRINTERS = ("huggingface_hub", "torch", "ray")
# Of a traceback the end is kept, which says most.
_TRACE_LIMIT = 20_000


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
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-_TRACE_LIMIT:]
        return visible_json(line, default=str)


class TextLines(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        parts = [time, f"{record.levelname.lower():<7}", record.getMessage()]
        parts += [f"{key}={value}" for key, value in getattr(record, "fields", {}).items()]
        if identifier := request_id.get():
            parts.append(f"request_id={identifier}")
        lines = [visible(" ".join(parts), LINE_LIMIT)]
        if record.exc_info:
            # Indented: what an exception says can't pass for a line of the log.
            trace = self.formatException(record.exc_info)[-_TRACE_LIMIT:].splitlines()
            lines += [f"    {visible(line, LINE_LIMIT)}" for line in trace]
        return "\n".join(lines)


def set_up(level: str, form: str) -> None:
    """Send the log of this package, its library and uvicorn to stderr.

    Args:
        level: "debug", "info", "warning" or "error".
        form: "text" or "json".
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    for name in ROOTS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
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
