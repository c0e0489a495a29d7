"""The page at `/` with its files, and the list of routes for programs that ask there."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from snn_voice_server.web.bundle import bundle_modules, bundle_styles
from snn_voice_server.web.static_files import StaticFile, add_files, policy, read_folder, weights

# In the order in which they are read; the first holds the colours.
_STYLES = ["style.css", "panels.css", "timeline.css", "spikes.css", "live.css", "teach.css"]
# The browser loads it by itself, into the thread of the sound.
_WORKLET = "recorder-worklet.js"

_LIST = """\
snn-voice: which word is in a sound file?

  curl --data-binary @yes.wav {url}/classify

{routes}"""
# Besides the routes that the OpenAPI document describes.
_DOCUMENTS = (
    ("GET", "/docs", "Documentation to click on"),
    ("GET", "/openapi.json", "Documentation for programs"),
)


@cache
def page_files() -> dict[str, StaticFile]:
    """What the page loads, by name: `index.html`, script, style and icon; worklet and clips later."""
    web = files("snn_voice_server.web")
    found = read_folder(web.joinpath("page"))
    texts = {name: body.decode() for name, body in found.items()}
    modules = {name: text for name, text in texts.items() if name.endswith(".js") and name != _WORKLET}
    sent = {
        "index.html": found["index.html"],
        "app.js": bundle_modules(modules, "app.js").encode(),
        "style.css": bundle_styles(texts, _STYLES).encode(),
        "icon.svg": found["icon.svg"],
        _WORKLET: found[_WORKLET],
        **read_folder(web.joinpath("clips")),
    }
    return {name: StaticFile.of(name, body) for name, body in sent.items()}


def wants_page(accept: str) -> bool:
    """Whether a client is a browser that wants to show a page.

    Args:
        accept: The header of that name, or "". Only a client that names HTML gets it: `*/*` is what curl
            sends.

    Returns:
        Whether HTML is named, and plain text is not liked better.
    """
    liked = weights(accept)
    html = liked.get("text/html", 0.0)
    return html > 0 and html >= liked.get("text/plain", 0.0)


def list_of_routes(document: dict[str, Any]) -> str:
    """A line for each route of an OpenAPI document: method, path, what it is for, what may be asked."""
    found = [
        (method.upper(), re.sub(r"{(\w+)}", lambda name: name[1].upper(), path), _about(route))
        for path, routes in document["paths"].items()
        for method, route in routes.items()
    ]
    return "".join(f"{method:4} {path:15} {about}\n" for method, path, about in (*found, *_DOCUMENTS))


def _about(route: dict[str, Any]) -> str:
    settings = [one for one in route.get("parameters", ()) if one["in"] == "query"]
    usual = [(one["name"], json.dumps(one["schema"].get("default", "")).strip('"')) for one in settings]
    query = "&".join(f"{name}={value or 'NAME'}" for name, value in usual)
    summary: str = route["summary"]
    return f"{summary}; ?{query}" if query else summary


def install(app: FastAPI, *, page: bool = True, frames: Sequence[str] = ()) -> None:
    """Add `GET /` and the files under `/web/`.

    Browsers get the page at `/`; other clients a list of the routes. The files are read once, so what is
    served does not change while the service runs.

    Args:
        app: The application.
        page: False leaves the page out; then everyone gets the list.
        frames: Origins whose pages may show it in a frame.
    """
    found = dict(page_files()) if page else {}
    index = found.pop("index.html", None)

    async def root(request: Request) -> Response:
        if index is None or not wants_page(request.headers.get("accept", "")):
            url = str(request.base_url).rstrip("/")
            text = _LIST.format(url=url, routes=list_of_routes(app.openapi()))
            return PlainTextResponse(text, headers={"Vary": "Accept", "X-Content-Type-Options": "nosniff"})
        return index.answer(request, vary="Accept", **{"Content-Security-Policy": policy(frames)})

    # Starlette's own routes: they answer HEAD too, and stay out of the API's documentation.
    app.add_route("/", root, methods=["GET"], include_in_schema=False)
    if page:
        add_files(app, "/web", found)
