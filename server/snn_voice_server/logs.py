"""The log on stderr: lines of text for people, or JSON for programs."""

from __future__ import annotations

import contextvars
import json
import logging
import sys
from datetime import UTC, datetime

# Which request the code that logs is about; "" outside of one.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

ROOTS = ("snn_voice_server", "snn_voice_hub", "uvicorn")


class JsonLines(logging.Formatter):
    """One JSON object a line; what is given as `extra={"fields": {...}}` is part of it."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identifier := request_id.get():
            line["request_id"] = identifier
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        parts = [time, f"{record.levelname.lower():<7}", record.getMessage()]
        parts += [f"{key}={value}" for key, value in getattr(record, "fields", {}).items()]
        if identifier := request_id.get():
            parts.append(f"request_id={identifier}")
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


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
