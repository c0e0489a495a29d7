"""The addresses that a push prints, for whoever opens one in a browser."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from snn_hub_sandbox.repository import MAIN
from snn_hub_sandbox.routes.common import Found, Part, TheHub, User, base_url

router = APIRouter(default_response_class=PlainTextResponse)


@router.get("/")
def index(request: Request, hub: TheHub, user: User) -> str:
    """All repositories."""
    url = base_url(request)
    lines = [f"A Hugging Face Hub on this machine: HF_ENDPOINT={url} HF_HUB_DISABLE_XET=1", ""]
    return "\n".join([*lines, *(f"{url}/{repo.id}" for repo in hub.all(user)), ""])


@router.get("/{owner}/{name}")
def page(repo: Found, request: Request) -> str:
    """A repository."""
    return revision_page(repo, request, MAIN)


@router.get("/{owner}/{name}/tree/{revision}")
@router.get("/{owner}/{name}/commit/{revision}")
def revision_page(repo: Found, request: Request, revision: Part) -> str:
    """A repository at a revision."""
    commit = repo.resolve(revision)
    found = repo.commits[commit]
    url = f"{base_url(request)}/{repo.id}/resolve/{commit}"
    files = [f"{file.size:12,}  {url}/{path}" for path, file in sorted(found.files.items())]
    return "\n".join([repo.id, f"{commit}  {found.date}  {found.author}: {found.title}", "", *files, ""])


@router.get("/{owner}/{name}/discussions/{number}")
def discussion_page(repo: Found, request: Request, number: int) -> str:
    """A pull request."""
    return revision_page(repo, request, f"refs/pr/{number}")
