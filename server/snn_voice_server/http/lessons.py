"""The request of `POST /teach` -> what is to be learned."""

from __future__ import annotations

from collections.abc import Iterable

from snn_voice_server.failures import RequestError, shown
from snn_voice_server.http.forms import read_form
from snn_voice_server.teaching.lessons import TeachRequest, told

SETTINGS = ("words", "synthetic", "name")
# Both are usual.
_FILE_FIELDS = ("clips", "file")
_YES_OR_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_FORM = "multipart/form-data"
_LEGAL = f"legal: {', '.join(SETTINGS)}"


def read_lesson(
    body: bytes, content_type: str, query: Iterable[tuple[str, str]], max_words: int
) -> TeachRequest:
    """Read a request to teach: a zip as it is, or a form with it; takes a while for large ones.

    Args:
        body: The whole body; empty where only synthesisers are to say the words.
        content_type: The header of that name.
        query: Names and values of the query string; fields of a form are added to it.
        max_words: Forms of more fields than these need are refused.

    Raises:
        RequestError: A field is not known or not legal, or the form is broken.
    """
    fields, archives = list(query), [body] if body else []
    if content_type.partition(";")[0].strip().lower() == _FORM:
        parts = read_form(body, content_type, max_parts=max_words + 8)
        archives = [part.data for part in parts if part.name in _FILE_FIELDS]
        others = [part for part in parts if part.name not in _FILE_FIELDS]
        fields += [(part.name, part.data.decode("utf-8", "replace").strip()) for part in others]
    if len(archives) > 1:
        raise RequestError(
            f"the form has {len(archives)} files", hint="one zip with all clips", code="several_files"
        )
    return _lesson(fields, archives[0] if archives else b"")


def _lesson(fields: Iterable[tuple[str, str]], archive: bytes) -> TeachRequest:
    words: list[str] = []
    said: dict[str, str] = {}
    once: dict[str, str] = {}
    for name, text in fields:
        if name not in SETTINGS:
            raise RequestError(f"unknown field {shown(name)}", hint=_LEGAL, code="bad_form")
        if name == "words":
            for wish in text.split(","):
                word, equals, sounds = (part.strip() for part in wish.partition("="))
                words += [word] if word or equals else []
                if equals and said.setdefault(word, sounds) != sounds:
                    raise RequestError(
                        f"{told(word)} has two pronunciations", hint="one", code="bad_pronunciation"
                    )
        elif name in once:
            raise RequestError(f"{name} is given twice", hint="once", code=f"bad_{name}")
        else:
            once[name] = text
    synthetic = _YES_OR_NO.get(once.get("synthetic", "yes").lower())
    if synthetic is None:
        given = told(once["synthetic"])
        raise RequestError(f"synthetic={given} is not legal", hint="yes or no", code="bad_synthetic")
    return TeachRequest(tuple(words), archive, synthetic, once.get("name", ""), said)
