"""The sandbox Hub, as the unmodified client sees it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, hf_hub_download
from huggingface_hub import snapshot_download as client_snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.sandbox.helpers import Sandbox, running

CARD = """---
library_name: snn-voice-hub
pipeline_tag: audio-classification
license: mit
language: en
datasets: [speech_commands]
tags: [spiking]
date: 2024-05-01
---
# A card
"""


def fetch(hub: Sandbox, repo_id: str, path: str, cache: Path, **settings: object) -> bytes:
    found = hf_hub_download(repo_id, path, endpoint=hub.url, cache_dir=cache, **settings)  # type: ignore[arg-type]
    return Path(found).read_bytes()


def test_whoami(hub: Sandbox) -> None:
    assert hub.api().whoami()["name"] == "me"
    assert hub.api("alice").whoami()["name"] == "alice"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        hub.api().whoami(token="hf_nobody_has_this")


def test_small_and_large_files_come_back_bit_for_bit(hub: Sandbox, tmp_path: Path) -> None:
    api = hub.api()
    assert api.create_repo("me/files").repo_id == "me/files"
    large = tmp_path / "model.safetensors"
    large.write_bytes(os.urandom(12_000_000))
    api.upload_file(path_or_fileobj=large, path_in_repo="deep/er/model.safetensors", repo_id="me/files")
    api.upload_file(path_or_fileobj=b'{"a": 1}', path_in_repo="config.json", repo_id="me/files")
    api.upload_file(path_or_fileobj=b"", path_in_repo="empty.bin", repo_id="me/files")
    api.upload_file(path_or_fileobj=b"\0\1" * 50, path_in_repo="a b%2F ü+#?.dat", repo_id="me/files")

    cache = tmp_path / "cache"
    assert fetch(hub, "me/files", "deep/er/model.safetensors", cache) == large.read_bytes()
    assert fetch(hub, "me/files", "config.json", cache) == b'{"a": 1}'
    assert fetch(hub, "me/files", "empty.bin", cache) == b""
    assert fetch(hub, "me/files", "a b%2F ü+#?.dat", cache) == b"\0\1" * 50
    folder = Path(client_snapshot_download("me/files", endpoint=hub.url, cache_dir=tmp_path / "other"))
    assert (folder / "deep/er/model.safetensors").read_bytes() == large.read_bytes()
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 5

    tree = {entry.path: entry for entry in api.list_repo_tree("me/files", recursive=True, expand=True)}
    assert set(tree) == {
        *(".gitattributes", "config.json", "empty.bin", "a b%2F ü+#?.dat"),
        *("deep", "deep/er", "deep/er/model.safetensors"),
    }
    assert tree["deep/er/model.safetensors"].lfs.size == 12_000_000
    assert tree["config.json"].lfs is None
    assert tree["deep"].last_commit.title == "Upload deep/er/model.safetensors with huggingface_hub"
    assert [entry.path for entry in api.list_repo_tree("me/files", "deep/er")] == [
        "deep/er/model.safetensors"
    ]
    assert [e.path for e in api.get_paths_info("me/files", ["config.json", "deep", "none"])] == [
        "config.json",
        "deep",
    ]
    assert api.file_exists("me/files", "config.json")
    assert not api.file_exists("me/files", "deep")

    sizes = {
        file.rfilename: file.size for file in api.model_info("me/files", files_metadata=True).siblings or []
    }
    assert sizes["deep/er/model.safetensors"] == 12_000_000
    assert sizes["config.json"] == 8


def test_a_content_is_uploaded_once(hub: Sandbox, tmp_path: Path) -> None:
    content = os.urandom(1000)
    first = hub.push("me/once", {"a.bin": content, "b.txt": "b"})
    assert hub.count("/lfs/*", "PUT") == 1
    assert hub.push("me/once", {"a.bin": content, "b.txt": "b"}) == first
    hub.push("me/once-more", {"a.bin": content})
    assert hub.count("/lfs/*", "PUT") == 1


def test_history(hub: Sandbox, tmp_path: Path) -> None:
    api = hub.api()
    old = hub.push("me/history", {"a.txt": "old", "folder/b.txt": "b", "folder/c.txt": "c"})
    api.create_branch("me/history", branch="feature/x", revision=old)
    api.create_tag("me/history", tag="v1.0", revision=old)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_branch("me/history", branch="feature/x")
    api.create_branch("me/history", branch="feature/x", exist_ok=True)
    api.create_tag("me/history", tag="v1.0", exist_ok=True)
    new = api.create_commit(
        "me/history",
        [CommitOperationAdd("a.txt", b"new")],
        commit_message="title",
        commit_description="body",
        parent_commit=old,
    ).oid
    on_branch = api.upload_file(
        path_or_fileobj=b"branch", path_in_repo="a.txt", repo_id="me/history", revision="feature/x"
    ).oid

    expected = {None: b"new", "main": b"new", "refs/heads/main": b"new", old: b"old", "v1.0": b"old"}
    for revision, content in {**expected, "feature/x": b"branch"}.items():
        assert fetch(hub, "me/history", "a.txt", tmp_path, revision=revision) == content
    assert api.model_info("me/history").sha == new
    assert api.model_info("me/history", revision="feature/x").sha == on_branch
    commits = api.list_repo_commits("me/history")
    assert [commit.title for commit in commits] == ["title", "push", "initial commit"]
    assert commits[0].message == "body"
    assert commits[0].authors == ["me"]
    assert api.list_repo_commits("me/history", revision="feature/x")[0].commit_id == on_branch
    refs = api.list_repo_refs("me/history")
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": new, "feature/x": on_branch}
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1.0": old}

    api.delete_file("a.txt", "me/history")
    api.delete_folder("folder", "me/history")
    assert api.list_repo_files("me/history") == [".gitattributes"]
    with pytest.raises(EntryNotFoundError):
        api.delete_file("a.txt", "me/history")
    assert fetch(hub, "me/history", "a.txt", tmp_path, revision=old) == b"old"
    api.delete_tag("me/history", tag="v1.0")
    api.delete_branch("me/history", branch="feature/x")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag("me/history", tag="v1.0")
    with pytest.raises(HfHubHTTPError, match="can't be deleted"):
        api.delete_branch("me/history", branch="main")


def test_unknown_revision_and_file(hub: Sandbox, tmp_path: Path) -> None:
    commit = hub.push("me/unknown", {"a.txt": "a"})
    api = hub.api()
    for revision in ("nope", "refs/pr/1", "refs/pr/0", "f" * 40, commit[:7]):
        with pytest.raises(RevisionNotFoundError):
            api.model_info("me/unknown", revision=revision)
        with pytest.raises(RevisionNotFoundError):
            fetch(hub, "me/unknown", "a.txt", tmp_path, revision=revision)
    with pytest.raises(RevisionNotFoundError):
        api.create_branch("me/unknown", branch="b", revision="nope")
    with pytest.raises(RevisionNotFoundError):
        api.upload_file(path_or_fileobj=b"b", path_in_repo="b", repo_id="me/unknown", revision="nope")
    with pytest.raises(EntryNotFoundError):
        fetch(hub, "me/unknown", "b.txt", tmp_path)
    # The client remembers it for that commit.
    assert (tmp_path / "models--me--unknown/.no_exist" / commit / "b.txt").exists()
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("me/unknown", "no-folder"))
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("me/no-such-repository")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("without-owner")
    assert not api.repo_exists("me/no-such-repository")
    assert api.repo_exists("me/unknown")
    assert not api.revision_exists("me/unknown", "nope")


def test_pull_requests(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/pulls", {"a.txt": "old"})
    stranger = hub.api("stranger")
    with pytest.raises(HfHubHTTPError, match="403"):
        stranger.upload_file(path_or_fileobj=b"new", path_in_repo="a.txt", repo_id="me/pulls")
    made = stranger.upload_file(
        path_or_fileobj=b"new",
        path_in_repo="a.txt",
        repo_id="me/pulls",
        create_pr=True,
        commit_message="Better",
    )
    assert made.pr_num == 1
    assert made.pr_revision == "refs/pr/1"
    assert made.pr_url == f"{hub.url}/me/pulls/discussions/1"
    assert fetch(hub, "me/pulls", "a.txt", tmp_path) == b"old"
    assert fetch(hub, "me/pulls", "a.txt", tmp_path, revision="refs/pr/1") == b"new"

    for api, path in ((hub.api(), "b.txt"), (stranger, "c.bin")):
        api.upload_file(path_or_fileobj=b"2", path_in_repo=path, repo_id="me/pulls", revision="refs/pr/1")
    with pytest.raises(HfHubHTTPError, match="403"):
        hub.api("another").delete_file("b.txt", "me/pulls", revision="refs/pr/1")
    assert fetch(hub, "me/pulls", "b.txt", tmp_path, revision="refs/pr/1") == b"2"
    draft = stranger.create_pull_request("me/pulls", "Draft", description="Soon")
    assert (draft.num, draft.status, draft.is_pull_request) == (2, "draft", True)
    talk = stranger.create_discussion("me/pulls", "Question")
    assert (talk.num, talk.status, talk.is_pull_request) == (3, "open", False)
    with pytest.raises(RevisionNotFoundError):
        fetch(hub, "me/pulls", "a.txt", tmp_path, revision="refs/pr/3")
    details = hub.api().get_discussion_details("me/pulls", 1)
    assert details.title == "Better"
    assert details.author == "stranger"
    assert details.target_branch == "refs/heads/main"
    assert [event.type for event in details.events] == ["comment", "commit", "commit", "commit"]
    assert [each.num for each in hub.api().get_repo_discussions("me/pulls")] == [1, 2, 3]
    pulls = hub.api().get_repo_discussions("me/pulls", discussion_type="pull_request", author="stranger")
    assert [each.title for each in pulls] == ["Better", "Draft"]
    refs = hub.api().list_repo_refs("me/pulls", include_pull_requests=True)
    assert [ref.ref for ref in refs.pull_requests or []] == ["refs/pr/1", "refs/pr/2"]


def test_private(hub: Sandbox, tmp_path: Path) -> None:
    """For whom a repository is private, it looks as if it were not there."""
    hub.push("me/secret", {"a.txt": "a"}, private=True)
    assert hub.api().model_info("me/secret").private
    assert fetch(hub, "me/secret", "a.txt", tmp_path, token=hub.token()) == b"a"
    for user in (None, "stranger"):
        api = hub.api(user)
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("me/secret")
        with pytest.raises(RepositoryNotFoundError):
            fetch(hub, "me/secret", "a.txt", tmp_path / "other", token=hub.token(user) if user else False)
        with pytest.raises(RepositoryNotFoundError):
            api.auth_check("me/secret")
        assert "me/secret" not in [model.id for model in api.list_models()]
    hub.api().update_repo_settings("me/secret", private=False)
    assert fetch(hub, "me/secret", "a.txt", tmp_path / "other", token=False) == b"a"
    with pytest.raises(HfHubHTTPError, match="403"):
        hub.api("stranger").update_repo_settings("me/secret", private=True)


def test_gated(hub: Sandbox, tmp_path: Path) -> None:
    """All may know of it, and only those who were let in may read its files."""
    hub.push("me/gated", {"a.txt": "a"})
    hub.api().update_repo_settings("me/gated", gated="manual")
    for user, status in ((None, 401), ("stranger", 403)):
        assert hub.api(user).model_info("me/gated").gated == "manual"
        with pytest.raises(GatedRepoError) as refused:
            fetch(hub, "me/gated", "a.txt", tmp_path, token=hub.token(user) if user else False)
        assert refused.value.response.status_code == status
    with hub.hub.changing("me/gated", "me") as repo:
        repo.readers.append("stranger")
    assert fetch(hub, "me/gated", "a.txt", tmp_path, token=hub.token("stranger")) == b"a"


def test_repositories_are_made_and_deleted_by_their_owner(hub: Sandbox) -> None:
    api = hub.api()
    api.create_repo("me/made")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("me/made")
    api.create_repo("me/made", exist_ok=True)
    assert api.create_repo("short").repo_id == "me/short"
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_repo("somebody-else/made")
    with pytest.raises(RepositoryNotFoundError):
        hub.api(None).create_repo("me/anonymous")
    with pytest.raises(HfHubHTTPError, match="403"):
        hub.api("stranger").delete_repo("me/made")
    first = api.model_info("me/made").sha
    api.delete_repo("me/made")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("me/made")
    api.delete_repo("me/made", missing_ok=True)
    api.create_repo("me/made")
    assert api.model_info("me/made").sha != first


def test_listing(hub: Sandbox) -> None:
    hub.push("lister/snn-one", {"README.md": CARD})
    hub.push("lister/snn-two", {"README.md": CARD.replace("language: en", "language: de")})
    hub.push("lister/other", {"README.md": "---\nlibrary_name: timm\n---\n"})
    hub.push("lister/no-card", {"a.txt": "a"})
    hub.push("lister/poor-card", {"README.md": "---\ntags: 5\n---\n"})
    api = hub.api()

    def ids(**settings: object) -> set[str]:
        return {model.id for model in api.list_models(author="lister", **settings)}  # type: ignore[arg-type]

    assert len(ids()) == 5
    assert ids(filter="snn-voice-hub") == {"lister/snn-one", "lister/snn-two"}
    assert ids(filter="snn-voice-hub", search="ONE") == {"lister/snn-one"}
    assert ids(filter=["snn-voice-hub", "de"]) == {"lister/snn-two"}
    assert ids(filter="license:mit", pipeline_tag="audio-classification") == {
        "lister/snn-one",
        "lister/snn-two",
    }
    assert ids(pipeline_tag="text-generation") == set()
    assert len(ids(limit=2)) == 2
    assert [model.id for model in api.list_models(author="lister", sort="createdAt", limit=1)] == [
        "lister/poor-card"
    ]
    found = next(iter(api.list_models(filter="snn-voice-hub", search="snn-one", full=True, cardData=True)))
    assert found.library_name == "snn-voice-hub"
    assert found.pipeline_tag == "audio-classification"
    assert {"spiking", "en", "dataset:speech_commands", "license:mit"} <= set(found.tags or [])
    assert found.card_data is not None
    assert found.card_data.license == "mit"
    assert found.siblings
    assert api.model_info("lister/snn-one", expand=["library_name"]).sha is None


def test_copying_and_deleting_in_one_commit(hub: Sandbox, tmp_path: Path) -> None:
    hub.push("me/copies", {"large.bin": b"\0large", "small.txt": "small"})
    hub.api().create_commit(
        "me/copies",
        [
            CommitOperationCopy("large.bin", "moved/large.bin"),
            CommitOperationCopy("small.txt", "moved/small.txt"),
            CommitOperationDelete("large.bin"),
        ],
        commit_message="move",
    )
    assert hub.api().list_repo_files("me/copies") == [
        *(".gitattributes", "moved/large.bin", "moved/small.txt", "small.txt")
    ]
    assert fetch(hub, "me/copies", "moved/large.bin", tmp_path) == b"\0large"


def test_two_who_commit_at_once(hub: Sandbox) -> None:
    first = hub.push("me/race", {"a.txt": "a"})

    def add(number: int) -> str:
        api = hub.api()
        return api.upload_file(path_or_fileobj=b"x", path_in_repo=f"{number}.txt", repo_id="me/race").oid

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(add, range(12)))) == 12
    assert len(hub.api().list_repo_files("me/race")) == 14
    assert len(hub.api().list_repo_commits("me/race")) == 14
    with pytest.raises(HfHubHTTPError, match="412"):
        hub.api().create_commit(
            "me/race", [CommitOperationAdd("b", b"b")], commit_message="late", parent_commit=first
        )


def test_cards(hub: Sandbox) -> None:
    """`ModelCard` always talks to the endpoint of the environment."""
    ran = hub.run(
        f"""
