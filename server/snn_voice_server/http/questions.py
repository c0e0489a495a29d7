"""What may be asked about a sound: each setting once, for requests and for their documentation."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from snn_voice_lite.answers import FUNCTIONS

from snn_voice_server.failures import RequestError, shown

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Question:
    """What is asked about a sound; each field is a setting, see `SETTINGS`.

    Attributes:
        top_k: At most so many labels.
        function_to_apply: One of `snn_voice_lite.answers.FUNCTIONS`.
        words_only: Whether labels that are no word are left out.
        windows: Whether each window gets an answer of its own.
        model: Which model is asked; "" for the default.
    """

    top_k: int = 5
    function_to_apply: str = "softmax"
    words_only: bool = False
    windows: bool = False
    model: str = ""


@dataclass(frozen=True)
class Setting:
    """One field of `Question`.

    Attributes:
        schema: Of its values in the OpenAPI document, without the default.
        legal: Whether a value is one.
        hint: What would be legal.
        read: Text, as it stands in a query or a form -> value; text that is none stays what it is.
    """

    schema: Mapping[str, Any]
    legal: Callable[[object], bool]
    hint: str
    read: Callable[[str], object] = str


def _boolean(description: str) -> Setting:
    return Setting(
        {"type": "boolean", "description": description},
        lambda value: isinstance(value, bool),
        "true or false",
        lambda text: _BOOLEANS.get(text.lower(), text),
    )


def _whole(text: str) -> object:
    # int() would also take "1_0", " 1" and digits of other scripts, and refuses very long numbers.
    return int(text) if re.fullmatch(r"[0-9]{1,1000}", text) else text


SETTINGS = {
    "top_k": Setting(
        {
            "type": "integer",
            "minimum": 1,
            "description": "At most so many labels; a larger number than there are gives them all.",
        },
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 1,
        "a whole number of at least 1",
        _whole,
    ),
    "function_to_apply": Setting(
        {
            "type": "string",
            "enum": list(FUNCTIONS),
            "description": 'How logits become scores; "none" leaves them as they are.',
        },
        lambda value: isinstance(value, str) and value in FUNCTIONS,
        f"one of {', '.join(FUNCTIONS)}",
    ),
    "words_only": _boolean(
        "Leave out labels that are no word, such as `_silence_` and `_unknown_`. Scores stay as they are: "
        "probabilities among all labels, so those of the words sum to less than 1."
    ),
    "windows": _boolean("An answer for each window of a longer sound, with its start and end in seconds."),
    "model": Setting(
        {"type": "string", "description": "One of GET /models; by default the first of them."},
        lambda value: isinstance(value, str),
        "see GET /models",
    ),
}


def question_of(query: Iterable[tuple[str, str]]) -> Question:
    """The settings of a query string.

    Raises:
        RequestError: One is not known, or not legal.
    """
    pairs = list(query)
    check_query([name for name, _ in pairs], SETTINGS)
    return with_texts(Question(), pairs)


def check_query(names: Iterable[str], legal: Collection[str]) -> None:
    """Passing over what is not known would answer another question than the one that was asked.

    Raises:
        RequestError: A name is not legal.
    """
    for name in names:
        if name not in legal:
            near = difflib.get_close_matches(name, legal, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise RequestError(
                f"unknown query parameter {shown(name)}",
                hint=f"{meant}legal: {', '.join(legal)}" if legal else "this route takes none",
                code="bad_query",
            )


def with_texts(question: Question, pairs: Iterable[tuple[str, str]]) -> Question:
    """The question with settings that came as text, in the query or in fields of a form.

    Raises:
        RequestError: One is given twice, or not legal.
    """
    settings: dict[str, object] = {}
    for name, text in pairs:
        if name in settings:
            raise RequestError(f"{name} is given twice", code=f"bad_{name}")
        settings[name] = SETTINGS[name].read(text)
    return with_settings(question, settings)


def with_settings(question: Question, settings: Mapping[str, Any]) -> Question:
    """The question with other settings.

    Raises:
        RequestError: One is not legal.
    """
    for name, value in settings.items():
        if not SETTINGS[name].legal(value):
            raise RequestError(
                f"{name}={shown(value)} is not legal", hint=SETTINGS[name].hint, code=f"bad_{name}"
            )
    return replace(question, **settings) if settings else question


def check_taken(question: Question, path: str, taken: Collection[str]) -> None:
    """Refuse a setting that a route does not take, unless it says what is usual.

    Raises:
        RequestError: There is one.
    """
    for name in SETTINGS:
        if name not in taken and getattr(question, name) != getattr(Question, name):
            raise RequestError(
                f"{path} does not take {name}",
                hint=f"{' and '.join(taken)}; see /classify",
                code=f"bad_{name}",
            )
