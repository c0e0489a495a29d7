"""Answers as JSON."""

from __future__ import annotations

import json

from fastapi import Response

# Made once, as `json.dumps` would for each answer.
encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def json_response(content: object) -> Response:
    """An answer; what it says was checked when it was made, so nothing checks it again.

    Args:
        content: Ready for JSON, or JSON already (`bytes`).
    """
    body = content if isinstance(content, bytes) else encode(content).encode()
    return Response(body, media_type="application/json")
