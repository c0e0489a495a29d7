"""The reference of the HTTP API, out of the OpenAPI document of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from mkdocs.structure.pages import Page
from snn_voice_server.app import create_app
from snn_voice_server.settings import Settings

from snn_voice_hub.notation import markdown_table

MARKER: Final = "<!-- routes -->"


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """The page of the API with its routes."""
    if MARKER not in markdown:
        return markdown
    document = create_app(settings=Settings(api_keys=[], model=[])).openapi()
    routes = (
        _route(method, path, route)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    )
    return markdown.replace(MARKER, "\n\n".join(part for route in routes for part in route))


def _route(method: str, path: str, route: dict[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} {path}"
    yield f"{route['summary']}."
    if about := route.get("description"):
        yield about
    rows = [
        (f"`{one['name']}`", one["in"], _default(one["schema"]), _about(one))
        for one in route.get("parameters", [])
    ]
    yield markdown_table(("parameter", "in", "default", ""), rows, words=4)
    kinds = route.get("requestBody", {}).get("content", {})
    if kinds:
        yield "Body: " + ", ".join(f"`{kind}`" for kind in kinds) + "."
    answers = route["responses"]
    if example := _example(answers):
        yield f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```"
    rows = [(f"{status}", answer["description"], _code(answer)) for status, answer in answers.items()]
    yield markdown_table(("status", "", "code"), rows, words=3)


def _default(schema: dict[str, Any]) -> str:
    return f"`{json.dumps(schema['default'])}`" if schema.get("default") is not None else ""


def _about(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    legal = schema.get("enum")
    said: str = parameter.get("description") or schema.get("description") or ""
    return f"{said} One of {', '.join(f'`{one}`' for one in legal)}." if legal else said


def _example(answers: dict[str, Any]) -> object:
    """What an answer looks like that is none of an error."""
    for status, answer in answers.items():
        for content in answer.get("content", {}).values():
            if str(status).startswith("2") and "example" in content:
                return content["example"]
    return None


def _code(answer: dict[str, Any]) -> str:
    example = answer.get("content", {}).get("application/json", {}).get("example")
    error = example.get("error") if isinstance(example, dict) else None
    return f"`{error['code']}`" if isinstance(error, dict) else ""
