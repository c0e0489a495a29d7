"""Answers and events as programs print them: a line for people, an object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snn_voice_lite.config import meaning
from snn_voice_lite.errors import SnnVoiceError
from snn_voice_lite.visible import LINE_LIMIT, visible

if TYPE_CHECKING:  # a program's --help needs no NumPy
    from snn_voice_lite.answers import Prediction
    from snn_voice_lite.streaming.detector import Event


def event_line(event: Event) -> str:
    """A word that was said, for people."""
    return f"{event.start:8.2f}-{event.end:.2f} s  {visible(event.label)}  {event.score:.2f}"


def event_row(event: Event) -> dict[str, Any]:
    """A word that was said, for programs."""
    return {
        "label": event.label,
        "score": round(event.score, 6),
        "start": round(event.start, 3),
        "end": round(event.end, 3),
        "time": round(event.time, 3),
    }


def answer_line(
    path: str,
    predictions: Sequence[Prediction],
    *,
    width: int,
    start: float | None = None,
    end: float | None = None,
) -> str:
    """The answer for a file or a window of it, in columns, that says in words what is no word.

    Args:
        path: The file.
        predictions: Best first.
        width: Of the column of files, in characters.
        start: Where the window begins, in seconds.
        end: Where it ends.
    """
    when = "" if start is None else f"  {start:.2f}-{end:.2f} s"
    words = "  ".join(f"{visible(meaning(p.label))} {p.score:.2f}" for p in predictions) or "(no word)"
    return f"{visible(path, LINE_LIMIT):<{width}}{when}  {words}"


def answer_row(
    path: str, predictions: Sequence[Prediction], *, start: float | None = None, end: float | None = None
) -> dict[str, Any]:
    """The same for programs."""
    row: dict[str, Any] = {"file": path}
    if start is not None and end is not None:
        row |= {"start": round(start, 6), "end": round(end, 6)}
    return row | {"predictions": [{"label": p.label, "score": round(p.score, 6)} for p in predictions]}


def failure_row(path: str, error: SnnVoiceError) -> dict[str, Any]:
    """Why a file has no answer, for programs."""
    return {"file": path, "error": {"code": error.code, "message": error.message, "hint": error.hint}}
