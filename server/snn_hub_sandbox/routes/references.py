"""Branches, tags, and the names of pull requests."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from snn_hub_sandbox.answers import Json
from snn_hub_sandbox.errors import HubError, revision_not_found
from snn_hub_sandbox.operations import checked_path
from snn_hub_sandbox.repository import MAIN
from snn_hub_sandbox.routes.common import REPO, Found, Part, RepoId, TheHub, User

router = APIRouter()


class NewBranch(BaseModel):
    """Where a branch begins."""

    startingPoint: str = MAIN  # noqa: N815 - the Hub's name for it


class NewTag(BaseModel):
    """A tag to be made."""

    tag: str
    message: str | None = None


@router.get(f"{REPO}/refs")
def refs(repo: Found, include_prs: bool = False) -> Json:
    """All names that point at commits."""

    def listed(kind: str, names: dict[str, str]) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}
            for name, commit in names.items()
        ]

    pulls = {str(n): found.head for n, found in enumerate(repo.discussions, 1) if found.head}
    return {
        "branches": listed("heads", repo.branches),
        "tags": listed("tags", repo.tags),
        "converts": [],
        "pullRequests": listed("pr", pulls) if include_prs else [],
    }


def _free_name(name: str, taken: dict[str, str]) -> str:
    # Such names would hide commits and pull requests from the client.
    if name.startswith("refs/") or (len(name) == 40 and set(name) <= set("0123456789abcdef")):
        raise HubError(400, f"{name!r} can't be the name of a branch or tag")
    if name in taken:
        raise HubError(409, f"Reference {name} already exists")
    return checked_path(name)


@router.post(f"{REPO}/branch/{{branch}}")
def create_branch(
    repo_id: RepoId, hub: TheHub, user: User, branch: Part, wanted: NewBranch | None = None
) -> dict[str, bool]:
    """A new branch."""
    with hub.changing(repo_id, user) as repo:
        start = repo.resolve(wanted.startingPoint if wanted else MAIN)
        repo.branches[_free_name(branch, repo.branches)] = start
    return {"success": True}


@router.delete(f"{REPO}/branch/{{branch}}")
def delete_branch(repo_id: RepoId, hub: TheHub, user: User, branch: Part) -> dict[str, bool]:
    """Forget a branch; its commits stay."""
    with hub.changing(repo_id, user) as repo:
        if branch == MAIN:
            raise HubError(403, f"the branch {MAIN} can't be deleted")
        if repo.branches.pop(branch, None) is None:
            raise revision_not_found(branch)
    return {"success": True}


@router.post(f"{REPO}/tag/{{revision}}")
def create_tag(repo_id: RepoId, hub: TheHub, user: User, revision: Part, wanted: NewTag) -> dict[str, bool]:
    """A new tag."""
    with hub.changing(repo_id, user) as repo:
        target = repo.resolve(revision)
        repo.tags[_free_name(wanted.tag, repo.tags)] = target
    return {"success": True}


@router.delete(f"{REPO}/tag/{{tag}}")
def delete_tag(repo_id: RepoId, hub: TheHub, user: User, tag: Part) -> dict[str, bool]:
    """Forget a tag."""
    with hub.changing(repo_id, user) as repo:
        if repo.tags.pop(tag, None) is None:
            raise revision_not_found(tag)
    return {"success": True}