import json
from huggingface_hub import HfApi, ModelCard, create_repo, whoami
create_repo("me/card")
ModelCard({CARD!r}).push_to_hub("me/card")
card = ModelCard.load("me/card")
print(json.dumps([whoami()["name"], card.data.license, HfApi().model_info("me/card").tags]))
"""
    )
    name, licence, tags = ran.value
    assert (name, licence) == ("me", "mit")
    assert "snn-voice-hub" in tags
    assert (hub.home / "hub/models--me--card").is_dir()
    for metadata in ("a: [", "- a\n- b"):
        with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
            hub.push("me/card", {"README.md": f"---\n{metadata}\n---\n"})
    with pytest.warns(UserWarning, match="empty or missing yaml"):
        hub.push("me/card", {"README.md": "no metadata"})
    assert hub.api().model_info("me/card").tags == []


def test_offline_after_online(hub: Sandbox) -> None:
    hub.push("me/offline", {"a.txt": "a"})
    snippet = "import huggingface_hub as h; print(open(h.hf_hub_download('me/offline', 'a.txt')).read())"
    assert hub.run(snippet, user=None).out == "a\n"
    hub.requests.clear()
    assert hub.run(snippet, user=None, HF_HUB_OFFLINE="1").out == "a\n"
    assert hub.count() == 0
    failed = hub.run(snippet, user=None, check=False, home=hub.home / "another", HF_HUB_OFFLINE="1")
    assert failed.code == 1
    assert "LocalEntryNotFoundError" in failed.err


def test_a_folder_outlives_the_process(tmp_path: Path) -> None:
    with running(tmp_path / "data", tmp_path) as before:
        commit = before.push("me/kept", {"a.bin": b"\0a", "b.txt": "b"}, private=True)
        before.api().create_tag("me/kept", tag="v1")
    with running(tmp_path / "data", tmp_path) as after:
        assert after.api().model_info("me/kept", revision="v1").sha == commit
        assert fetch(after, "me/kept", "a.bin", tmp_path / "cache", token=after.token()) == b"\0a"
        assert after.push("me/kept", {"a.bin": b"\0b"}) != commit
