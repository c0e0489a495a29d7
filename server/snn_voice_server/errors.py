"""Every answer that is not 2xx: one JSON form, and one table from error codes to statuses."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_server.schemas import ErrorAnswer, ErrorBody

# What is not here is 400: the client sent it, and can't make it work by sending it again.
_STATUS = {"not_audio": 415, "too_long": 413, "too_large": 413, "timeout": 408, "not_ready": 503}

_ROUTES = "see GET / for the routes"


class RequestError(SnnVoiceError):
    """A request that can't be answered; `code` decides the status."""

    code = "bad_request"


def shown(value: object, limit: int = 60) -> str:
    """What a client sent, as it may stand in a message: short, and printable whatever it was."""
    text = ascii(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def error_response(
    status: int, code: str, message: str, hint: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An answer in the one form of all errors."""
    body = ErrorAnswer(error=ErrorBody(code=code, message=message, hint=hint))
    return JSONResponse(body.model_dump(), status_code=status, headers=headers)


async def _on_refusal(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SnnVoiceError)
    return error_response(_STATUS.get(error.code, 400), error.code, error.message, error.hint)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status, headers = error.status_code, error.headers
    if status == HTTPStatus.NOT_FOUND:
        return error_response(status, "not_found", "there is no such route", _ROUTES, headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (headers or {}).get("Allow", "")
        message = f"this route does not answer {shown(request.method)}"
        return error_response(
            status, "method_not_allowed", message, f"use {allowed}" if allowed else _ROUTES, headers
        )
    return error_response(status, "http_error", HTTPStatus(status).phrase, "", headers)


async def _on_invalid(_: Request, __: Exception) -> JSONResponse:
    return error_response(400, "bad_request", "a value of the request is not legal", "see /openapi.json")


async def _on_failure(_: Request, __: Exception) -> JSONResponse:
    # Starlette raises the exception again after this answer, and the server logs it with its traceback.
    return error_response(500, "internal", "the service failed", "its log says why")


def install(app: FastAPI) -> None:
    """Make every error of the application answer in the one form."""
    app.add_exception_handler(RequestError, _on_refusal)
    # Of the package's own errors only this one is the client's doing; another one is a fault of the service.
    app.add_exception_handler(AudioError, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_failure)
