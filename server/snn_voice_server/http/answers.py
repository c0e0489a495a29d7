"""Predictions as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Response

from snn_voice_hub import Prediction
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.inference.answers import Window
from snn_voice_server.http.schemas import ErrorBody
from snn_voice_server.http.service import Answer

# Made once, as `json.dumps` would for each answer.
encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def json_response(content: object) -> Response:
    """An answer; what it says was checked when it was made, so nothing checks it again."""
    return Response(encode(content).encode(), media_type="application/json")


def plain(answer: Answer) -> list[dict[str, Any]]:
    """Predictions or windows, ready for JSON."""
    return [_window(item) if isinstance(item, Window) else _prediction(item) for item in answer]


def batch(results: Sequence[tuple[str, Answer | SnnVoiceError]]) -> dict[str, Any]:
    """The answers for several files, ready for JSON."""
    return {"results": [{"file": name, **_result(found)} for name, found in results]}


def _result(found: Answer | SnnVoiceError) -> dict[str, Any]:
    if isinstance(found, SnnVoiceError):
        body = ErrorBody(code=found.code, message=found.message, hint=found.hint)
        return {"error": body.model_dump()}
    kind = "windows" if found and isinstance(found[0], Window) else "predictions"
    return {kind: plain(found)}


def _prediction(prediction: Prediction) -> dict[str, Any]:
    return {"label": prediction.label, "score": prediction.score}


def _window(window: Window) -> dict[str, Any]:
    return {
        "start": window.start,
        "end": window.end,
        "predictions": [_prediction(prediction) for prediction in window.predictions],
    }
