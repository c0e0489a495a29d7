"""The parts of the OpenAPI document that FastAPI can't find out by itself."""

from __future__ import annotations

from typing import Any

from snn_voice_hub.inference.answers import FUNCTIONS
from snn_voice_server.schemas import ErrorAnswer

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

# `/classify` reads its request by itself, so nothing of it stands in a signature.
CLASSIFY: dict[str, Any] = {
    "parameters": [
        {"name": "top_k", "in": "query", "required": False, "schema": _TOP_K},
        {"name": "function_to_apply", "in": "query", "required": False, "schema": _FUNCTION},
    ],
    "requestBody": {
        "required": True,
        "description": (
            "A sound file (WAV, FLAC, OGG Vorbis, OGG Opus, MP3, AIFF): raw, in a form, or as base64 in the "
            "JSON of the Hugging Face Hub. The bytes decide what it is, a wrong Content-Type does no harm. "
            "Settings in the body win over the query."
        ),
        "content": {
            "audio/*": _BINARY,
            "application/octet-stream": _BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "top_k": _TOP_K,
                        "function_to_apply": _FUNCTION,
                    },
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
                            "properties": {"top_k": _TOP_K, "function_to_apply": _FUNCTION},
                        },
                    },
                },
                "example": {"inputs": "UklGRiQAAABXQVZFZm10IBAAAAABAAEA...", "parameters": {"top_k": 3}},
            },
        },
    },
}

WORDS = [{"label": "yes", "score": 0.97}, {"label": "left", "score": 0.01}]


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
