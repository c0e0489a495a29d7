"""The page at `/` with its files, and the list of routes for programs that ask there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Nothing from another host, nothing inline; sound is played from memory (blob:).
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Modules import each other by name. With "ask first", no browser mixes two versions of them.
    "Cache-Control": "no-cache",
}

_ROUTES = """\
POST /classify        sound in, words out; ?top_k=5&function_to_apply=softmax&windows=true&model=NAME
POST /classify/batch  many files in one form
POST /spikes          which neurons fire for a sound, step by step; ?top_k=5&model=NAME
GET  /models          the models, and which of them are loaded
GET  /models/NAME     labels, configuration, licence, measurements
GET  /model           the same of the default model, or of ?model=NAME
GET  /health          is the process alive?
GET  /ready           can it classify?
GET  /metrics         counters and times for Prometheus
POST /admin/reload    read the checkpoints again; needs an API key
GET  /docs            documentation to click on
GET  /openapi.json    documentation for programs
"""


@dataclass(frozen=True)
class StaticFile:
    """A file of the page, as it is sent."""

    body: bytes
    media_type: str
    etag: str

    def answer(self, request: Request, **headers: str) -> Response:
        """The file, or 304 where the client has it."""
        headers = {**_HEADERS, "ETag": self.etag, **headers}
        if _knows(request.headers.get("if-none-match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def _knows(if_none_match: str, etag: str) -> bool:
    # A proxy that compresses makes a tag weak; for "is it still the same" that is no difference.
    known = [entry.strip().removeprefix("W/") for entry in if_none_match.split(",")]
    return etag in known or known == ["*"]


def read_files(folder: Traversable) -> dict[str, StaticFile]:
    """The files of a folder that a page may have, by name."""
    found = {}
    for entry in folder.iterdir():
        media_type = _TYPES.get("." + entry.name.rpartition(".")[2])
        if media_type and entry.is_file():
            body = entry.read_bytes()
            found[entry.name] = StaticFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return found


def wants_page(accept: str) -> bool:
    """Whether a client is a browser that wants to show a page.

    Args:
        accept: The header of that name, or "". Only a client that names HTML gets it: `*/*` is what curl
            sends.

    Returns:
        Whether HTML is named, and plain text is not liked better.
    """
    weights = {"text/html": 0.0, "text/plain": 0.0}
    for entry in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _weight(parameters))
    return weights["text/html"] > 0 and weights["text/html"] >= weights["text/plain"]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _list_of_routes(request: Request) -> Response:
    url = str(request.base_url).rstrip("/")
    text = (
        "snn-voice: which word is in a sound file?\n\n"
        f"  curl --data-binary @yes.wav {url}/classify\n\n"
        f"{_ROUTES}"
    )
    return PlainTextResponse(text, headers={"Vary": "Accept", "X-Content-Type-Options": "nosniff"})


def install(app: FastAPI, *, page: bool = True) -> None:
    """Add `GET /` and the files under `/web/`.

    Browsers get the page at `/`; other clients a list of the routes. The files are read once, so what is
    served does not change while the service runs.

    Args:
        app: The application.
        page: False leaves the page out; then everyone gets the list.
    """
    found = read_files(files("snn_voice_server").joinpath("web")) if page else {}
    index = found.pop("index.html", None)

    async def root(request: Request) -> Response:
        if index is None or not wants_page(request.headers.get("accept", "")):
            return _list_of_routes(request)
        return index.answer(request, Vary="Accept")

    async def web_file(request: Request) -> Response:
        try:
            file = found[request.path_params["name"]]
        except KeyError:
            raise HTTPException(404) from None
        return file.answer(request)

    # Starlette's own routes: they answer HEAD too, and stay out of the API's documentation.
    app.add_route("/", root, methods=["GET"], include_in_schema=False)
    if page:
        app.add_route("/web/{name}", web_file, methods=["GET"], include_in_schema=False)
