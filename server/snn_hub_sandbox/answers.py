"""Repositories, commits and files in the forms in which the Hub tells of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from snn_hub_sandbox.cards import read_card
from snn_hub_sandbox.repository import MAIN, Commit, Discussion, Repository, StoredFile
from snn_hub_sandbox.store import Hub

Json = dict[str, Any]


def model(hub: Hub, repo: Repository, revision: str = MAIN, *, blobs: bool = False) -> Json:
    """All about a model at a revision.

    Args:
        hub: Where the model is.
        repo: The model.
        revision: Which state of it.
        blobs: Whether sizes and hashes of the files are wanted too.

    Returns:
        The description.

    Raises:
        HubError: There is no such revision.
    """
    name = repo.resolve(revision)
    commit = repo.commits[name]
    readme = commit.files.get("README.md")
    card = read_card(readme, hub.blobs.path(readme) if readme else None)
    found: Json = {
        "_id": repo.key,
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.owner,
        "sha": name,
        "createdAt": repo.created,
        "lastModified": commit.date,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": card.tags,
        "siblings": [_sibling(path, file, blobs) for path, file in sorted(commit.files.items())],
        "spaces": [],
        "usedStorage": sum(file.size for file in commit.files.values()),
    }
    if card.library_name:
        found["library_name"] = card.library_name
    if card.pipeline_tag:
        found["pipeline_tag"] = card.pipeline_tag
    if card.data:
        found["cardData"] = card.data
        if "model-index" in card.data:
            found["model-index"] = card.data["model-index"]
    return found


def chosen(found: Json, expand: Iterable[str]) -> Json:
    """Only what was asked for, if something was."""
    wanted = {"_id", "id", *expand}
    return {key: value for key, value in found.items() if key in wanted} if len(wanted) > 2 else found


def _sibling(path: str, file: StoredFile, blobs: bool) -> Json:
    if not blobs:
        return {"rfilename": path}
    found: Json = {"rfilename": path, "size": file.size, "blobId": file.oid}
    if file.sha256:
        found["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return found


def entry(path: str, file: StoredFile) -> Json:
    """A file of a tree."""
    found: Json = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
    if file.sha256:
        found["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return found


def folder(path: str, commit: Commit) -> Json:
    """A folder of a tree."""
    inside = [
        f"{name} {file.oid}" for name, file in sorted(commit.files.items()) if name.startswith(f"{path}/")
    ]
    oid = hashlib.sha1("\n".join(inside).encode(), usedforsecurity=False).hexdigest()
    return {"type": "directory", "path": path, "size": 0, "oid": oid}


def folders(commit: Commit) -> set[str]:
    """All folders of a commit."""
    found = set()
    for path in commit.files:
        while path := path.rpartition("/")[0]:
            found.add(path)
    return found


def last_commit(repo: Repository, commit: str, path: str) -> Json:
    """The commit that changed a file or folder last, seen from another commit."""

    def state(files: dict[str, StoredFile]) -> dict[str, str]:
        return {name: file.oid for name, file in files.items() if f"{name}/".startswith(f"{path}/")}

    steps = list(repo.history(commit))
    at = state(steps[0][1].files)
    name, found = steps[0]
    for earlier, before in steps[1:]:
        if state(before.files) != at:
            break
        name, found = earlier, before
    return {"id": name, "title": found.title, "date": found.date}


def commit_line(name: str, commit: Commit) -> Json:
    """A commit of a history."""
    return {
        "id": name,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author}],
        "date": commit.date,
    }


def discussion(repo: Repository, number: int, found: Discussion) -> Json:
    """A discussion or pull request, without its events."""
    return {
        "num": number,
        "title": found.title,
        "author": {"name": found.author, "type": "user"},
        "createdAt": found.date,
        "status": found.status,
        "isPullRequest": found.head is not None,
        "repo": {"name": repo.id, "type": "model"},
    }
