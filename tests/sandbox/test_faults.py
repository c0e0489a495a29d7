"""Each fault of the sandbox, as the unmodified client sees it, and how a fault is chosen and counted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pydantic import ValidationError

from tests.sandbox.helpers import Sandbox

RESOLVE = "/me/faulty/resolve/*"

# More than the client's piece of 10 MiB, because it forgets a piece that did not arrive whole.
CONTENT = os.urandom(12_000_000)
SMALL = os.urandom(50_000)


@pytest.fixture
def faulty(hub: Sandbox) -> Sandbox:
    """A Hub with a large and a small file on it."""
    hub.push("me/faulty", {"large.bin": CONTENT, "small.bin": SMALL})
    hub.requests.clear()
    return hub


def fetch(hub: Sandbox, cache: Path, name: str = "small.bin", **settings: Any) -> bytes:
    return Path(
        hf_hub_download("me/faulty", name, endpoint=hub.url, cache_dir=cache, **settings)
    ).read_bytes()


def test_a_cut_download_is_resumed(faulty: Sandbox, tmp_path: Path) -> None:
    cut = faulty.fault("cut", RESOLVE, bytes=11_000_000)
    assert fetch(faulty, tmp_path, "large.bin") == CONTENT
    assert cut.hits == 1
    first, second = faulty.requests.find(RESOLVE, "GET")
    assert (first.status, first.sent, first.fault, first.range) == (200, 11_000_000, "cut", "")
    assert (second.status, second.fault, second.range) == (206, "", f"bytes={10 * 1024 * 1024}-")
    assert second.sent == 12_000_000 - 10 * 1024 * 1024


@pytest.mark.slow
def test_an_early_cut_begins_again(faulty: Sandbox, tmp_path: Path) -> None:
    faulty.fault("cut", RESOLVE, bytes=0)
    assert fetch(faulty, tmp_path) == SMALL
    assert [noted.range for noted in faulty.requests.find(RESOLVE, "GET")] == ["", ""]


@pytest.mark.parametrize(
    ("error", "settings"),
    [
        (HfHubHTTPError, {"status": 401}),
        (RepositoryNotFoundError, {"status": 401, "error_code": "RepoNotFound"}),
        (GatedRepoError, {"status": 403, "error_code": "GatedRepo"}),
        (LocalEntryNotFoundError, {"status": 403}),
        (LocalEntryNotFoundError, {"status": 404}),
        (EntryNotFoundError, {"status": 404, "error_code": "EntryNotFound"}),
        (RevisionNotFoundError, {"status": 404, "error_code": "RevisionNotFound"}),
        (HfHubHTTPError, {"status": 500, "method": "GET"}),
        (HfHubHTTPError, {"status": 503, "method": "GET"}),
    ],
)
def test_errors(faulty: Sandbox, tmp_path: Path, error: type[Exception], settings: dict[str, Any]) -> None:
    fault = faulty.fault("status", RESOLVE, **settings)
    with pytest.raises(error):
        fetch(faulty, tmp_path)
    assert fault.hits == 1
    assert faulty.requests.find(RESOLVE)[-1].status == settings["status"]


@pytest.mark.slow
def test_busy(faulty: Sandbox, tmp_path: Path) -> None:
    """The client waits as long as it is told, and a second more."""
    faulty.fault("status", RESOLVE, method="GET", status=429, retry_after=0)
    started = time.monotonic()
    assert fetch(faulty, tmp_path) == SMALL
    assert time.monotonic() - started > 1
    with httpx.Client(base_url=faulty.url) as client:
        faulty.fault("status", "/api/*", status=429, retry_after=7, message="Slow down")
        answer = client.get("/api/models/me/faulty")
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "7"
        assert answer.headers["x-error-message"] == "Slow down"
        assert client.get("/api/models/me/faulty").status_code == 200


def test_wrong_length(faulty: Sandbox, tmp_path: Path) -> None:
    faulty.fault("wrong_length", RESOLVE, bytes=3)
    with pytest.raises(OSError, match="should be of size 50000 but has size 49997"):
        fetch(faulty, tmp_path)
    assert fetch(faulty, tmp_path) == SMALL


def test_wrong_bytes(faulty: Sandbox, tmp_path: Path) -> None:
    """The client does not notice: it checks no hash."""
    faulty.fault("wrong_bytes", RESOLVE, bytes=40_000)
    spoiled = bytearray(SMALL)
    spoiled[40_000] ^= 0xFF
    assert fetch(faulty, tmp_path) == spoiled
    assert fetch(faulty, tmp_path, force_download=True) == SMALL


def test_stall(faulty: Sandbox, tmp_path: Path) -> None:
    faulty.fault("stall", RESOLVE, seconds=30)
    started = time.monotonic()
    # Once it has timed out, the client tries again, and would do so for half a minute.
    faulty.fault("status", RESOLVE, status=403)
    with pytest.raises(LocalEntryNotFoundError):
        fetch(faulty, tmp_path, etag_timeout=0.3)
    assert time.monotonic() - started < 10
    faulty.faults.clear()
    fault = faulty.fault("stall", RESOLVE, seconds=0.5, bytes=1000)
    started = time.monotonic()
    assert fetch(faulty, tmp_path) == SMALL
    assert time.monotonic() - started >= 0.5
    assert fault.hits == 1
    assert [noted.fault for noted in faulty.requests.find(RESOLVE)[-2:]] == ["", "stall"]


@pytest.mark.slow
def test_an_upload_that_fails_is_tried_again(faulty: Sandbox) -> None:
    fault = faulty.fault("status", "/lfs/*", method="PUT", status=503)
    faulty.push("me/retried", {"a.bin": SMALL[::-1]})
    assert fault.hits == 1
    assert [noted.status for noted in faulty.requests.find("/lfs/*")] == [503, 200]


def test_the_rest_goes_on(faulty: Sandbox, tmp_path: Path) -> None:
    """A stalled answer holds up nobody else."""
    stall = faulty.fault("stall", "/me/faulty/resolve/main/large.bin", seconds=30)
    with httpx.Client(base_url=faulty.url) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.get("/me/faulty/resolve/main/large.bin", timeout=0.2)
        assert stall.hits == 1
        assert fetch(faulty, tmp_path) == SMALL


def test_which_requests_and_how_often(faulty: Sandbox) -> None:
    with httpx.Client(base_url=faulty.url) as client:

        def statuses(count: int = 4, path: str = "/api/models/me/faulty") -> list[int]:
            return [client.get(path).status_code for _ in range(count)]

        faulty.fault("status", "/api/models/*", skip=1, times=2)
        assert statuses() == [200, 500, 500, 200]
        faulty.fault("status", "*/faulty", times=None, status=503)
        assert statuses() == [503] * 4
        assert statuses(1, "/api/models/me/faulty/refs") == [200]
        faulty.faults.clear()
        assert statuses(1) == [200]
        faulty.fault("status", "*", method="post", status=418)
        assert statuses(1) == [200]
        assert client.post("/api/validate-yaml", json={"content": ""}).status_code == 418


def test_bad_faults(hub: Sandbox) -> None:
    for settings in (
        {"kind": "explode"},
        {"kind": "cut"},
        {"kind": "cut", "bytes": -1},
        {"kind": "status", "status": 200},
        {"kind": "stall", "times": 0},
        {"kind": "stall", "nonsense": 1},
    ):
        with pytest.raises(ValidationError):
            hub.faults.add(**settings)  # type: ignore[arg-type]
        assert httpx.post(f"{hub.url}/_sandbox/faults", json=settings).status_code == 400
    assert hub.faults.all() == []


def test_control_over_http(faulty: Sandbox) -> None:
    with httpx.Client(base_url=faulty.url) as client:
        wanted = {"kind": "status", "path": "*/small.bin", "status": 404, "times": 3}
        assert client.post("/_sandbox/faults", json=wanted).status_code == 200
        assert client.get("/me/faulty/resolve/main/small.bin").status_code == 404
        (fault,) = client.get("/_sandbox/faults").json()
        assert wanted.items() <= fault.items()
        assert fault["hits"] == 1
        assert client.delete("/_sandbox/faults").status_code == 204
        assert client.get("/_sandbox/faults").json() == []
        assert (
            client.get("/me/faulty/resolve/main/small.bin", headers={"Range": "bytes=10-19"}).content
            == SMALL[10:20]
        )

        noted = client.get("/_sandbox/requests", params={"path": "*/small.bin", "method": "GET"}).json()
        assert [(each["status"], each["range"]) for each in noted] == [(404, ""), (206, "bytes=10-19")]
        assert noted[1]["sent"] == 10
        assert client.delete("/_sandbox/requests").status_code == 204
        assert client.get("/_sandbox/requests").json() == []
