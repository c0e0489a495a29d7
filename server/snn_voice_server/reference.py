"""`GET /docs`: the API's documentation to click on, without a file from another host."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from snn_voice_server.pages import StaticFile, read_files

# Swagger UI writes styles into its elements and draws its icons from data: addresses.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")


def install(app: FastAPI) -> None:
    """Add `GET /docs` and the files under `/docs/`.

    Args:
        app: The application.
    """
    found = read_files(files("snn_voice_server").joinpath("reference_page"))
    swagger = read_files(files("fastapi_offline").joinpath("static"))
    found |= {name: swagger[name] for name in _SWAGGER}
    index = found.pop("index.html")

    def answer(request: Request, file: StaticFile) -> Response:
        return file.answer(request, **{"Content-Security-Policy": _POLICY})

    async def page(request: Request) -> Response:
        return answer(request, index)

    async def docs_file(request: Request) -> Response:
        try:
            file = found[request.path_params["name"]]
        except KeyError:
            raise HTTPException(404) from None
        return answer(request, file)

    app.add_route("/docs", page, methods=["GET"], include_in_schema=False)
    app.add_route("/docs/{name}", docs_file, methods=["GET"], include_in_schema=False)
