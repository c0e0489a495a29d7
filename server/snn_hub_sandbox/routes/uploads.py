"""From files on a client's disk to a commit."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from snn_hub_sandbox.answers import Json
from snn_hub_sandbox.errors import HubError, repository_not_found
from snn_hub_sandbox.operations import is_sha256, read_change
from snn_hub_sandbox.routes.common import REPO, Found, Part, RepoId, TheHub, User, base_url
from snn_hub_sandbox.store import LFS_PATTERNS

router = APIRouter()

_LARGE = 10_000_000


class Announced(BaseModel):
    """A file that is to be uploaded."""

    path: str
    size: int = 0
    sample: str = ""


class Announcement(BaseModel):
    """All that are to be uploaded."""

    files: list[Announced]


class LargeFile(BaseModel):
    """A large content, by its hash."""

    oid: str
    size: Annotated[int, Field(ge=0)]


class Batch(BaseModel):
    """Large contents that are to be uploaded."""

    operation: Literal["upload"]
    objects: list[LargeFile]


@router.post(f"{REPO}/preupload/{{revision}}")
def preupload(
    wanted: Announcement, repo: Found, hub: TheHub, user: User, revision: Part, create_pr: bool = False
) -> Json:
    """Which files go into the commit, and which are uploaded first."""
    hub.check_committer(repo, user, revision, pull_request=create_pr)
    files = repo.commits[repo.resolve(revision)].files
    found = []
    for file in wanted.files:
        answer: Json = {
            "path": file.path,
            "uploadMode": "lfs" if _is_large(file) else "regular",
            "shouldIgnore": False,
        }
        if file.path in files:
            # By this the client knows a file that has not changed.
            answer["oid"] = files[file.path].etag
        found.append(answer)
    return {"files": found}


def _is_large(file: Announced) -> bool:
    name = file.path.rpartition("/")[2]
    if file.size > _LARGE or any(fnmatchcase(name, pattern) for pattern in LFS_PATTERNS):
        return True
    try:
        return b"\0" in base64.b64decode(file.sample)
    except binascii.Error as error:
        raise HubError(400, f"the sample of {file.path} is not base64") from error


@router.post("/{owner}/{name}.git/info/lfs/objects/batch")
def batch(wanted: Batch, request: Request, repo: Found, hub: TheHub, user: User) -> Json:
    """Where large contents are to be sent; not at all if they are here already."""
    if user is None:
        raise repository_not_found(signed_in=False)
    url = base_url(request)
    found = []
    for file in wanted.objects:
        if not is_sha256(file.oid):
            raise HubError(400, f"{file.oid!r} is not a SHA-256")
        answer: Json = {"oid": file.oid, "size": file.size}
        if hub.blobs.size(file.oid) is None:
            key = hub.upload_key(file.oid, file.size)
            answer["actions"] = {
                "upload": {"href": f"{url}/lfs/{file.oid}?size={file.size}&key={key}", "header": {}},
                "verify": {"href": f"{url}/{repo.id}.git/info/lfs/verify", "header": {}},
            }
        found.append(answer)
    return {"transfer": "basic", "objects": found}


@router.put("/lfs/{oid}")
async def upload(
    request: Request, hub: TheHub, oid: str, size: Annotated[int, Query(ge=0)], key: str
) -> dict[str, bool]:
    """Take a large content in. As on the Hub its address is what lets one in, not a token."""
    if not hmac.compare_digest(key.encode(), hub.upload_key(oid, size).encode()):
        raise HubError(403, "this is not an address that the Hub gave out")
    await hub.blobs.receive(request.stream(), oid, size)
    return {"success": True}


@router.post("/{owner}/{name}.git/info/lfs/verify")
def verify(wanted: LargeFile, repo: Found, hub: TheHub) -> dict[str, bool]:
    """Whether a large content has arrived."""
    if not is_sha256(wanted.oid) or hub.blobs.size(wanted.oid) != wanted.size:
        raise HubError(404, f"the large file {wanted.oid} was not uploaded")
    return {"success": True}


@router.post(f"{REPO}/commit/{{revision}}")
async def commit(
    request: Request,
    repo: Found,
    repo_id: RepoId,
    hub: TheHub,
    user: User,
    revision: Part,
    create_pr: bool = False,
) -> Json:
    """A commit, or a pull request with one."""
    hub.check_committer(repo, user, revision, pull_request=create_pr)
    change = await read_change(request.stream(), hub.blobs)
    name, number = await run_in_threadpool(
        hub.commit, repo_id, user, revision, change, pull_request=create_pr
    )
    url = f"{base_url(request)}/{repo_id}"
    found = {"success": True, "commitOid": name, "commitUrl": f"{url}/commit/{name}"}
    if number is not None:
        found["pullRequestUrl"] = f"{url}/discussions/{number}"
    return found


@router.get(f"{REPO}/xet-write-token/{{revision}}")
def xet_token(repo: Found, revision: Part) -> Json:
    """The client's preferred way of uploading, which this Hub does not have."""
    # The client shows its user the status and nothing else.
    message = "the sandbox has no Xet storage; the client needs HF_HUB_DISABLE_XET=1"
    logging.getLogger(__name__).warning("upload to %s refused: %s", repo.id, message)
    raise HubError(400, message)
