"""Text of others (labels, names of files, what a Hub says) as it may be shown: on one line, and harmless.

A label or a file's name may hold anything: escape sequences that drive a terminal, newlines that forge a
line of a log, marks that turn the order of reading, halves of surrogate pairs that no UTF-8 can hold. What is
shown of it is printable; what is kept and computed with stays as it is.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

# Of a name. Messages and lines hold several.
NAME_LIMIT = 200
LINE_LIMIT = 4000

_ELLIPSIS = "…"
# Not printable for Python, but harmless: Persian, the scripts of India and emoji are spelled with them.
_JOINERS = "\u200c\u200d"


def visible(text: object, limit: int = NAME_LIMIT) -> str:
    r"""What may be shown of a text: printable, on one line, and not longer than `limit`.

    A character that is not printable stands as Python's escape (`\x1b`, `\n`, `\u202e`, `\ud800`); of a
    longer text the middle is left out. What came out once comes out the same again.

    Args:
        text: Anything; `str()` of it.
        limit: Most characters, at least 3.
    """
    whole = str(text)
    if len(whole) <= limit and whole.isprintable():
        return whole
    # Escapes only lengthen: no more than this can be shown, however long the text is.
    whole = whole if len(whole) <= limit else whole[:limit] + whole[-limit:]
    pieces = [c if _harmless(c) else c.encode("unicode_escape").decode("ascii") for c in whole]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    head = (limit - len(_ELLIPSIS) + 1) // 2
    tail = limit - len(_ELLIPSIS) - head
    return "".join([*_first(pieces, head), _ELLIPSIS, *reversed(_first(pieces[::-1], tail))])


def visible_json(
    value: object, *, indent: int | None = None, default: Callable[[Any], object] | None = None
) -> str:
    """JSON of which nothing drives a terminal; a program reads the same text as without that.

    Args:
        value: What `json.dumps` takes; no NaN or infinity.
        indent: See `json.dumps`.
        default: See `json.dumps`.

    Raises:
        ValueError: A number is not finite.
    """
    # Outside of strings JSON is printable but for its newlines, and inside them those are escaped.
    text = json.dumps(value, indent=indent, default=default, ensure_ascii=False, allow_nan=False)
    return re.sub(r"[^\n -~]", lambda found: _json_escape(found[0]), text)


def module_logger(name: str) -> logging.Logger:
    """The logger of a module of this package: whoever shows its messages, they are visible.

    Args:
        name: The module's `__name__`.
    """
    logger = logging.getLogger(name)
    logger.addFilter(_make_visible)
    return logger


def _make_visible(record: logging.LogRecord) -> bool:
    record.msg, record.args = visible(record.getMessage(), LINE_LIMIT), None
    return True


def _harmless(character: str) -> bool:
    return character.isprintable() or character in _JOINERS


def _json_escape(character: str) -> str:
    if _harmless(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _first(pieces: list[str], room: int) -> list[str]:
    """As many of the first pieces as there is room for; none is cut."""
    kept = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return kept
