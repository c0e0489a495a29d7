"""Every refusal, with the two headers by which the client tells one kind from another."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class HubError(Exception):
    """A request that the Hub refuses.

    Args:
        status: HTTP status.
        message: What was wrong.
        code: Value of `X-Error-Code`; the client turns some of them into exceptions of their own.
        extra: More fields of the answer's body.
        headers: More headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        *,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


def repository_not_found(signed_in: bool) -> HubError:
    """No such repository, or one that this user may not know of: the answer is the same."""
    if signed_in:
        return HubError(404, "Repository not found", "RepoNotFound")
    return HubError(401, "Invalid username or password.", "RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    """No such branch, tag, pull request or commit."""
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, commit: str) -> HubError:
    """No such file in that commit. The client remembers it, hence the commit."""
    return HubError(404, f"Entry not found: {path}", "EntryNotFound", headers={"X-Repo-Commit": commit})


def gated(repo_id: str, signed_in: bool) -> HubError:
    """The repository may be seen, but its files only by those whom its owner let in."""
    if signed_in:
        message = f"Access to model {repo_id} is restricted and you are not in the authorized list."
        return HubError(403, message, "GatedRepo")
    message = f"Access to model {repo_id} is restricted. You must be authenticated to access it."
    return HubError(401, message, "GatedRepo")


def refusal(error: HubError) -> JSONResponse:
    """The answer to a refused request."""
    headers = {**error.headers, "X-Error-Message": _header(error.message)}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message, **error.extra}, status_code=error.status, headers=headers)


def _header(text: str) -> str:
    # A header is one line of Latin-1, and the text may quote what a client sent.
    return " ".join(text.split()).encode("latin-1", "replace").decode("latin-1")


async def _on_refusal(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HubError)
    return refusal(error)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    message = HTTPStatus(error.status_code).phrase
    if error.status_code in (404, 405):
        message = f"the sandbox does not answer {request.method} {request.url.path}; it holds models only"
    return refusal(HubError(error.status_code, message, headers=error.headers))


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    where = ".".join(str(part) for part in found[0]["loc"]) if found else "request"
    what = found[0]["msg"] if found else "not legal"
    return refusal(HubError(400, f"{where}: {what}"))


def install(app: FastAPI) -> None:
    """Make every refusal of the application answer in the one form."""
    app.add_exception_handler(HubError, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
