"""The files themselves, whole or from some byte on."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from snn_hub_sandbox.errors import entry_not_found, repository_not_found
from snn_hub_sandbox.routes.common import Found, Part, TheHub, User

router = APIRouter()


class _File(FileResponse):
    # Each piece costs a change of threads.
    chunk_size = 1024 * 1024


@router.api_route("/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
def resolve(repo: Found, hub: TheHub, user: User, revision: Part, path: Part) -> Response:
    """A file at a revision."""
    hub.check_reader(repo, user)
    commit = repo.resolve(revision)
    file = repo.commits[commit].files.get(path)
    if file is None:
        raise entry_not_found(path, commit)
    headers = {"X-Repo-Commit": commit, "ETag": f'"{file.etag}"'}
    if file.sha256:
        headers |= {"X-Linked-ETag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
    kind = "application/octet-stream" if file.sha256 else "text/plain; charset=utf-8"
    return _File(
        hub.blobs.path(file),
        headers=headers,
        media_type=kind,
        filename=path.rpartition("/")[2],
        content_disposition_type="inline",
    )


@router.api_route("/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
def resolve_without_owner(name: str, revision: str, path: str, user: User) -> Response:
    """The Hub has a few old models without an owner; this one has none."""
    raise repository_not_found(user is not None)
