"""Every answer that is not 2xx: one JSON form, and one table from error codes to statuses."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_server.failures import (
    DeadlineExceeded,
    HungUp,
    ModelFailure,
    Refused,
    RequestError,
    Unauthorized,
    UnknownModel,
    shown,
)
from snn_voice_server.http.schemas import ErrorAnswer, ErrorBody

# What is not here is 400: the client sent it, and can't make it work by sending it again.
_STATUS = {
    "unauthorized": 401,
    "forbidden": 403,
    "unknown_model": 404,
    "no_job": 404,
    "timeout": 408,
    "teaching": 409,
    "name_taken": 409,
    "too_long": 413,
    "too_large": 413,
    "not_audio": 415,
    "bad_encoding": 415,
    "upgrade_required": 426,
    "over_share": 429,
    "internal": 500,
    "busy": 503,
    "not_ready": 503,
    "out_of_memory": 503,
    "stopping": 503,
    "deadline": 504,
    "no_room": 507,
}

_ROUTES = "see GET / for the routes"
# What curl calls every body; only of `-d` it leaves out the bytes that look like line ends.
_FORM = "application/x-www-form-urlencoded"

# Nobody reads it; the number is what nginx logs for a client that has closed the connection.
HUNG_UP = 499


def status_of(code: str) -> int:
    """The status by which HTTP answers an error of that code."""
    return _STATUS.get(code, 400)


def error_response(
    status: int, code: str, message: str, hint: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An answer in the one form of all errors."""
    body = ErrorAnswer(error=ErrorBody(code=code, message=message, hint=hint))
    return JSONResponse(body.model_dump(), status_code=status, headers=headers)


async def _on_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SnnVoiceError)
    if isinstance(error, COUNTED):
        request.app.state.service.metrics.refused.labels(error.code).inc()
    headers, hint = {}, error.hint
    if isinstance(error, AudioError) and request.headers.get("content-type", "") == _FORM:
        curl = "`curl -d` changes the bytes, --data-binary does not"
        hint = f"{hint}; {curl}" if hint else curl
    if isinstance(error, Refused):
        headers["Retry-After"] = str(error.retry_after)
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    return error_response(status_of(error.code), error.code, error.message, hint, headers)


async def _on_hung_up(_: Request, __: Exception) -> Response:
    return Response(status_code=HUNG_UP)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status, headers = error.status_code, error.headers
    if status == HTTPStatus.NOT_FOUND:
        return error_response(status, "not_found", "there is no such route", _ROUTES, headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (headers or {}).get("Allow", "")
        if request.method == "POST":
            allowed += "; sound goes to POST /classify"
        message = f"this route does not answer {shown(request.method)}"
        return error_response(
            status, "method_not_allowed", message, f"use {allowed}" if allowed else _ROUTES, headers
        )
    return error_response(status, "http_error", HTTPStatus(status).phrase, "", headers)


async def _on_invalid(_: Request, __: Exception) -> JSONResponse:
    return error_response(400, "bad_request", "a value of the request is not legal", "see /openapi.json")


async def _on_failure(_: Request, __: Exception) -> JSONResponse:
    # Starlette raises the exception again after this answer, for the log.
    return error_response(500, "internal", "the service failed", "its log says why")


# Of the package's own errors only these are about the request; another one is a fault of the service.
EXPECTED = (RequestError, AudioError, Refused, DeadlineExceeded, ModelFailure, UnknownModel, Unauthorized)

# Of these, what the metrics count as refused.
COUNTED = (Refused, DeadlineExceeded, Unauthorized)


def install(app: FastAPI) -> None:
    """Make every error of the application answer in the one form."""
    for kind in EXPECTED:
        app.add_exception_handler(kind, _on_refusal)
    app.add_exception_handler(HungUp, _on_hung_up)
    app.add_exception_handler(ClientDisconnect, _on_hung_up)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_failure)
