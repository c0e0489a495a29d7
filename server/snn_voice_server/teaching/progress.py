"""What a training tells while it runs: a JSON object a line."""

from __future__ import annotations

import json
import math
from collections import deque
from pathlib import Path
from typing import Any, Final

_MOST_LINES: Final = 20
_LONGEST_LINE: Final = 300
_MOST_FIGURES: Final = 50

# A number, or numbers by what they were measured on.
Figure = float | str | None | dict[str, float | str | None]


class TeachProgress:
    """The newest state of a training; lines come in a thread, and are read in another.

    Args:
        hidden: A folder whose place is nobody's business: it is left out of what is shown.

    Attributes:
        step: What it does, in a word.
        text: The same for people.
        done: How much of it is done.
        of: How much there is; 0 where nobody knows.
        lines: The newest ones for people, the oldest first.
        result: What the last line says, once it is over.
    """

    def __init__(self, hidden: Path) -> None:
        self._hidden = f"{hidden}/"
        self.step = "begin"
        self.text = ""
        self.done = 0.0
        self.of = 0.0
        self.lines: deque[str] = deque(maxlen=_MOST_LINES)
        self.result: dict[str, Any] | None = None

    def take(self, line: str) -> None:
        """Take a line of stdout; one that is no progress is shown as it is."""
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or not isinstance(told.get("step"), str):
            self.say(line)
            return
        if told["step"] == "done":
            self.result = told
            return
        text = str(told.get("text") or "")
        self.now(told["step"][:40], text, _number(told.get("done")), _number(told.get("of")))

    def now(self, step: str, text: str, done: float = 0.0, of: float = 0.0) -> None:
        """Say what is done now."""
        self.step, self.text, self.done, self.of = step, self._shown(text), done, of
        self.say(text)

    def say(self, text: str) -> None:
        """Add a line, unless it is the newest one already."""
        shown = self._shown(text)
        if shown and shown not in list(self.lines)[-1:]:
            self.lines.append(shown)

    @property
    def figures(self) -> dict[str, Figure]:
        """What was measured, by name."""
        found: dict[str, Figure] = {}
        for name, value in _pairs((self.result or {}).get("figures")):
            if isinstance(value, dict):
                found[name] = {inner: v for inner, v in _pairs(value) if _is_figure(v)}
            elif _is_figure(value):
                found[name] = value
        return found

    @property
    def checkpoint(self) -> Path | None:
        """The folder of the new model, if the training has told one and it is there."""
        for field in ("folder", "model"):
            path = Path(str((self.result or {}).get(field) or ""))
            if (path / "config.json").is_file():
                return path
        return None

    def _shown(self, text: str) -> str:
        return text.replace(self._hidden, "")[:_LONGEST_LINE].strip()


def _number(value: object) -> float:
    # Also a whole number that is too large for a float.
    legal = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if legal and math.isfinite(value) else 0.0  # type: ignore[arg-type]


def _pairs(told: object) -> list[tuple[str, Any]]:
    pairs = list(told.items())[:_MOST_FIGURES] if isinstance(told, dict) else []
    return [(str(name)[:80], value) for name, value in pairs]


def _is_figure(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_LINE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value is None
    return abs(value) < 1e15
