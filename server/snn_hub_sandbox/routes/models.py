"""What there is in a repository: description, tree, history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query

from snn_hub_sandbox import answers
from snn_hub_sandbox.errors import entry_not_found, repository_not_found
from snn_hub_sandbox.repository import MAIN, Repository
from snn_hub_sandbox.routes.common import REPO, Found, Part, TheHub, User

router = APIRouter()

Expand = Annotated[list[str], Query()]


@router.get(REPO)
def model(repo: Found, hub: TheHub, blobs: bool = False, expand: Expand = []) -> answers.Json:  # noqa: B006
    """All about a model."""
    return answers.chosen(answers.model(hub, repo, MAIN, blobs=blobs), expand)


@router.get(f"{REPO}/revision/{{revision}}")
def model_at(
    repo: Found,
    hub: TheHub,
    revision: Part,
    blobs: bool = False,
    expand: Expand = [],  # noqa: B006
) -> answers.Json:
    """All about a model at a revision."""
    return answers.chosen(answers.model(hub, repo, revision, blobs=blobs), expand)


@router.get("/api/models/{name}")
def model_without_owner(name: str, user: User) -> answers.Json:
    """The Hub has a few old models without an owner; this one has none."""
    raise repository_not_found(user is not None)


@router.get("/api/models/{name}/revision/{revision}")
def model_without_owner_at(name: str, revision: str, user: User) -> answers.Json:
    """The same."""
    raise repository_not_found(user is not None)


@router.get(f"{REPO}/tree/{{revision}}")
def tree(repo: Found, revision: Part, recursive: bool = False, expand: bool = False) -> list[answers.Json]:
    """Files and folders at the top, or everywhere."""
    return _tree(repo, revision, "", recursive, expand)


@router.get(f"{REPO}/tree/{{revision}}/{{path:path}}")
def tree_of(
    repo: Found, revision: Part, path: Part, recursive: bool = False, expand: bool = False
) -> list[answers.Json]:
    """Files and folders in a folder."""
    return _tree(repo, revision, path.strip("/"), recursive, expand)


def _tree(repo: Repository, revision: str, path: str, recursive: bool, expand: bool) -> list[answers.Json]:
    name = repo.resolve(revision)
    commit = repo.commits[name]
    folders = answers.folders(commit)
    if path and path not in folders:
        raise entry_not_found(path, name)

    def inside(entry: str) -> bool:
        below = entry.startswith(f"{path}/") if path else True
        return below and (recursive or entry.rpartition("/")[0] == path)

    found = [answers.folder(entry, commit) for entry in sorted(folders) if inside(entry)]
    found += [answers.entry(entry, file) for entry, file in sorted(commit.files.items()) if inside(entry)]
    return _expanded(repo, name, found) if expand else found


@router.post(f"{REPO}/paths-info/{{revision}}")
def paths_info(
    repo: Found,
    revision: Part,
    paths: Annotated[list[str], Form()],
    expand: Annotated[bool, Form()] = False,
) -> list[answers.Json]:
    """The files and folders of those paths; what is not there is left out."""
    name = repo.resolve(revision)
    commit = repo.commits[name]
    folders = answers.folders(commit)
    found = []
    for path in paths:
        if path in commit.files:
            found.append(answers.entry(path, commit.files[path]))
        elif path.rstrip("/") in folders:
            found.append(answers.folder(path.rstrip("/"), commit))
    return _expanded(repo, name, found) if expand else found


def _expanded(repo: Repository, commit: str, entries: list[answers.Json]) -> list[answers.Json]:
    return [{**entry, "lastCommit": answers.last_commit(repo, commit, entry["path"])} for entry in entries]


@router.get(f"{REPO}/commits/{{revision}}")
def commits(repo: Found, revision: Part) -> list[answers.Json]:
    """The history, the latest first."""
    return [answers.commit_line(name, commit) for name, commit in repo.history(repo.resolve(revision))]
