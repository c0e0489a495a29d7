"""The first message of a stream: what comes, and what is to be heard in it."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from snn_voice_lite.listening import StreamOptions
from snn_voice_lite.streaming.chunks import ENCODINGS

from snn_voice_server.failures import RequestError, shown

# Characters of a text message; a hello that names a thousand words has fewer.
MAX_TEXT = 16_384

_FORM = '{"sample_rate": 16000, "encoding": "pcm16"}'


@dataclass(frozen=True, kw_only=True)
class Hello:
    """What a client asks for; each field is one of the message.

    Attributes:
        sample_rate: Of its sound, in Hz.
        encoding: How its bytes are read, one of `chunks.ENCODINGS`.
        model: Which model is to listen; "" for the default.
        words: What to listen for; None for all words.
        threshold: Score from which on a word counts, or one for each of some words; None for the model's own.
        hop_ms: Milliseconds between windows; None for the model's own.
        scores: Whether the scores of every window are wanted too.
        spikes: Whether it is wanted too which neurons fire in every step.
        key: An API key, for clients that can't send headers.
    """

    sample_rate: int
    encoding: str
    model: str = ""
    words: list[str] | None = None
    threshold: float | dict[str, float] | None = None
    hop_ms: float | None = None
    scores: bool = False
    spikes: bool = False
    key: str = ""

    def options(self) -> StreamOptions:
        """As `SnnVoice.stream` takes them, but for the rate."""
        return {
            "encoding": self.encoding,
            "words": self.words,
            "threshold": self.threshold,
            "hop": None if self.hop_ms is None else self.hop_ms / 1e3,
            "scores": self.scores,
            "spikes": self.spikes,
        }

    @property
    def window_by_window(self) -> bool:
        """Whether each window has messages of its own."""
        return self.scores or self.spikes


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # not so NaN, nor a whole number that is too large for a float


def _truth(value: object) -> bool:
    return isinstance(value, bool)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _words(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _threshold(value: object) -> bool:
    return _number(value) or (isinstance(value, dict) and all(map(_number, value.values())))


# Field -> whether a value is of its kind, and what would be.
_FIELDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "sample_rate": (_whole, "a whole number, in Hz: 16000"),
    "encoding": (lambda value: _text(value) and value in ENCODINGS, f"one of {', '.join(ENCODINGS)}"),
    "model": (_text, "see GET /models"),
    "words": (_words, 'a list of words: ["yes", "stop"]'),
    "threshold": (_threshold, 'a number, 0 to 1, or one for each of some words: {"stop": 0.6}'),
    "hop_ms": (_number, "a number of milliseconds: 100"),
    "scores": (_truth, "true or false"),
    "spikes": (_truth, "true or false"),
    "key": (_text, "an API key"),
}
_NEEDED = ("sample_rate", "encoding")


def read_message(text: str, what: str, form: str) -> dict[str, Any]:
    """The JSON object of a text message.

    Args:
        text: The message.
        what: It is to be, for the error.
        form: Of such a message, for the error.

    Raises:
        RequestError: It is none.
    """
    if len(text) > MAX_TEXT:
        raise RequestError(
            "the text message is too long", hint=f"at most {MAX_TEXT} characters", code="too_large"
        )
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{what} is not valid JSON", hint=form, code="bad_json") from error
    if not isinstance(data, dict):
        raise RequestError(f"{what} is JSON, but no object", hint=form, code="bad_json")
    return data


def read_hello(text: str) -> Hello:
    """The hello in a text message. Whether the model can do what it asks is for the model to say.

    Raises:
        RequestError: It is none, or a field is not legal.
    """
    data = read_message(text, "the hello", _FORM)
    kind = data.pop("type", "hello")
    if kind != "hello":
        raise RequestError(
            f"the first message has the type {shown(kind)}", hint=f"a hello: {_FORM}", code="bad_hello"
        )
    fields = {name: value for name, value in data.items() if value is not None}
    for name, value in fields.items():
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise RequestError(
                f"the hello has an unknown field {shown(name)}",
                hint=f"{meant}legal: {', '.join(_FIELDS)}",
                code="bad_hello",
            )
        legal, hint = _FIELDS[name]
        if not legal(value):
            # A key that was sent in a wrong form is nobody's business either.
            said = name if name == "key" else f"{name}={shown(value)}"
            raise RequestError(f"{said} is not legal", hint=hint, code=f"bad_{name}")
    for name in _NEEDED:
        if name not in fields:
            raise RequestError(f"the hello has no {name}", hint=_FORM, code="bad_hello")
    return Hello(**fields)
