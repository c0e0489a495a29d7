"""`from_pretrained` with a Hub id, against a Hub that can misbehave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import snn_voice_hub as sv
from tests.nursery import Ran
from tests.sandbox.helpers import Sandbox
from tests.slowness import mostly_slow

LOAD = """
import json, logging, sys, time, warnings
import snn_voice_hub as sv
logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s %(message)s")
began = time.monotonic()
try:
    model = getattr(sv, {door!r}).from_pretrained({repo!r}, **{options!r})
    answer = {{
        "sum": sum(float(t.double().sum()) for t in model.state_dict().values()),
        "config": model.config.to_dict() if hasattr(model, "config") else None,
    }}
except sv.SnnVoiceError as error:
    answer = {{"code": error.code, "text": str(error)}}
answer["seconds"] = time.monotonic() - began
print(json.dumps(answer))
"""

# How long a Hub that stalls does so, in seconds: whoever waits for it takes longer, and nobody else as long.
STALL = 120


def make(folder: Path, seed: int = 0) -> dict[str, bytes | str | Path]:
    """A small checkpoint, as files to push."""
    torch.manual_seed(seed)
    voice = sv.SnnVoice(sv.TcySNN(num_classes=3, num_steps=2), labels=["yes", "no", "up"], name="tiny")
    voice.save_pretrained(folder)
    return {name: folder / name for name in ("config.json", "model.safetensors")}


def checksum(folder: Path) -> float:
    return sum(float(t.double().sum()) for t in sv.SnnVoice.from_pretrained(folder).state_dict().values())


def load(
    hub: Sandbox,
    repo: str,
    *,
    user: str | None = "me",
    door: str = "SnnVoice",
    env: Any = None,
    **options: Any,
) -> tuple[dict[str, Any], Ran]:
    ran = hub.run(LOAD.format(door=door, repo=repo, options=options), user=user, **(env or {}))
    return ran.value, ran


def refused(hub: Sandbox, repo: str, code: str, *words: str, **options: Any) -> dict[str, Any]:
    answer, ran = load(hub, repo, **options)
    assert answer.get("code") == code, answer
    for word in words:
        assert word in answer["text"], answer["text"]
    assert "\n" not in answer["text"]
    assert "Traceback" not in ran.err
    return answer


def test_a_repository_opens_by_both_doors(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/doors", make(tmp_path / "m"))
    answer, _ = load(hub, "me/doors")
    assert answer["sum"] == checksum(tmp_path / "m")
    assert answer["config"]["labels"] == ["yes", "no", "up"]
    network, _ = load(hub, "me/doors", door="TcySNN")
    assert network["sum"] == pytest.approx(
        answer["sum"], abs=1
    )  # the front end adds no tensor, or a constant
    refused(hub, "me/doors", "bad_checkpoint", "holds a TcySNN", "TcySNN.from_pretrained", door="M5SNN")
    refused(hub, "me/doors", "bad_config", "num_steps", num_steps=3)


@pytest.mark.slow
def test_all_files_of_a_load_come_from_one_commit(hub: Sandbox, tmp_path: Path) -> None:
    first = hub.push("me/revisions", make(tmp_path / "one"))
    hub.api().create_branch("me/revisions", branch="dev")
    hub.api().create_tag("me/revisions", tag="v1")
    second = hub.push("me/revisions", make(tmp_path / "two", seed=1))
    sums = [checksum(tmp_path / "one"), checksum(tmp_path / "two")]
    assert sums[0] != sums[1]
    expected = {None: 1, "main": 1, "dev": 0, "v1": 0, first: 0, second: 1}
    for revision, which in expected.items():
        assert load(hub, "me/revisions", revision=revision)[0]["sum"] == sums[which]
        if revision is not None:
            assert load(hub, f"me/revisions@{revision}")[0]["sum"] == sums[which]
    assert load(hub, "me/revisions@v1", revision="v1")[0]["sum"] == sums[0]
    refused(hub, "me/revisions", "no_revision", "'v2'", revision="v2")
    refused(hub, "me/revisions@v2", "no_revision", "'v2'")
    refused(hub, "me/revisions@v1", "no_revision", "two revisions", revision="main")
    # Files are asked for by commit, never by branch.
    paths = [noted.path for noted in hub.requests.find("*/resolve/*")]
    assert paths
    assert all(first in path or second in path for path in paths)


def test_what_was_loaded_once_is_found_offline(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/offline", make(tmp_path / "one"))
    offline = {"HF_HUB_OFFLINE": "1"}
    refused(hub, "me/offline", "offline", "not in the cache", "HF_HUB_OFFLINE", env=offline)
    wanted = load(hub, "me/offline")[0]["sum"]
    # The client's trap: another file of a newer commit moves its idea of "main".
    hub.push("me/offline", {"README.md": "# new"})
    hub.run("from huggingface_hub import hf_hub_download; hf_hub_download('me/offline', 'README.md')")
    assert load(hub, "me/offline", env=offline)[0]["sum"] == wanted
    hub.requests.clear()
    assert load(hub, "me/offline", local_files_only=True)[0]["sum"] == wanted
    assert hub.count() == 0
    # A Hub that is down is no reason to fail; one line says what is used.
    answer, ran = load(hub, "me/offline", env={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert answer["sum"] == wanted
    assert "copy of an earlier load" in ran.err
    hub.fault("status", "/api/models/me/offline*", status=503, times=None)
    assert load(hub, "me/offline")[0]["sum"] == wanted


def test_files_that_the_plain_client_fetched_are_found_offline(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/plain", make(tmp_path / "one"))
    hub.run("from huggingface_hub import snapshot_download; snapshot_download('me/plain')")
    assert load(hub, "me/plain", local_files_only=True)[0]["sum"] == checksum(tmp_path / "one")


def test_a_second_load_asks_once_and_fetches_nothing(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/twice", make(tmp_path / "one"))
    load(hub, "me/twice")
    hub.requests.clear()
    load(hub, "me/twice")
    assert [noted.path for noted in hub.requests.find()] == ["/api/models/me/twice"]
    load(hub, "me/twice", force_download=True)
    assert len(hub.requests.find("*/resolve/*", "GET")) == 2


@pytest.mark.slow
def test_many_checkpoints_in_one_repository(hub: Sandbox, tmp_path: Path) -> None:
    files = {f"{name}/{file}": path for name, seed in (("a", 0), ("b", 1))
             for file, path in make(tmp_path / name, seed).items()}  # fmt: skip
    hub.push("me/many", files)
    refused(hub, "me/many", "several_checkpoints", "filename='a/model.safetensors'")
    assert load(hub, "me/many", subfolder="b")[0]["sum"] == checksum(tmp_path / "b")
    assert load(hub, "me/many", filename="a/model.safetensors")[0]["sum"] == checksum(tmp_path / "a")
    refused(hub, "me/many", "no_checkpoint", "has no folder 'c'", subfolder="c")
    # Only what is needed is fetched; the two configurations are alike, so they are one blob.
    fetched = [noted.path.split("/", 5)[-1] for noted in hub.requests.find("*/resolve/*", "GET")]
    assert fetched == ["b/config.json", "b/model.safetensors", "a/model.safetensors"]


@pytest.mark.slow
def test_private_and_missing_look_the_same(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/secret", make(tmp_path / "one"), private=True)
    assert "sum" in load(hub, "me/secret")[0]
    for user in (None, "stranger"):
        missing = refused(hub, "me/missing", "no_repository", "private", "hf auth login", user=user)
        private = refused(hub, "me/secret", "no_repository", "private", user=user)
        assert private["text"].replace("secret", "missing") == missing["text"]
    assert "sum" in load(hub, "me/secret", user=None, token=hub.token("me"))[0]
    refused(hub, "me/secret", "no_access", "token", token="hf_wrong")


def test_a_gated_repository_says_where_to_ask(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/gated", make(tmp_path / "one"))
    with hub.hub.changing("me/gated", "me") as repo:
        repo.gated = "auto"
    refused(hub, "me/gated", "gated", f"{hub.url}/me/gated", user="stranger")


@pytest.mark.slow
def test_a_repository_of_another_library(hub: Sandbox, tmp_path: Path) -> None:
    card = "---\nlibrary_name: transformers\n---\n"
    hub.push("me/other", {"README.md": card, "config.json": "{}", "pytorch_model.bin": b"x"})
    refused(hub, "me/other", "wrong_library", "transformers")
    hub.push("me/empty", {"README.md": "# nothing"})
    refused(hub, "me/empty", "no_checkpoint", "README.md")
    files = make(tmp_path / "one") | {"config.json": json.dumps({"model_type": "wav2vec2"})}
    hub.push("me/alike", files)
    refused(hub, "me/alike", "bad_config", "not one of this library")


# A fault, how a load ends, and what the user is told.
FAULTS: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "refused token": ({"kind": "status", "status": 401}, "no_access", ("hf auth login",)),
    "forbidden": ({"kind": "status", "status": 403}, "no_access", ("hf auth login",)),
    "slow down": ({"kind": "status", "status": 429, "retry_after": 7}, "rate_limit", ("7 s",)),
    "server error": ({"kind": "status", "status": 500}, "offline", ("status 500", "try again later")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_hub_that_refuses(hub: Sandbox, tmp_path: Path, name: str) -> None:
    settings, code, words = FAULTS[name]
    repo = f"me/{name.replace(' ', '-')}"
    hub.push(repo, make(tmp_path / "one"))
    fault = hub.fault(path=f"/api/models/{repo}*", times=None, **settings)
    refused(hub, repo, code, *words)
    assert fault.hits


@pytest.mark.slow
def test_a_hub_that_lists_but_does_not_give(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/listed", make(tmp_path / "one"))
    hub.fault("status", "/me/listed/resolve/*", status=403, times=None)
    refused(hub, "me/listed", "no_access", "status 403")
    hub.faults.clear()
    hub.fault("status", "/me/listed/resolve/*", method="GET", status=500, times=None)
    refused(hub, "me/listed", "download", "status 500")


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_not_waited_for(hub: Sandbox, tmp_path: Path) -> None:
    dead = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    answer = refused(hub, "me/x", "offline", "127.0.0.1:9", "can't be reached", env=dead)
    assert answer["seconds"] < STALL
    hub.push("me/stalled", make(tmp_path / "one"))
    hub.fault("stall", "/api/models/me/stalled", seconds=STALL, times=None)
    assert refused(hub, "me/stalled", "offline")["seconds"] < STALL


@pytest.mark.slow
def test_a_network_that_swallows_packets(hub: Sandbox) -> None:
    """A client that tries one address of the Hub after the other waits long for each."""
    swallow = f"import socket, time\nsocket.create_connection = lambda *_, **__: time.sleep({STALL})\n"
    ran = hub.run(swallow + LOAD.format(door="SnnVoice", repo="me/x", options={}))
    assert ran.value["code"] == "offline"
    assert ran.value["seconds"] < STALL


def test_a_download_that_breaks_off_is_resumed_or_started_again(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/cut", make(tmp_path / "one"))
    fault = hub.fault("cut", "*/model.safetensors", bytes=500, times=2)
    assert load(hub, "me/cut")[0]["sum"] == checksum(tmp_path / "one")
    assert fault.hits == 2


@pytest.mark.parametrize(
    ("fault", "path", "code"),
    mostly_slow(
        [
            ({"kind": "wrong_bytes", "bytes": 1500}, "model.safetensors", "damaged"),
            ({"kind": "wrong_bytes", "bytes": 60}, "config.json", "damaged"),
            ({"kind": "wrong_length", "bytes": 5}, "model.safetensors", "damaged"),
        ],
        first=1,
    ),
)
def test_a_damaged_download_is_never_used(
    hub: Sandbox, tmp_path: Path, fault: Any, path: str, code: str
) -> None:
    repo = f"me/damaged-{fault['kind'].replace('_', '-')}-{path[0]}"
    hub.push(repo, make(tmp_path / "one"))
    hub.fault(path=f"*/{path}", **fault)
    refused(hub, repo, code)
    # Nothing of it is left: the next load is right.
    assert load(hub, repo)[0]["sum"] == checksum(tmp_path / "one")


@pytest.mark.slow
def test_two_processes_at_once(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/both", make(tmp_path / "one"))
    snippet = LOAD.format(door="SnnVoice", repo="me/both", options={})
    for ran in hub.run_together([snippet] * 3):
        assert ran.value["sum"] == checksum(tmp_path / "one")


def test_a_full_disk(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/full", make(tmp_path / "one"))
    full = """
import shutil
from types import SimpleNamespace
shutil.disk_usage = lambda path: SimpleNamespace(free=1000)
"""
    ran = hub.run(full + LOAD.format(door="SnnVoice", repo="me/full", options={}))
    assert ran.value["code"] == "disk_full"
    assert "cache_dir" in ran.value["text"]
