"""The page as files: what is sent, to whom, and under which rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO

import httpx
import numpy as np
import pytest
import soundfile as sf
from fastapi import FastAPI
from fastapi.testclient import TestClient
from snn_voice_server.web import pages

from tests.server.web.helpers import EXAMPLES, Service

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as found:
        yield found


def packaged() -> dict[str, bytes]:
    """The page's files, as they lie in the installed package."""
    folder = files("snn_voice_server.web").joinpath("page")
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def test_browsers_get_the_page(client: httpx.Client) -> None:
    answer = client.get("/", headers={"Accept": BROWSER})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert answer.content == packaged()["index.html"]


def test_programs_get_the_routes(client: httpx.Client) -> None:
    answer = client.get("/", headers={"Accept": "*/*"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["vary"] == "Accept"
    assert f"curl --data-binary @yes.wav {client.base_url}classify" in answer.text


def test_the_list_of_routes_is_complete(client: httpx.Client) -> None:
    listed = {tuple(line.split()[:2]) for line in client.get("/").text.splitlines()}
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method in operations:
            assert (method.upper(), path.replace("{name}", "NAME")) in listed


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML; Q=0.3", True),
        ("text/html;q=0", False),
        ("text/html;q=much", False),
        ("text/html;q=0.5, text/plain", False),
        ("text/plain;q=0.5, text/html", True),
        ("application/json", False),
        ("*/*", False),
        ("", False),
        (";;,,=q", False),
    ],
)
def test_who_wants_the_page(accept: str, page: bool) -> None:
    assert pages.wants_page(accept) is page


@pytest.mark.parametrize("name", sorted(set(pages.page_files()) - {"index.html"}))
def test_files_are_sent_as_they_are(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/web/{name}")
    assert answer.status_code == 200
    assert answer.content == pages.page_files()[name].body
    kinds = {
        "js": "text/javascript",
        "css": "text/css",
        "svg": "image/svg+xml",
        "flac": "audio/flac",
    }
    assert answer.headers["content-type"].split(";")[0] == kinds[name.rpartition(".")[2]]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/web/app.js", "/web/style.css", "/web/icon.svg"])
def test_asking_again_costs_nothing(client: httpx.Client, path: str) -> None:
    first = client.get(path, headers={"Accept": BROWSER})
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (tag, f'"other", W/{tag}', "*"):
        again = client.get(path, headers={"Accept": BROWSER, "If-None-Match": known})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == tag
    changed = client.get(path, headers={"Accept": BROWSER, "If-None-Match": '"other"'})
    assert changed.content == first.content


@pytest.mark.parametrize("path", ["/", "/web/app.js"])
@pytest.mark.parametrize("accept", [BROWSER, "*/*"])
def test_head(client: httpx.Client, path: str, accept: str) -> None:
    got, head = (client.request(method, path, headers={"Accept": accept}) for method in ("GET", "HEAD"))
    assert head.status_code == 200
    assert head.content == b""
    for header in ("content-type", "content-length"):
        assert head.headers[header] == got.headers[header]


@pytest.mark.parametrize("path", ["/", "/web/app.js"])
def test_nothing_from_elsewhere_is_allowed(client: httpx.Client, path: str) -> None:
    policy = client.get(path, headers={"Accept": BROWSER}).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in policy


def test_a_frame_where_it_is_allowed() -> None:
    app = FastAPI()
    pages.install(app, frames=["https://huggingface.co", "https://*.example:8443"])
    headers = TestClient(app).get("/", headers={"Accept": BROWSER}).headers
    assert headers["content-security-policy"].endswith(
        "; frame-ancestors https://huggingface.co https://*.example:8443"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/web/",
        "/web",
        "/web/nope.js",
        "/web/api.js",
        "/web/index.html",
        "/web/%2e%2e/pages.py",
        "/web/..%2fpages.py",
    ],
)
def test_nothing_else_is_there(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_clips_are_the_examples() -> None:
    """They lie in the package once more, since the folder of examples is no part of it."""
    for name, file in pages.page_files().items():
        if name.endswith(".flac"):
            clip, rate = sf.read(BytesIO(file.body), dtype="int16")
            example, same_rate = sf.read(EXAMPLES / name.replace(".flac", ".wav"), dtype="int16")
            assert rate == same_rate
            np.testing.assert_array_equal(clip, example)


def test_what_the_page_names_is_there_and_nothing_else() -> None:
    sent = pages.page_files()
    named = set(re.findall(r'"web/([^"]+)"', sent["index.html"].body.decode()))
    named |= set(re.findall(r'new URL\("([^"]+)", import.meta.url', sent["app.js"].body.decode()))
    assert named == set(sent) - {"index.html"}


def test_no_address_of_another_host() -> None:
    for name, content in packaged().items():
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s\"')]*", content.decode()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name  # the name of a language, never asked for


def test_without_the_page() -> None:
    app = FastAPI()
    pages.install(app, page=False)
    client = TestClient(app)
    assert client.get("/", headers={"Accept": BROWSER}).headers["content-type"].startswith("text/plain")
    assert client.get("/web/app.js").status_code == 404


def test_stays_out_of_the_documentation() -> None:
    app = FastAPI()
    pages.install(app)
    assert app.openapi()["paths"] == {}
