"""Discussions and pull requests, as far as they can be opened and looked at."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from snn_hub_sandbox import answers
from snn_hub_sandbox.errors import HubError, repository_not_found
from snn_hub_sandbox.repository import MAIN, Discussion, now
from snn_hub_sandbox.routes.common import REPO, Found, RepoId, TheHub, User

router = APIRouter()


class NewDiscussion(BaseModel):
    """A discussion to be opened."""

    title: str = Field(min_length=1)
    description: str = ""
    pullRequest: bool = False  # noqa: N815 - the Hub's name for it


@router.post(f"{REPO}/discussions")
def create(wanted: NewDiscussion, repo_id: RepoId, hub: TheHub, user: User) -> answers.Json:
    """Open a discussion, or a pull request that has no commit yet."""
    if user is None:
        raise repository_not_found(signed_in=False)
    with hub.changing(repo_id, user, own=False) as repo:
        repo.discussions.append(
            Discussion(
                title=wanted.title,
                description=wanted.description,
                author=user,
                date=now(),
                status="draft" if wanted.pullRequest else "open",
                head=repo.resolve(MAIN) if wanted.pullRequest else None,
            )
        )
        return {"num": len(repo.discussions), "pullRequest": wanted.pullRequest}


@router.get(f"{REPO}/discussions")
def listing(
    repo: Found,
    type: Literal["all", "discussion", "pull_request"] = "all",
    status: Literal["all", "open", "closed"] = "all",
    author: str | None = None,
) -> answers.Json:
    """All discussions and pull requests."""
    found = [answers.discussion(repo, number, each) for number, each in enumerate(repo.discussions, 1)]
    if type != "all":
        found = [each for each in found if each["isPullRequest"] == (type == "pull_request")]
    if status != "all":
        # Nothing is ever closed here, and a draft is open.
        found = [each for each in found if status == "open"]
    if author is not None:
        found = [each for each in found if each["author"]["name"] == author]
    return {"discussions": found, "count": len(found), "start": 0}


@router.get(f"{REPO}/discussions/{{number}}")
def details(number: int, repo: Found) -> answers.Json:
    """One discussion or pull request, with what happened in it."""
    if not 0 < number <= len(repo.discussions):
        raise HubError(404, f"there is no discussion {number}")
    found = repo.discussions[number - 1]
    author = {"name": found.author, "type": "user"}
    comment = {
        "id": f"{number:024x}",
        "type": "comment",
        "author": author,
        "createdAt": found.date,
        "data": {"edited": False, "hidden": False, "latest": {"raw": found.description}},
    }
    answer = {**answers.discussion(repo, number, found), "events": [comment]}
    if found.head is not None:
        before = {name for name, _ in repo.history(repo.branches.get(found.base, found.head))}
        for name, commit in reversed(list(repo.history(found.head))):
            if name not in before:
                answer["events"].append(
                    {
                        "id": name[:24],
                        "type": "commit",
                        "author": {"name": commit.author, "type": "user"},
                        "createdAt": commit.date,
                        "data": {"subject": commit.title, "oid": name},
                    }
                )
        answer |= {"changes": {"base": f"refs/heads/{found.base}"}, "filesWithConflicts": [], "diff": ""}
    return answer
