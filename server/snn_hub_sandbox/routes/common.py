"""What the routes share: the Hub, the user, and the parts of a path."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Request
from pydantic import AfterValidator

from snn_hub_sandbox.errors import HubError
from snn_hub_sandbox.repository import Repository
from snn_hub_sandbox.store import Hub

# The routes see the path as it was sent.
Part = Annotated[str, AfterValidator(unquote)]

REPO = "/api/models/{owner}/{name}"


def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


TheHub = Annotated[Hub, Depends(_hub)]


def _user(request: Request, hub: TheHub) -> str | None:
    header = request.headers.get("Authorization")
    if header is None:
        return None
    kind, _, token = header.partition(" ")
    user = hub.tokens.get(token.strip()) if kind.lower() == "bearer" else None
    if user is None:
        raise HubError(401, "Invalid credentials in Authorization header")
    return user


# Who sent the request; None for nobody in particular.
User = Annotated[str | None, Depends(_user)]


def _repo_id(owner: Part, name: Part) -> str:
    return f"{owner}/{name}"


RepoId = Annotated[str, Depends(_repo_id)]


def _found(repo_id: RepoId, hub: TheHub, user: User) -> Repository:
    return hub.find(repo_id, user)


# A repository that the user may know of.
Found = Annotated[Repository, Depends(_found)]


def base_url(request: Request) -> str:
    """Where the client found this Hub, without a slash at the end."""
    return str(request.base_url).rstrip("/")
