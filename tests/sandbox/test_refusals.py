"""What the sandbox refuses, sent without the client's own checks before it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from snn_hub_sandbox.store import Hub

from snn_voice_hub import SnnVoiceError
from tests.sandbox.helpers import Sandbox

API = "/api/models/me/refusals"


@pytest.fixture
def client(hub: Sandbox) -> Iterator[httpx.Client]:
    """Somebody who may do everything to a repository."""
    hub.push("me/refusals", {"a.txt": "a", "folder/b.txt": "b"})
    with httpx.Client(base_url=hub.url, headers={"Authorization": f"Bearer {hub.token()}"}) as found:
        yield found


def message(answer: httpx.Response, status: int) -> str:
    """What a refusal says; it tells nothing of the inside."""
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text
    found: str = answer.json()["error"]
    assert answer.headers["x-error-message"]
    return found


def commit(
    client: httpx.Client, *operations: Any, header: Any = None, revision: str = "main"
) -> httpx.Response:
    lines = [{"key": "header", "value": {"summary": "s"} if header is None else header}, *operations]
    body = "\n".join(json.dumps(line) for line in lines)
    return client.post(f"{API}/commit/{revision}", content=body)


def adding(path: str, content: str = "") -> dict[str, Any]:
    return {"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}}


def test_uploads_are_checked(hub: Sandbox, client: httpx.Client) -> None:
    content = os.urandom(3_000_000)
    sha = hashlib.sha256(content).hexdigest()
    objects = {"operation": "upload", "objects": [{"oid": sha, "size": len(content)}]}
    answer = client.post("/me/refusals.git/info/lfs/objects/batch", json=objects).json()
    put = answer["objects"][0]["actions"]["upload"]["href"]
    lfs = {"key": "lfsFile", "value": {"path": "a.bin", "algo": "sha256", "oid": sha, "size": len(content)}}

    assert "was not uploaded" in message(commit(client, lfs), 400)
    assert "hashes to" in message(client.put(put, content=b"x" + content[1:]), 400)
    assert "2999999 of the announced" in message(client.put(put, content=content[1:]), 400)
    assert "longer than the announced" in message(client.put(put, content=content + b"x"), 400)
    assert "was not uploaded" in message(commit(client, lfs), 400)
    assert client.put(put[:-1], content=content).status_code == 403
    assert client.put(put.replace("size=3", "size=4"), content=content).status_code == 403
    verify = "/me/refusals.git/info/lfs/verify"
    assert client.post(verify, json={"oid": sha, "size": len(content)}).status_code == 404
    assert list(hub.hub.blobs._folder.rglob("*.part")) == []

    assert client.put(put, content=content).status_code == 200
    assert client.post(verify, json={"oid": sha, "size": len(content)}).status_code == 200
    assert client.post(verify, json={"oid": sha, "size": 1}).status_code == 404
    lfs["value"]["size"] = 1
    assert "was not uploaded" in message(commit(client, lfs), 400)
    lfs["value"]["size"] = len(content)
    assert commit(client, lfs).status_code == 200
    assert client.get("/me/refusals/resolve/main/a.bin").content == content


def test_hashes_can_not_lead_elsewhere(client: httpx.Client) -> None:
    for oid in ("..", "%2e%2e%2f%2e%2e%2fetc", "A" * 64, "0" * 63, "0" * 65):
        assert client.put(f"/lfs/{oid}?size=1", content=b"x").status_code in (400, 404, 405)
        assert client.put(f"/lfs/{oid}?size=1&key=0", content=b"x").status_code in (403, 404, 405)
        batch = {"operation": "upload", "objects": [{"oid": oid, "size": 1}]}
        kind = {"Content-Type": "application/vnd.git-lfs+json"}
        answer = client.post(
            "/me/refusals.git/info/lfs/objects/batch", content=json.dumps(batch), headers=kind
        )
        assert "not a SHA-256" in message(answer, 400)
        lfs = {"key": "lfsFile", "value": {"path": "a", "algo": "sha256", "oid": oid}}
        assert "was not uploaded" in message(commit(client, lfs), 400)


@pytest.mark.parametrize(
    "path", ["/a", "../a", "a/../b", "a//b", ".", "", ".git/config", "a\\b", "a\nb", "x/.git/y", "./a"]
)
def test_bad_paths(client: httpx.Client, path: str) -> None:
    message(commit(client, adding(path)), 400)


@pytest.mark.parametrize(
    ("operations", "says"),
    [
        ([{"key": "explode", "value": {"path": "a"}}], "explode"),
        ([{"key": "file", "value": {"path": "x", "content": "%%%", "encoding": "base64"}}], "not base64"),
        ([{"key": "file", "value": {"path": "x", "content": 5, "encoding": "base64"}}], "not base64"),
        ([{"key": "file", "value": {}}], "no path"),
        ([{"key": "file", "value": []}], "not an object"),
        ([{"key": "file"}], "key and value"),
        (["text"], "key and value"),
        ([adding("folder")], "a file and a folder"),
        ([adding("a.txt/b")], "a file and a folder"),
    ],
)
def test_bad_commits(client: httpx.Client, operations: list[Any], says: str) -> None:
    before = client.get(API).json()["sha"]
    assert says in message(commit(client, *operations), 400)
    assert client.get(API).json()["sha"] == before


def test_more_bad_commits(client: httpx.Client) -> None:
    assert "no summary" in message(commit(client, header={"summary": ""}), 400)
    assert "key and value" in message(client.post(f"{API}/commit/main", content=b"\xff\xfe"), 400)
    assert "key and value" in message(client.post(f"{API}/commit/main", content=b"[" * 100_000), 400)
    assert "no summary" in message(client.post(f"{API}/commit/main", content=b""), 400)
    assert "too large" in message(client.post(f"{API}/commit/main", content=b"x" * 25_000_000), 413)
    gone = {"key": "deletedFolder", "value": {"path": "no-folder/"}}
    answer = commit(client, gone)
    assert "no-folder" in message(answer, 404)
    assert answer.headers["x-error-code"] == "EntryNotFound"
    assert "A commit has happened since" in message(
        commit(client, header={"summary": "s", "parentCommit": "0"}), 412
    )
    assert "nope" in message(commit(client, revision="nope"), 404)
    large = base64.b64encode(os.urandom(9_000_000)).decode()
    assert commit(client, adding("large.txt", large)).status_code == 200
    assert client.get("/me/refusals/resolve/main/large.txt").content == base64.b64decode(large)


def test_names(client: httpx.Client) -> None:
    for name in ("refs%2Fpr%2F1", "a" * 40, "..%2Fx", "x%2F%2Fy"):
        message(client.post(f"{API}/branch/{name}", json={}), 400)
    for name in ("", "-x", "a..b", "a--b", "x" * 97, "a/b", "../x", "a.git"):
        message(
            client.post("/api/repos/create", json={"name": name, "organization": None, "type": "model"}), 400
        )
    message(client.post("/api/repos/create", json={"name": "x", "type": "dataset"}), 400)
    message(client.post("/api/repos/create", content=b"{"), 400)


def test_without_a_token_nothing_is_changed(hub: Sandbox, client: httpx.Client) -> None:
    for method, path, body in (
        ("POST", "/api/repos/create", {"name": "x"}),
        ("DELETE", "/api/repos/delete", {"name": "refusals", "organization": "me"}),
        ("PUT", f"{API}/settings", {"private": True}),
        ("POST", f"{API}/branch/b", {}),
        ("DELETE", f"{API}/branch/b", None),
        ("POST", f"{API}/tag/main", {"tag": "t"}),
        ("DELETE", f"{API}/tag/t", None),
        ("POST", f"{API}/preupload/main", {"files": []}),
        ("POST", f"{API}/preupload/main?create_pr=1", {"files": []}),
        ("POST", f"{API}/commit/main", {}),
        ("POST", f"{API}/commit/main?create_pr=1", {}),
        ("POST", f"{API}/discussions", {"title": "t"}),
        ("POST", "/me/refusals.git/info/lfs/objects/batch", {"operation": "upload", "objects": []}),
        ("GET", f"{API}/auth-check/write", None),
        ("GET", "/api/whoami-v2", None),
    ):
        assert httpx.request(method, f"{hub.url}{path}", json=body).status_code == 401, path
        wrong = {"Authorization": "Bearer nonsense"}
        answer = httpx.request(method, f"{hub.url}{path}", json=body, headers=wrong)
        assert message(answer, 401) == "Invalid credentials in Authorization header"


def test_what_there_is_not(client: httpx.Client) -> None:
    assert "models only" in message(client.get("/api/datasets/me/x"), 404)
    assert "models only" in message(client.patch(API), 405)
    assert client.get("/gpt2/resolve/main/config.json").headers["x-error-code"] == "RepoNotFound"
    assert "HF_HUB_DISABLE_XET=1" in message(client.get(f"{API}/xet-write-token/main"), 400)
    assert client.get(f"{API}/discussions/9").status_code == 404
    assert client.get("/api/agent-harnesses").status_code == 404


def test_ranges(client: httpx.Client) -> None:
    commit(client, adding("range.txt", base64.b64encode(b"0123456789").decode()))
    path = "/me/refusals/resolve/main/range.txt"
    for wanted, status, content in (
        ("bytes=4-", 206, b"456789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=2-3", 206, b"23"),
        ("bytes=10-", 416, b""),
        ("lines=1-", 400, None),
    ):
        answer = client.get(path, headers={"Range": wanted})
        assert answer.status_code == status, wanted
        assert content is None or answer.content == content
    head = client.head(path)
    assert (head.headers["content-length"], head.content) == ("10", b"")
    assert head.headers["x-repo-commit"] == client.get(API).json()["sha"]
    assert head.headers["etag"] == f'"{hashlib.sha1(b"blob 10" + bytes(1) + b"0123456789").hexdigest()}"'


def test_pages_that_a_push_prints(client: httpx.Client) -> None:
    answer = commit(client, adding("page.txt"))
    page = client.get(answer.json()["commitUrl"]).text
    link = re.search(r"http://\S+/page\.txt", page)
    assert link
    assert client.get(link[0]).status_code == 200
    pull = client.post(
        f"{API}/commit/main?create_pr=1", content=b'{"key":"header","value":{"summary":"better"}}'
    )
    assert "better" in client.get(pull.json()["pullRequestUrl"]).text
    assert "/me/refusals" in client.get("/").text
    assert client.get("/me/nothing").status_code == 404


def test_folders_that_are_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SnnVoiceError, match="can't be used"):
        Hub(tmp_path / "file")
    hub = Hub(tmp_path / "hub")
    hub.create("me/x", "me")
    state = tmp_path / "hub/repositories/me/x.json"
    for wrong in ("", "{}", state.read_text().replace('"format":1', '"format":2')):
        state.write_text(wrong)
        with pytest.raises(SnnVoiceError, match=r"x\.json is not a repository"):
            Hub(tmp_path / "hub")
