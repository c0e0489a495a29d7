"""Routes and methods that are not there, and what the service says about itself."""

from __future__ import annotations

import re

import httpx
import pytest
from snn_voice_server.app import create_app
from snn_voice_server.settings import Settings

from snn_voice_hub import SnnVoice
from tests.server.helpers import check, wav


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/ready", "/metrics", "/models", "/model", "/openapi.json", "/docs", "/web/icon.svg"],
)
def test_head_is_get_without_a_body(client: httpx.Client, path: str) -> None:
    asked = client.get(path)
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    for name in ("content-type", "etag"):
        assert answer.headers.get(name) == asked.headers.get(name)
    assert client.get("/health").status_code == 200  # the connection is still in step


def test_head_of_what_is_not_there(client: httpx.Client) -> None:
    assert client.head("/nope").status_code == 404
    assert client.head("/models/nope").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [
        ("POST", "/classify?topk=1", "did you mean top_k?"),
        ("POST", "/classify?top_k=1&Model=x", "did you mean model?"),
        ("POST", "/classify/batch?window=1", "did you mean windows?"),
        ("POST", "/spikes?x=1", "legal: "),
        ("GET", "/model?name=x", "legal: model"),
        ("GET", "/models?top_k=1", "none"),
    ],
)
def test_unknown_query_parameter_is_refused(client: httpx.Client, method: str, path: str, hint: str) -> None:
    form = {"files": {"file": wav()}} if "batch" in path else {"content": wav() if method == "POST" else None}
    assert hint in check(client.request(method, path, **form), 400, "bad_query")


def test_documentation_needs_no_other_host(client: httpx.Client) -> None:
    """Every file that the page loads is here, and its policy lets no browser ask elsewhere."""
    page = client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "docs/start.js"} <= set(loaded)
    for address in loaded:
        assert not address.startswith(("/", "http"))  # the service may stand under a path of another
        assert client.get(f"/{address}").status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    check(client.get("/docs/nope.js"), 404, "not_found")


def test_example_of_a_request_can_be_sent(client: httpx.Client) -> None:
    body = client.get("/openapi.json").json()["paths"]["/classify"]["post"]["requestBody"]
    example = body["content"]["application/json"]["example"]
    assert len(client.post("/classify", json=example).json()) == example["parameters"]["top_k"]


@pytest.mark.parametrize("keys", [[], ["a-key"]])
def test_openapi_says_where_the_key_goes(model: SnnVoice, keys: list[str]) -> None:
    document = create_app(model, Settings(api_keys=keys)).openapi()
    (name, scheme), *_ = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in ("/health", "/ready", "/metrics"):
                assert "security" not in operation
            else:
                assert operation["security"] == ([{name: []}] if keys else [{}, {name: []}])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_wrong_method(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/classify")
    assert answer.headers["allow"] == "POST"
    if method == "HEAD":
        assert answer.status_code == 405
        assert answer.headers["content-type"] == "application/json"
        assert answer.content == b""
    else:
        check(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/nope", "/classify/", "/model/x", "/%00", "/../etc/passwd", "/redoc", "/web/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_route(client: httpx.Client, method: str, path: str) -> None:
    check(client.request(method, path), 404, "not_found")


@pytest.mark.parametrize("host", ["[", "a b", "x" * 1000, "é"])
def test_strange_host(client: httpx.Client, host: str) -> None:
    for path in ("/", "/nope", "/docs"):
        answer = client.get(path, headers={b"Host": host.encode()})
        assert answer.status_code in (200, 400, 404)


def test_the_list_of_routes_is_that_of_the_document(client: httpx.Client) -> None:
    lines = client.get("/").text.splitlines()
    assert lines[0] == "snn-voice: which word is in a sound file?"
    assert f"{client.base_url}".rstrip("/") in lines[2]
    listed = [(words[0], words[1]) for line in lines[4:] if (words := line.split())]
    described = [
        (method.upper(), path.replace("{name}", "NAME"))
        for path, routes in client.get("/openapi.json").json()["paths"].items()
        for method in routes
    ]
    assert listed == [*described, ("GET", "/docs"), ("GET", "/openapi.json")]
    (spikes,) = (line for line in lines if line.startswith("POST /spikes"))
    assert spikes.endswith("Which neurons fire for a sound file; ?top_k=5&words_only=false&model=NAME")


def test_openapi(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/classify", "/classify/batch", "/spikes", "/models/{name}", "/health"} <= set(document["paths"])

    def resolve(node: object) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                target = document
                for step in node["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
                assert target
            for value in node.values():
                resolve(value)
        elif isinstance(node, list):
            for value in node:
                resolve(value)

    resolve(document)
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert {"classify", "classify_batch", "spikes", "model_by_name", "health"} <= set(names)
    assert len(set(names)) == len(names)
    post = document["paths"]["/classify"]["post"]
    content = post["requestBody"]["content"]
    assert post["requestBody"]["required"]
    assert content["audio/*"]["schema"] == {"type": "string", "format": "binary"}
    form = content["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    assert form["properties"]["file"]["format"] == "binary"
    assert set(content["application/json"]["schema"]["properties"]) == {"inputs", "parameters"}
    named = {p["name"]: p["schema"] for p in post["parameters"]}
    assert set(named) == {"top_k", "words_only", "function_to_apply", "windows", "model"}
    assert (named["words_only"]["type"], named["words_only"]["default"]) == ("boolean", False)
    answer = post["responses"]["200"]["content"]["application/json"]["schema"]
    kinds = {kind["items"]["$ref"].rpartition("/")[2] for kind in answer["anyOf"]}
    assert kinds == {"LabelScore", "WindowScores"}
    batch = document["paths"]["/classify/batch"]["post"]
    sounds = [path["post"] for path in document["paths"].values() if "requestBody" in path.get("post", {})]
    assert len(sounds) >= 3
    assert set(batch["requestBody"]["content"]) == {"multipart/form-data"}
    spikes = document["paths"]["/spikes"]["post"]
    assert {p["name"] for p in spikes["parameters"]} == {"top_k", "words_only", "model"}
    teach = document["paths"]["/teach"]["post"]
    sounds.remove(teach)
    refusals = [(sound, ("400", "401", "404", "408", "413", "415", "429", "503", "504")) for sound in sounds]
    refusals.append((teach, ("400", "401", "403", "408", "409", "413", "415", "503")))
    for operation, statuses in refusals:
        for status in statuses:
            refusal = operation["responses"][status]["content"]["application/json"]
            assert refusal["schema"]["$ref"] == "#/components/schemas/ErrorAnswer"
            assert set(refusal["example"]["error"]) == {"code", "message", "hint"}
    # FastAPI lists it; but values that are not legal are a 400.
    assert not [
        path
        for path, found in document["paths"].items()
        for one in found.values()
        if "422" in one["responses"]
    ]
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()
    for path in ("/model", "/models", "/models/{name}"):
        assert "400" in document["paths"][path]["get"]["responses"]
    form = batch["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["minItems"] == 1
    assert "swagger" in client.get("/docs").text
