"""`GET /docs`: the API's documentation to click on, without a file from another host."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import FastAPI, Request, Response

from snn_voice_server.web.static_files import StaticFile, add_files, read_folder

# Swagger UI writes styles into its elements and draws its icons from data: addresses.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")


@cache
def _files() -> dict[str, StaticFile]:
    ours = files("snn_voice_server.web")
    swagger = files("fastapi_offline").joinpath("static")
    sent = read_folder(ours.joinpath("reference_page"))
    sent |= {name: swagger.joinpath(name).read_bytes() for name in _SWAGGER}
    sent["icon.svg"] = ours.joinpath("page", "icon.svg").read_bytes()
    return {name: StaticFile.of(name, body) for name, body in sent.items()}


def install(app: FastAPI) -> None:
    """Add `GET /docs` and the files under `/docs/`.

    Args:
        app: The application.
    """
    found = dict(_files())
    index = found.pop("index.html")

    headers = {"Content-Security-Policy": _POLICY}

    async def page(request: Request) -> Response:
        return index.answer(request, **headers)

    app.add_route("/docs", page, methods=["GET"], include_in_schema=False)
    add_files(app, "/docs", found, **headers)
