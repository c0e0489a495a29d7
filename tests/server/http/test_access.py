"""API keys, pages of other origins, and the route for operators."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app
from snn_voice_server.settings import Settings

from snn_voice_hub import SnnVoice
from tests.server.helpers import check, wav

KEY = "a-key-that-nobody-guesses"
RIGHT = {"Authorization": f"Bearer {KEY}"}
# Whatever the application has besides needs a key.
OPEN = (
    *("/health", "/ready", "/metrics"),
    *("/", "/web/{name}", "/docs", "/docs/{name}", "/openapi.json"),
)


def every_route(routes: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Methods and paths of an application, also of the routers that it includes and of what it mounts."""
    for route in routes:
        inner = getattr(route, "original_router", route)
        if hasattr(inner, "routes"):
            yield from every_route(inner.routes)
        else:
            methods = getattr(route, "methods", None) or {"GET"}
            yield from ((method, getattr(route, "path", "")) for method in methods - {"HEAD"})


@pytest.fixture(scope="module")
def guarded(model: SnnVoice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"# of the team\n\nteam {hashlib.sha256(b'other').hexdigest()}\n")
    settings = Settings(api_keys=[KEY], api_keys_file=file, page=False)
    with TestClient(create_app(model, settings)) as client:
        yield client


def test_every_route_is_looked_at(guarded: TestClient) -> None:
    """Otherwise the next test could not fail."""
    found = set(every_route(guarded.app.routes))  # type: ignore[attr-defined]
    described = guarded.get("/openapi.json").json()["paths"]
    documented = {(method.upper(), path) for path, routes in described.items() for method in routes}
    assert {(method, path.replace(":path}", "}")) for method, path in found} >= documented
    assert set(OPEN) - {"/web/{name}"} <= {path for _, path in found}  # the fixture serves no page


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x", f"Bearer {KEY} x", "ä"],
)
def test_without_the_key(guarded: TestClient, given: str) -> None:
    headers = {"Authorization": given.encode()} if given else {}
    for method, path in every_route(guarded.app.routes):  # type: ignore[attr-defined]
        if path not in OPEN:
            at = re.sub(r"{.*?}", "TcySNN", path)
            answer = guarded.request(method, at, content=wav(), headers=headers)
            text = check(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "Authorization: Bearer KEY" in text
            assert KEY not in answer.text


def test_a_hash_is_no_key(guarded: TestClient) -> None:
    digest = hashlib.sha256(b"other").hexdigest()
    answer = guarded.get("/model", headers={"Authorization": f"Bearer {digest}"})
    check(answer, 401, "unauthorized")


@pytest.mark.parametrize("given", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER  {KEY} ", "Bearer other"])
def test_with_a_key(guarded: TestClient, given: str) -> None:
    headers = {"Authorization": given}
    assert guarded.post("/classify", content=wav(), headers=headers).status_code == 200
    batch = guarded.post("/classify/batch", files={"file": wav()}, headers=headers)
    assert batch.json()["results"][0]["predictions"]
    for path in ("/model", "/models", "/models/TcySNN"):
        assert guarded.get(path, headers=headers).status_code == 200


def test_what_is_open(guarded: TestClient) -> None:
    for path in OPEN:
        if "{" not in path:
            assert guarded.get(path).status_code == 200


def test_refusals_are_counted_and_no_key_is_logged(
    guarded: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    count = 'snn_voice_refused_total{reason="unauthorized"} '
    before = float(guarded.get("/metrics").text.partition(count)[2].partition("\n")[0] or 0)
    wrong = "a-wrong-key"
    guarded.post("/classify", content=wav(), headers={"Authorization": f"Bearer {wrong}"})
    guarded.post("/classify", content=wav(), headers=RIGHT)
    page = guarded.get("/metrics").text
    assert float(page.partition(count)[2].partition("\n")[0]) == before + 1
    for secret in (KEY, wrong):
        assert secret not in caplog.text
        assert secret not in page


def test_no_keys_no_guard(model: SnnVoice) -> None:
    with TestClient(create_app(model)) as client:
        assert client.post("/classify", content=wav(), headers=RIGHT).status_code == 200
        assert "--api-keys" in check(client.post("/admin/reload"), 403, "forbidden")


def test_reload(checkpoint: Path) -> None:
    with TestClient(create_app(settings=Settings(model=[str(checkpoint)], api_keys=[KEY]))) as client:
        check(client.post("/admin/reload"), 401, "unauthorized")
        answer = client.post("/admin/reload", headers=RIGHT)
        assert answer.status_code == 200
        assert answer.json() == {"reloaded": [checkpoint.name]}


# --- other origins --------------------------------------------------------------------------------

ORIGIN = {"Origin": "https://words.example"}
PREFLIGHT = {
    **ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-request-id",
}


def test_other_origins_are_not_let_in(model: SnnVoice) -> None:
    with TestClient(create_app(model)) as client:
        assert client.options("/classify", headers=PREFLIGHT).status_code == 405
        answer = client.post("/classify", content=wav(), headers=ORIGIN)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_origins_of_the_settings(model: SnnVoice) -> None:
    settings = Settings(cors_origins=["https://words.example"], api_keys=[KEY])
    with TestClient(create_app(model, settings)) as client:
        early = client.options("/classify", headers=PREFLIGHT)  # a browser sends no key with it
        assert early.status_code == 200
        assert early.headers["access-control-allow-origin"] == "https://words.example"
        assert "POST" in early.headers["access-control-allow-methods"]
        assert "Authorization" in early.headers["access-control-allow-headers"]
        answer = client.post("/classify", content=wav(), headers={**ORIGIN, **RIGHT})
        assert answer.headers["access-control-allow-origin"] == "https://words.example"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        # Without this, a page could not even read why it was refused.
        refusal = client.post("/classify", content=wav(), headers=ORIGIN)
        check(refusal, 401, "unauthorized")
        assert refusal.headers["access-control-allow-origin"] == "https://words.example"
        other = {**PREFLIGHT, "Origin": "https://other.example"}
        assert "access-control-allow-origin" not in client.options("/classify", headers=other).headers
        answer = client.post("/classify", content=wav(), headers={**RIGHT, "Origin": "https://other.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_all_origins(model: SnnVoice) -> None:
    with TestClient(create_app(model, Settings(cors_origins=["*"]))) as client:
        answer = client.post("/classify", content=wav(), headers=ORIGIN)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
