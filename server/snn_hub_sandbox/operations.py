"""The body of a commit request: a header and one operation a line, applied to a file table."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi.concurrency import run_in_threadpool

from snn_hub_sandbox.blobs import BlobStore
from snn_hub_sandbox.errors import HubError, entry_not_found
from snn_hub_sandbox.repository import StoredFile

# A line holds at most one small file, in base64.
_MAX_LINE = 24_000_000


@dataclass
class Change:
    """What a commit request asks for.

    Attributes:
        title: First line of the message.
        message: The rest of it.
        parent: The commit that the client believes to be the latest, if it says so.
        steps: What to do to the file table, in order.
    """

    title: str = ""
    message: str = ""
    parent: str | None = None
    steps: list[Callable[[dict[str, StoredFile], str], None]] = field(default_factory=list)

    def apply(self, files: dict[str, StoredFile], commit: str) -> dict[str, StoredFile]:
        """The file table after the change.

        Args:
            files: The table before; it stays as it is.
            commit: Whose table that is.

        Returns:
            The table after.

        Raises:
            HubError: A step does not fit the table.
        """
        after = dict(files)
        for step in self.steps:
            step(after, commit)
        for path in after:
            parent = path.rpartition("/")[0]
            while parent:
                if parent in after:
                    raise HubError(400, f"{parent!r} can't be a file and a folder")
                parent = parent.rpartition("/")[0]
        return after


async def read_change(chunks: AsyncIterator[bytes], blobs: BlobStore) -> Change:
    """Read a commit request; small files are kept at once, so that only one is in memory.

    Args:
        chunks: The request's body.
        blobs: Where contents are kept, and large ones already lie.

    Returns:
        The change.

    Raises:
        HubError: The body is not a legal one.
    """
    change = Change()
    async for line in _lines(chunks):
        try:
            item = json.loads(line)
            key, value = item["key"], item["value"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise HubError(400, "a line of the commit is not a JSON object with key and value") from error
        if not isinstance(value, dict):
            raise HubError(400, f"the value of {key!r} is not an object")
        # In a thread: it writes to the disk, and base64 of many megabytes would hold up other clients.
        await run_in_threadpool(_read_item, change, key, value, blobs)
    if not change.title:
        raise HubError(400, "the commit has no summary")
    return change


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    waiting = bytearray()
    async for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        waiting += first
        if len(waiting) > _MAX_LINE:
            raise HubError(413, "a file of the commit is too large to be sent in it; large ones are uploaded")
        for part in rest:
            if waiting.strip():
                yield bytes(waiting)
            waiting = bytearray(part)
    if waiting.strip():
        yield bytes(waiting)


def _read_item(change: Change, key: object, value: dict[str, Any], blobs: BlobStore) -> None:
    if key == "header":
        change.title = _text(value, "summary")
        change.message = str(value.get("description") or "")
        change.parent = value.get("parentCommit")
        return
    path = checked_path(_text(value, "path"))
    if key == "file":
        change.steps.append(_adding(path, blobs.put(_content(value, path))))
    elif key == "lfsFile":
        oid = _text(value, "oid")
        size = blobs.size(oid) if is_sha256(oid) else None
        if size is None or value.get("size", size) != size:
            raise HubError(400, f"{path}: the large file {oid} was not uploaded")
        change.steps.append(_adding(path, blobs.large(oid, size)))
    elif key == "deletedFile":
        change.steps.append(_deleting(path, lambda name: name == path))
    elif key == "deletedFolder":
        change.steps.append(_deleting(path, lambda name: name.startswith(f"{path}/")))
    else:
        raise HubError(400, f"the commit has an operation {key!r}, which the sandbox does not know")


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise HubError(400, f"an operation of the commit has no {name}")
    return found


def _content(value: dict[str, Any], path: str) -> bytes:
    content = value.get("content", "")
    try:
        if value.get("encoding", "utf-8") == "base64":
            return base64.b64decode(content, validate=True)
        return str(content).encode()
    except (binascii.Error, ValueError, TypeError) as error:
        raise HubError(400, f"{path}: the content is not base64") from error


def _adding(path: str, file: StoredFile) -> Callable[[dict[str, StoredFile], str], None]:
    def step(files: dict[str, StoredFile], _: str) -> None:
        files[path] = file

    return step


def _deleting(path: str, matches: Callable[[str], bool]) -> Callable[[dict[str, StoredFile], str], None]:
    def step(files: dict[str, StoredFile], commit: str) -> None:
        found = [name for name in files if matches(name)]
        if not found:
            raise entry_not_found(path, commit)
        for name in found:
            del files[name]

    return step


def checked_path(path: str) -> str:
    """A path inside a repository, without a slash at its end.

    Args:
        path: What a client sent.

    Returns:
        The path.

    Raises:
        HubError: It leads elsewhere.
    """
    path = path.removesuffix("/")
    bad = {"", ".", "..", ".git"}
    if bad & set(path.split("/")) or "\\" in path or any(ord(letter) < 32 for letter in path):
        raise HubError(400, f"{path!r} is not a path in a repository")
    return path


def is_sha256(text: str) -> bool:
    """Whether that is a SHA-256 in hexadecimal, and so a safe name of a file."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
