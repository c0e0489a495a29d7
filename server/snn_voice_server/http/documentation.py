"""The parts of the OpenAPI document that FastAPI can't find out by itself."""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
from collections.abc import Collection, Iterable
from typing import Any

from snn_voice_server.http.questions import SETTINGS, Question
from snn_voice_server.http.schemas import ErrorAnswer

_FILE = {"type": "string", "format": "binary"}

_ABOUT_SOUND = (
    "A sound file (WAV, FLAC, OGG Vorbis, OGG Opus, MP3, AIFF, CAF, AU): raw, in a form, or as base64 in the "
    "JSON of the Hugging Face Hub. The bytes decide what it is, a wrong Content-Type does no harm. "
    "Settings in the body win over the query."
)


def _example_sound() -> str:
    """Base64 of a WAV file: a short beep, so that the example of a request can be sent as it is."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(4000)
        beep = (round(9000 * math.sin(2 * math.pi * 440 * i / 4000)) for i in range(400))
        sound.writeframes(b"".join(struct.pack("<h", value) for value in beep))
    return base64.b64encode(file.getvalue()).decode()


def _schemas(settings: Iterable[str]) -> dict[str, dict[str, Any]]:
    return {name: {**SETTINGS[name].schema, "default": getattr(Question, name)} for name in settings}


def _request(schemas: dict[str, dict[str, Any]], about: str, content: dict[str, Any]) -> dict[str, Any]:
    query = [{"name": name, "in": "query", "required": False, "schema": schemas[name]} for name in schemas]
    return {"parameters": query, "requestBody": {"required": True, "description": about, "content": content}}


def _form(file: dict[str, Any], schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {"file": file, **schemas},
    }
    return {"schema": schema}


def one_sound(settings: Iterable[str] = SETTINGS) -> dict[str, Any]:
    """A request of one sound and some settings.

    The routes that take sound read their request by themselves, so nothing of it stands in a signature.
    """
    schemas = _schemas(settings)
    inputs = {
        "type": "string",
        "format": "byte",
        "description": "Base64 of a sound file; a data: URL is taken too.",
    }
    parameters = {"type": "object", "additionalProperties": False, "properties": schemas}
    body = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"inputs": inputs, "parameters": parameters},
    }
    example = {"inputs": _example_sound(), "parameters": {"top_k": 3}}
    content = {
        **{kind: {"schema": _FILE} for kind in ("audio/*", "application/octet-stream")},
        "multipart/form-data": _form(_FILE, schemas),
        "application/json": {"schema": body, "example": example},
    }
    return _request(schemas, _ABOUT_SOUND, content)


def several_sounds(settings: Iterable[str] = SETTINGS) -> dict[str, Any]:
    """A form of several sounds and some settings."""
    schemas = _schemas(settings)
    about = "A form with a part `file` for each sound file. Settings in it win over the query."
    form = _form({"type": "array", "items": _FILE, "minItems": 1}, schemas)
    return _request(schemas, about, {"multipart/form-data": form})


def answer(example: object) -> dict[str, Any]:
    """A documented success, with its example."""
    return {"content": {"application/json": {"example": example}}}


def refusal(description: str, code: str, message: str, hint: str = "") -> dict[str, Any]:
    """A documented error, with an example of it."""
    example = {"error": {"code": code, "message": message, "hint": hint}}
    return {
        "model": ErrorAnswer,
        "description": description,
        "content": {"application/json": {"example": example}},
    }


UNAUTHORIZED = refusal(
    "No API key, or one that is not known",
    "unauthorized",
    "this service needs an API key",
    "send the header Authorization: Bearer KEY",
)
UNKNOWN_MODEL = refusal("No such model", "unknown_model", "no model of that name is served")
BAD_QUERY = refusal(
    "A parameter is not known", "bad_query", "unknown query parameter 'modle'", "legal: model"
)
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: refusal("The request can't be used", "truncated", "the audio data is cut off or damaged"),
    401: UNAUTHORIZED,
    404: UNKNOWN_MODEL,
    408: refusal("The client stopped sending", "timeout", "nothing came for 20 s"),
    413: refusal("Too many bytes, or too long", "too_long", "the audio data is longer than 60 s"),
    415: refusal("Not sound", "not_audio", "the audio data is not sound in a known format"),
    429: refusal(
        "The caller's share of the queue is full; Retry-After says how long",
        "over_share",
        "your requests hold your share of the queue, 128 windows",
        "send it again in 2 s",
    ),
    503: refusal(
        "The service is full; Retry-After says how long",
        "busy",
        "the service is busy: its queue of 256 windows is full",
        "send it again in 3 s",
    ),
    504: refusal(
        "It took too long",
        "deadline",
        "no answer within the deadline: given up after 10.00 s",
        "send it again, or less sound",
    ),
}


def as_answered(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document without the 422 that FastAPI lists at parameters: here such values are a 400.

    Args:
        document: What FastAPI has made of the routes; is changed.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    return document


def with_keys(document: dict[str, Any], open_paths: Collection[str], *, needed: bool) -> dict[str, Any]:
    """The OpenAPI document with the API key, so that a page of it can ask for one.

    Args:
        document: What FastAPI has made of the routes; is changed.
        open_paths: Paths that need no key.
        needed: Whether keys are set; else one may be sent, and says nothing.
    """
    name = "API key"
    document.setdefault("components", {})["securitySchemes"] = {
        name: {"type": "http", "scheme": "bearer", "description": "As `Authorization: Bearer KEY`."}
    }
    for path, operations in document["paths"].items():
        if path not in open_paths:
            for operation in operations.values():
                operation["security"] = [{name: []}] if needed else [{}, {name: []}]
    return document
