"""How files of pages are sent: compressed to who takes that, with a tag for each form of them."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from snn_voice_server.web import pages, reference
from snn_voice_server.web.static_files import StaticFile, takes_gzip

TEXT = b"the same words, again and again. " * 40


@pytest.fixture(scope="module")
def client() -> Any:
    app = FastAPI(docs_url=None)
    pages.install(app)
    reference.install(app)
    known = {"long.js": StaticFile.of("long.js", TEXT), "short.js": StaticFile.of("short.js", b"1;")}

    async def one(request: Request) -> Response:
        return known[request.path_params["name"]].answer(request)

    app.add_route("/of/{name}", one, methods=["GET"])
    return TestClient(app, headers={"Accept": "text/html, */*"})


def raw(client: Any, path: str, **headers: str) -> tuple[Any, bytes]:
    """An answer, and its body as it came over the wire."""
    with client.stream("GET", path, headers=headers) as answer:
        return answer, b"".join(answer.iter_raw())


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("GZIP;q=0.1", True),
        ("br, gzip;q=0.8, *;q=0.1", True),
        ("*", True),
        ("x-gzip", True),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=much", False),
        ("*;q=0", False),
        ("identity", False),
        ("", False),
        (",;=q", False),
    ],
)
def test_who_takes_gzip(client: Any, header: str, takes: bool) -> None:
    assert takes_gzip(header) is takes
    answer, body = raw(client, "/of/long.js", **{"Accept-Encoding": header})
    assert answer.headers.get("content-encoding") == ("gzip" if takes else None)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(body)
    assert (gzip.decompress(body) if takes else body) == TEXT


def test_each_form_has_a_tag_of_its_own(client: Any) -> None:
    packed, _ = raw(client, "/of/long.js", **{"Accept-Encoding": "gzip"})
    plain, _ = raw(client, "/of/long.js", **{"Accept-Encoding": "identity"})
    tags = {"gzip": packed.headers["etag"], "identity": plain.headers["etag"]}
    assert tags["gzip"] != tags["identity"]
    for encoding in tags:
        for known, tag in tags.items():
            answer, body = raw(client, "/of/long.js", **{"Accept-Encoding": encoding, "If-None-Match": tag})
            assert answer.status_code == (304 if known == encoding else 200)
            assert answer.headers["etag"] == tags[encoding]
            assert answer.headers["vary"] == "Accept-Encoding"
            assert bool(body) == (known != encoding)
            assert "content-encoding" not in answer.headers or body


def test_what_does_not_get_smaller_stays_as_it_is(client: Any) -> None:
    answer, body = raw(client, "/of/short.js", **{"Accept-Encoding": "gzip"})
    assert body == b"1;"
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/", "/web/app.js", "/web/style.css", "/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"],
)
def test_pages_are_compressed(client: Any, path: str) -> None:
    _, plain = raw(client, path, **{"Accept-Encoding": "identity"})
    answer, packed = raw(client, path, **{"Accept-Encoding": "gzip, br"})
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) * (0.4 if len(plain) > 2000 else 0.8)


def test_the_same_bytes_at_each_start() -> None:
    assert StaticFile.of("a.js", TEXT) == StaticFile.of("b.js", TEXT)
    pages.page_files.cache_clear()
    first = pages.page_files()
    pages.page_files.cache_clear()
    assert pages.page_files() == first
