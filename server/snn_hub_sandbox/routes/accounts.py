"""Who am I, and the making, listing and settings of repositories."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from snn_hub_sandbox import answers
from snn_hub_sandbox.cards import parse_metadata
from snn_hub_sandbox.errors import HubError
from snn_hub_sandbox.routes.common import REPO, Found, RepoId, TheHub, User, base_url

router = APIRouter()

_SORT = {"createdAt", "lastModified", "downloads", "likes"}


class Named(BaseModel):
    """Which repository."""

    name: str
    organization: str | None = None
    type: Literal["model"] | None = None


class New(Named):
    """A repository to be made."""

    private: bool | None = None
    visibility: Literal["public", "private"] | None = None


class RepoSettings(BaseModel):
    """What is to change of a repository."""

    private: bool | None = None
    visibility: Literal["public", "private"] | None = None
    gated: Literal["auto", "manual", False] | None = None


class CardText(BaseModel):
    """A model card to be checked."""

    content: str


@router.get("/api/whoami-v2")
def whoami(user: User) -> dict[str, Any]:
    """The user of a token."""
    if user is None:
        raise HubError(401, "Invalid username or password.")
    return {
        "type": "user",
        "id": user,
        "name": user,
        "fullname": user,
        "isPro": False,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": "sandbox", "role": "write"}},
    }


def _full_id(named: Named, user: str | None) -> str:
    # Without an owner it is the user's own.
    return f"{named.organization or user}/{named.name}"


@router.post("/api/repos/create")
def create(wanted: New, request: Request, hub: TheHub, user: User) -> dict[str, str]:
    """A new repository."""
    repo_id = _full_id(wanted, user)
    url = f"{base_url(request)}/{repo_id}"
    try:
        hub.create(repo_id, user, private=bool(wanted.private) or wanted.visibility == "private")
    except HubError as error:
        if error.status == 409:  # the client that does not mind reads the address all the same
            error.extra["url"] = url
        raise
    return {"url": url, "name": repo_id}


@router.delete("/api/repos/delete")
def delete(wanted: Named, hub: TheHub, user: User) -> dict[str, bool]:
    """Forget a repository."""
    hub.delete(_full_id(wanted, user), user)
    return {"success": True}


@router.put(f"{REPO}/settings")
def settings(wanted: RepoSettings, repo_id: RepoId, hub: TheHub, user: User) -> dict[str, object]:
    """Make a repository private, public or gated."""
    with hub.changing(repo_id, user) as repo:
        if wanted.private is not None:
            repo.private = wanted.private
        if wanted.visibility is not None:
            repo.private = wanted.visibility == "private"
        if wanted.gated is not None:
            repo.gated = wanted.gated
        return {"private": repo.private, "gated": repo.gated}


@router.get(f"{REPO}/auth-check")
def may_read(repo: Found, hub: TheHub, user: User) -> dict[str, bool]:
    """Whether the user may read the files."""
    hub.check_reader(repo, user)
    return {"success": True}


@router.get(f"{REPO}/auth-check/write")
def may_write(repo: Found, hub: TheHub, user: User) -> dict[str, bool]:
    """Whether the user may change the repository."""
    hub.check_writer(repo.owner, user)
    return {"success": True}


@router.get("/api/models")
def listing(
    hub: TheHub,
    user: User,
    wanted: Annotated[list[str], Query(alias="filter")] = [],  # noqa: B006 - FastAPI copies it
    search: str = "",
    author: str | None = None,
    pipeline_tag: str | None = None,
    sort: str | None = None,
    limit: Annotated[int | None, Query(ge=1)] = None,
    full: bool = False,
    card_data: Annotated[bool, Query(alias="cardData")] = False,
    expand: Annotated[list[str], Query()] = [],  # noqa: B006
) -> list[answers.Json]:
    """The models that match."""
    tags = {tag for text in wanted for tag in text.split(",") if tag}
    found = []
    for repo in hub.all(user):
        # The Hub looks into ids only, as far as names go.
        if search.lower() not in repo.id.lower() or author not in (None, repo.owner):
            continue
        model = answers.model(hub, repo)
        if tags <= set(model["tags"]) and pipeline_tag in (None, model.get("pipeline_tag")):
            found.append(model)
    order = sort if sort in _SORT else "lastModified"
    found.sort(key=lambda model: str(model[order]), reverse=True)
    left_out = set() if full or expand else {"siblings", "spaces", "usedStorage", "disabled", "sha", "author"}
    if not (full or card_data or expand):
        left_out |= {"cardData", "model-index"}
    return [
        answers.chosen({key: value for key, value in model.items() if key not in left_out}, expand)
        for model in found[:limit]
    ]


@router.post("/api/validate-yaml")
def validate_yaml(card: CardText) -> dict[str, list[dict[str, str]]]:
    """Whether the Hub could read a card's metadata."""
    try:
        data = parse_metadata(card.content)
    except HubError as error:
        error.extra.update({"errors": [{"message": error.message}], "warnings": []})
        raise
    warnings = [] if data else [{"message": "empty or missing yaml metadata in repo card"}]
    return {"errors": [], "warnings": warnings}
