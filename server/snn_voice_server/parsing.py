"""The body of a classify request -> the sound in it and what is asked about it.

What a body is, its first bytes say. The header is only asked where they don't: `curl --data-binary` calls
a sound file a form, and other clients say nothing or something wrong.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from snn_voice_hub.inference.answers import FUNCTIONS
from snn_voice_server.errors import RequestError, shown
from snn_voice_server.forms import Part, read_form

_SOUND = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS", b"ID3")
_JSON_TYPE = re.compile(r"(application|text)/([\w.+-]+\+)?json")
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
# Base64 has none of these characters, so a request has few; millions would become gigabytes of objects.
_STRUCTURE = (b"[", b"{", b",")
_MAX_STRUCTURE = 1000
_SETTINGS = ("top_k", "function_to_apply")
_HUB_FORM = '{"inputs": "<base64 of a sound file>", "parameters": {"top_k": 5}}'


@dataclass(frozen=True)
class ClassifyRequest:
    """What was asked.

    Attributes:
        audio: The bytes of a sound file, as they were sent.
        top_k: At most so many labels.
        function_to_apply: One of `snn_voice_hub.inference.answers.FUNCTIONS`.
    """

    audio: bytes
    top_k: int = 5
    function_to_apply: str = "softmax"


def parse(body: bytes, content_type: str, query: Iterable[tuple[str, str]] = ()) -> ClassifyRequest:
    """Read a classify request.

    Args:
        body: The whole body.
        content_type: The header of that name; "" where there is none.
        query: Names and values of the query string; those that are not known here are left alone.

    Returns:
        The request. Whether its bytes are sound is for the loader to say. What stands in the body wins
        over the query.

    Raises:
        RequestError: A setting is not legal, or a form or JSON does not hold what it should.
    """
    request = _with_settings(ClassifyRequest(body), [pair for pair in query if pair[0] in _SETTINGS])
    if not body:
        raise RequestError(
            "the request has no body", hint="send a sound file: curl --data-binary @yes.wav", code="empty"
        )
    media = content_type.partition(";")[0].strip().lower()
    if _is_sound(body):
        return request
    if media == "multipart/form-data":
        return _from_form(request, read_form(body, content_type))
    if _is_json(body, media):
        return _from_json(request, body)
    return request


def _is_sound(body: bytes) -> bool:
    # An MP3 file without tags begins with eleven set bits.
    return body.startswith(_SOUND) or (body[0] == 0xFF and body[1:2] >= b"\xe0")


def _is_json(body: bytes, media: str) -> bool:
    start = body[:256].removeprefix(b"\xef\xbb\xbf").lstrip()
    if _JSON_TYPE.fullmatch(media):
        return b"\0" not in start  # no text: then the header is wrong, and the loader may know better
    return start.startswith(b"{") and not media.startswith("audio/")


# --- settings -------------------------------------------------------------------------------------


def _with_settings(request: ClassifyRequest, pairs: list[tuple[str, str]]) -> ClassifyRequest:
    """The request with settings that came as text, in the query or in fields of a form."""
    settings: dict[str, Any] = {}
    for name, text in pairs:
        if name in settings:
            raise RequestError(f"{name} is given twice", code=f"bad_{name}")
        # int() would also take "1_0", " 1" and digits of other scripts, and refuses very long numbers.
        whole = name == "top_k" and re.fullmatch(r"[0-9]{1,1000}", text)
        settings[name] = int(text) if whole else text
    return _checked(request, settings)


def _checked(request: ClassifyRequest, settings: dict[str, Any]) -> ClassifyRequest:
    top_k = settings.get("top_k", request.top_k)
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise RequestError(
            f"top_k={shown(top_k)} is not legal", hint="a whole number of at least 1", code="bad_top_k"
        )
    function = settings.get("function_to_apply", request.function_to_apply)
    if not isinstance(function, str) or function not in FUNCTIONS:
        raise RequestError(
            f"function_to_apply={shown(function)} is not legal",
            hint=f"one of {', '.join(FUNCTIONS)}",
            code="bad_function_to_apply",
        )
    return replace(request, top_k=top_k, function_to_apply=function)


# --- forms ----------------------------------------------------------------------------------------


def _from_form(request: ClassifyRequest, parts: list[Part]) -> ClassifyRequest:
    unknown = [part.name for part in parts if part.name not in ("file", *_SETTINGS)]
    files = [part.data for part in parts if part.name == "file"]
    if not files:
        what = f"its field {shown(unknown[0])} is not read" if unknown else "it has none"
        raise RequestError(
            f"the form needs a field named 'file': {what}", hint="curl -F file=@yes.wav", code="no_file"
        )
    if len(files) > 1:
        raise RequestError(
            f"the form has {len(files)} files", hint="one file a request", code="several_files"
        )
    if unknown:
        raise RequestError(
            f"the form has an unknown field {shown(unknown[0])}",
            hint=f"legal fields: file, {', '.join(_SETTINGS)}",
            code="bad_form",
        )
    if not files[0]:
        raise RequestError("the form's file is empty", hint="curl -F file=@yes.wav", code="empty")
    fields = [(p.name, p.data.decode("utf-8", "replace").strip()) for p in parts if p.name in _SETTINGS]
    return replace(_with_settings(request, fields), audio=files[0])


# --- the Hub's JSON -------------------------------------------------------------------------------


def _from_json(request: ClassifyRequest, body: bytes) -> ClassifyRequest:
    if sum(map(body.count, _STRUCTURE)) > _MAX_STRUCTURE:
        raise RequestError("the JSON body has too many values", hint=_HUB_FORM, code="bad_json")
    try:
        data = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # among the first: not UTF-8, a number of 5000 digits
        raise RequestError("the body is not valid JSON", hint=_HUB_FORM, code="bad_json") from error
    if not isinstance(data, dict):
        raise RequestError("the body is JSON, but no object", hint=_HUB_FORM, code="bad_json")
    if "inputs" not in data:
        raise RequestError("the JSON body has no field 'inputs'", hint=_HUB_FORM, code="no_inputs")
    parameters = data.get("parameters")
    if not isinstance(parameters, dict | None):
        raise RequestError("'parameters' is no JSON object", hint=_HUB_FORM, code="bad_parameters")
    settings = {name: value for name, value in (parameters or {}).items() if value is not None}
    unknown = [name for name in settings if name not in _SETTINGS]
    if unknown:
        # Passing over it would answer another question than the one that was asked.
        raise RequestError(
            f"unknown parameter {shown(unknown[0])}",
            hint=f"legal parameters: {', '.join(_SETTINGS)}",
            code="bad_parameters",
        )
    return replace(_checked(request, settings), audio=_decode(data["inputs"]))


def _decode(inputs: object) -> bytes:
    if not isinstance(inputs, str):
        raise RequestError("'inputs' is no string", hint="the base64 of a sound file", code="bad_inputs")
    if inputs.startswith(("http://", "https://")):
        raise RequestError(
            "'inputs' is an address, and addresses are not fetched",
            hint="the base64 of a sound file",
            code="bad_inputs",
        )
    text = inputs
    if prefix := _DATA_URL.match(inputs):
        text = inputs[prefix.end() :]
    try:
        audio = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(
            "'inputs' is not valid base64", hint="the base64 of a sound file", code="bad_inputs"
        ) from error
    if not audio:
        raise RequestError("'inputs' is empty", hint="the base64 of a sound file", code="empty")
    return audio
