"""Routes and methods that are not there, and what the service says about itself."""

from __future__ import annotations

import httpx
import pytest
from server_helpers import check


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


def test_openapi(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/classify",
        "/classify/batch",
        "/spikes",
        "/model",
        "/models",
        "/models/{name}",
        "/health",
        "/ready",
        "/metrics",
        "/admin/reload",
    }

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
    assert sorted(names) == [
        "classify",
        "classify_batch",
        "health",
        "metrics",
        "model",
        "model_by_name",
        "models",
        "ready",
        "reload",
        "spikes",
    ]
    post = document["paths"]["/classify"]["post"]
    content = post["requestBody"]["content"]
    assert post["requestBody"]["required"]
    assert content["audio/*"]["schema"] == {"type": "string", "format": "binary"}
    form = content["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    assert form["properties"]["file"]["format"] == "binary"
    assert set(content["application/json"]["schema"]["properties"]) == {"inputs", "parameters"}
    assert {p["name"] for p in post["parameters"]} == {"top_k", "function_to_apply", "windows", "model"}
    answer = post["responses"]["200"]["content"]["application/json"]["schema"]
    kinds = {kind["items"]["$ref"].rpartition("/")[2] for kind in answer["anyOf"]}
    assert kinds == {"LabelScore", "WindowScores"}
    batch = document["paths"]["/classify/batch"]["post"]
    assert set(batch["requestBody"]["content"]) == {"multipart/form-data"}
    spikes = document["paths"]["/spikes"]["post"]
    assert {p["name"] for p in spikes["parameters"]} == {"top_k", "model"}
    for operation in (post, batch, spikes):
        for status in ("400", "401", "404", "408", "413", "415", "429", "503", "504"):
            refusal = operation["responses"][status]["content"]["application/json"]
            assert refusal["schema"]["$ref"] == "#/components/schemas/ErrorAnswer"
            assert set(refusal["example"]["error"]) == {"code", "message", "hint"}
        assert "422" not in operation["responses"]
    assert "swagger" in client.get("/docs").text
