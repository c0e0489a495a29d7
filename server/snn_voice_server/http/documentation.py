"""The parts of the OpenAPI document that FastAPI can't find out by itself."""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
from collections.abc import Collection
from typing import Any

from snn_voice_hub.inference.answers import FUNCTIONS
from snn_voice_server.http.schemas import ErrorAnswer

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_TOP_K = {
    "type": "integer",
    "minimum": 1,
    "default": 5,
    "description": "At most so many labels; a larger number than there are gives them all.",
}
_FUNCTION = {
    "type": "string",
    "enum": list(FUNCTIONS),
    "default": "softmax",
    "description": 'How logits become scores; "none" leaves them as they are.',
}

_WINDOWS = {
    "type": "boolean",
    "default": False,
    "description": "An answer for each window of a longer sound, with its start and end in seconds.",
}
_MODEL = {"type": "string", "default": "", "description": "One of GET /models; by default the first of them."}
_SETTINGS = {"top_k": _TOP_K, "function_to_apply": _FUNCTION, "windows": _WINDOWS, "model": _MODEL}

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


def _query(settings: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in settings.items()
    ]


def _one_sound(settings: dict[str, Any]) -> dict[str, Any]:
    """A request of one sound and some settings."""
    return {
        "parameters": _query(settings),
        "requestBody": {
            "required": True,
            "description": _ABOUT_SOUND,
            "content": {
                "audio/*": _BINARY,
                "application/octet-stream": _BINARY,
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "additionalProperties": False,
                        "properties": {"file": {"type": "string", "format": "binary"}, **settings},
                    }
                },
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["inputs"],
                        "properties": {
                            "inputs": {
                                "type": "string",
                                "format": "byte",
                                "description": "Base64 of a sound file; a data: URL is taken too.",
                            },
                            "parameters": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": settings,
                            },
                        },
                    },
                    "example": {"inputs": _example_sound(), "parameters": {"top_k": 3}},
                },
            },
        },
    }


# The routes that take sound read their request by themselves, so nothing of it stands in a signature.
CLASSIFY = _one_sound(_SETTINGS)
SPIKES = _one_sound({"top_k": _TOP_K, "model": _MODEL})

CLASSIFY_BATCH: dict[str, Any] = {
    "parameters": _query(_SETTINGS),
    "requestBody": {
        "required": True,
        "description": "A form with a part `file` for each sound file. Settings in it win over the query.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        **_SETTINGS,
                    },
                }
            }
        },
    },
}

WORDS = [{"label": "yes", "score": 0.97}, {"label": "left", "score": 0.01}]
SPIKES_ANSWER = {
    "model": "resmel-snn",
    "start": 0.0,
    "end": 0.75,
    "windows": 1,
    "num_steps": 2,
    "predictions": WORDS,
    "decision": {
        "labels": ["yes", "left"],
        "scores": [[0.91, 0.03], [0.97, 0.01]],
        "logits": [[1.25, 0.16], [1.38, -0.02]],
        "settled": 1,
    },
    "layers": [
        {
            "name": "lif",
            "shape": [192, 13],
            "neurons": 2496,
            "rate": 0.07,
            "dead": 2186,
            "saturated": 80,
            "first_spike": 1.7,
            "rows": [0, 96],
            "columns": [0, 6],
            "spikes": [[3], [0, 3]],
        }
    ],
    "energy": {
        "synops": 11114808,
        "macs": 3867384,
        "acs": 7247424,
        "energy_uj": 24.31,
        "energy_once_uj": 11.01,
        "cnn": {"energy_dense_uj": 64.81},
        "pj_a_mac": 4.6,
        "pj_an_ac": 0.9,
        "constants": "Horowitz 2014, 45 nm, 32-bit floating point",
    },
}
BATCH = {
    "results": [
        {"file": "yes.wav", "predictions": WORDS},
        {
            "file": "notes.txt",
            "error": {
                "code": "not_audio",
                "message": "the audio data is not sound in a known format",
                "hint": "WAV, FLAC, OGG, MP3 or AIFF",
            },
        },
    ]
}


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
