"""The body of a request -> the sound in it and what is asked about it.

What a body is, its first bytes say. The header is only asked where they don't: `curl --data-binary` calls
a sound file a form, and other clients say nothing or something wrong.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from snn_voice_hub.text import decoded_text
from snn_voice_server.failures import RequestError, shown
from snn_voice_server.http.forms import FormPart, read_form
from snn_voice_server.http.questions import SETTINGS, Question, question_of, with_settings, with_texts

_SOUND = (
    *(b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff.\x91\xcf\x11", b"FORM", b"caff", b".snd", b"dns."),
    *(b"fLaC", b"OggS", b"ID3"),
)
_START = 256  # bytes that are looked at
_JSON_TYPE = re.compile(r"(application|text)/([\w.+-]+\+)?json")
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
# Base64 has none of these characters, so a request has few; millions would become gigabytes of objects.
_STRUCTURE = (b"[", b"{", b",")
_MAX_STRUCTURE = 1000
# Of /classify/batch; both are usual.
_FILE_FIELDS = ("file", "files")
_USUAL = Question()
_HUB_FORM = '{"inputs": "<base64 of a sound file>", "parameters": {"top_k": 5}}'


@dataclass(frozen=True)
class ClassifyRequest:
    """A sound and what is asked about it.

    Attributes:
        audio: The bytes of a sound file, as they were sent.
        question: What was asked.
    """

    audio: bytes
    question: Question = _USUAL


@dataclass(frozen=True)
class BatchRequest:
    """Several sounds and what is asked about each.

    Attributes:
        files: Names, as the client gave them, and bytes.
        question: What was asked.
    """

    files: list[tuple[str, bytes]]
    question: Question = _USUAL


def parse(body: bytes, content_type: str, query: Iterable[tuple[str, str]] = ()) -> ClassifyRequest:
    """Read a classify request.

    Args:
        body: The whole body.
        content_type: The header of that name; "" where there is none.
        query: Names and values of the query string.

    Returns:
        The request. Whether its bytes are sound is for the loader to say. What stands in the body wins
        over the query.

    Raises:
        RequestError: A setting is not legal, or a form or JSON does not hold what it should.
    """
    question = question_of(query)
    if not body:
        raise RequestError(
            "the request has no body", hint="send a sound file: curl --data-binary @yes.wav", code="empty"
        )
    media = _media(content_type)
    if is_sound(body):
        return ClassifyRequest(body, question)
    if media == "multipart/form-data":
        return _from_form(question, read_form(body, content_type))
    if _is_json(body, media):
        return _from_json(question, body)
    return ClassifyRequest(body, question)


def parse_batch(
    body: bytes, content_type: str, query: Iterable[tuple[str, str]] = (), *, max_files: int
) -> BatchRequest:
    """Read a request for several files: a form with a part `file` for each.

    Args:
        body: The whole body.
        content_type: The header of that name.
        query: Names and values of the query string.
        max_files: More are refused.

    Raises:
        RequestError: No form, no file or too many, or a setting that is not legal.
    """
    question = question_of(query)
    hint = "curl -F file=@a.wav -F file=@b.wav"
    if _media(content_type) != "multipart/form-data":
        raise RequestError("this route takes multipart/form-data", hint=hint, code="bad_form")
    too_many = RequestError(
        f"the form has more than {max_files} files",
        hint=f"at most {max_files} a request",
        code="too_many_files",
    )
    parts = read_form(body, content_type, max_parts=max_files + len(SETTINGS), too_many=too_many)
    question = _with_fields(question, parts, _FILE_FIELDS)
    files = [(part.file_name, part.data) for part in parts if part.name in _FILE_FIELDS]
    if not files:
        raise RequestError("the form has no field named 'file'", hint=hint, code="no_file")
    if len(files) > max_files:
        raise too_many
    return BatchRequest(files, question)


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def is_sound(body: bytes) -> bool:
    """Whether a body begins like a sound file, so that nothing has to be unpacked."""
    # An MP3 file without tags begins with eleven set bits.
    sync = body[:1] == b"\xff" and body[1:2] >= b"\xe0"
    return body.startswith(_SOUND) or (sync and not _is_wide_json(body))


def _is_json(body: bytes, media: str) -> bool:
    typed = _JSON_TYPE.fullmatch(media) is not None
    # With a zero byte it is UTF-16, or no text: then the header is wrong, and the loader may know better.
    if typed and b"\0" not in body[:_START]:
        return True
    return _begins_an_object(body) and (typed or not media.startswith("audio/"))


def _is_wide_json(body: bytes) -> bool:
    """Whether a body is JSON in UTF-16, whose mark looks like the beginning of a frame of MP3."""
    return body.startswith(codecs.BOM_UTF16_LE) and _begins_an_object(body)


def _begins_an_object(body: bytes) -> bool:
    return decoded_text(body[:_START], "ignore").lstrip().startswith("{")


# --- forms ----------------------------------------------------------------------------------------


def _with_fields(question: Question, parts: list[FormPart], files: Collection[str]) -> Question:
    """The question with the settings of a form, whose other fields must be files."""
    unknown = [part.name for part in parts if part.name not in (*files, *SETTINGS)]
    if unknown:
        raise RequestError(
            f"the form has an unknown field {shown(unknown[0])}",
            hint=f"legal fields: file, {', '.join(SETTINGS)}",
            code="bad_form",
        )
    fields = [(p.name, p.data.decode("utf-8", "replace").strip()) for p in parts if p.name in SETTINGS]
    return with_texts(question, fields)


def _from_form(question: Question, parts: list[FormPart]) -> ClassifyRequest:
    files = [part.data for part in parts if part.name == "file"]
    if not files:
        unknown = [part.name for part in parts if part.name not in SETTINGS]
        what = f"its field {shown(unknown[0])} is not read" if unknown else "it has none"
        raise RequestError(
            f"the form needs a field named 'file': {what}", hint="curl -F file=@yes.wav", code="no_file"
        )
    if len(files) > 1:
        raise RequestError(
            f"the form has {len(files)} files",
            hint="one file a request; POST /classify/batch takes several",
            code="several_files",
        )
    question = _with_fields(question, parts, ("file",))
    if not files[0]:
        raise RequestError("the form's file is empty", hint="curl -F file=@yes.wav", code="empty")
    return ClassifyRequest(files[0], question)


# --- the Hub's JSON -------------------------------------------------------------------------------


def _from_json(question: Question, body: bytes) -> ClassifyRequest:
    if sum(map(body.count, _STRUCTURE)) > _MAX_STRUCTURE:
        raise RequestError("the JSON body has too many values", hint=_HUB_FORM, code="bad_json")
    try:
        data = json.loads(decoded_text(body))
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
    unknown = [name for name in settings if name not in SETTINGS]
    if unknown:
        # Passing over it would answer another question than the one that was asked.
        raise RequestError(
            f"unknown parameter {shown(unknown[0])}",
            hint=f"legal parameters: {', '.join(SETTINGS)}",
            code="bad_parameters",
        )
    return ClassifyRequest(_decode(data["inputs"]), with_settings(question, settings))


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
