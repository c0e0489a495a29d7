"""What the Hub lists of a repository, taken only if it is well-formed to the last name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Any
from urllib.parse import quote

from huggingface_hub import constants
from snn_voice_lite.visible import visible

from snn_voice_hub.hub.remote.wire import ask_json, odd_answer

MAX_FILES = 50_000
COMMIT = re.compile(r"[0-9a-f]{40}")
_CONTENT = re.compile(r"[0-9a-f]{64}")
# Control characters, halves of surrogate pairs, and the separator of Windows.
_NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")
# Bytes of one part of a path and of all of it; file systems take no longer ones.
_MAX_PART, _MAX_PATH = 255, 1024


@dataclass(frozen=True)
class Listed:
    """One file.

    Attributes:
        size: Its bytes; None where the Hub does not say.
        sha256: Of its content, where it is a large file.
        git: Git's checksum of it, where it is none.
    """

    size: int | None = None
    sha256: str = ""
    git: str = ""

    @property
    def checksum(self) -> str:
        """That of its content, or Git's; "" where the Hub says none."""
        return self.sha256 or self.git


@dataclass(frozen=True)
class Listing:
    """One commit of a repository.

    Attributes:
        commit: Its name.
        files: By path, with "/" between folders; none leads out of a folder.
        library: What the repository says it belongs to; "" where it does not.
        private: Whether only those with access see it; None where the Hub does not say.
    """

    commit: str
    files: Mapping[str, Listed]
    library: str
    private: bool | None


def list_repository(repo_id: str, where: str, *, revision: str | None, token: str | bool | None) -> Listing:
    """Commit and files of a repository.

    Args:
        repo_id: `owner/name`, legal.
        where: How messages name it.
        revision: Branch, tag or commit.
        token: Hub token.

    Raises:
        CheckpointError: The answer is none of a Hub, or too long; `code` is "bad_answer".
        HfHubHTTPError: The Hub refuses.
        TimeoutError: It takes too long.
    """
    url = f"{constants.ENDPOINT}/api/models/{repo_id}"
    if revision is not None:
        url += f"/revision/{quote(revision, safe='')}"
    return read_listing(ask_json(url, where, token=token, params={"blobs": "true"}), where)


def read_listing(answer: object, where: str) -> Listing:
    """A listing out of what JSON holds.

    Raises:
        CheckpointError: It is none.
    """
    told = answer if isinstance(answer, dict) else {}
    commit, siblings = told.get("sha"), told.get("siblings") or []
    if not (isinstance(commit, str) and COMMIT.fullmatch(commit)):
        raise odd_answer(where, f"{_shown(commit)} is no name of a commit")
    if not isinstance(siblings, list) or len(siblings) > MAX_FILES:
        raise odd_answer(where, f"no list of files, or one of more than {MAX_FILES:,}")
    files = {}
    for sibling in siblings:
        name, listed = _file(sibling, where)
        if name in files:
            raise odd_answer(where, f"it lists {visible(name)} twice")
        files[name] = listed
    library, private = told.get("library_name"), told.get("private")
    return Listing(
        commit,
        files,
        visible(library) if isinstance(library, str) else "",
        private if isinstance(private, bool) else None,
    )


def _file(sibling: object, where: str) -> tuple[str, Listed]:
    told: dict[str, Any] = sibling if isinstance(sibling, dict) else {}
    name = told.get("rfilename")
    if not isinstance(name, str) or not is_path(name):
        raise odd_answer(where, f"{_shown(name)} is no name of a file")
    large = told.get("lfs") or {}
    if not isinstance(large, dict):
        raise odd_answer(where, f"what it says of {visible(name)} has another form")
    size = large.get("size", told.get("size"))
    sha256, git = large.get("sha256") or "", ("" if large else told.get("blobId")) or ""
    if not (size is None or (type(size) is int and size >= 0)):
        raise odd_answer(where, f"{_shown(size)} is no size of {visible(name)}")
    for checksum, pattern in ((sha256, _CONTENT), (git, COMMIT)):
        if checksum and not (isinstance(checksum, str) and pattern.fullmatch(checksum)):
            raise odd_answer(where, f"{_shown(checksum)} is no checksum of {visible(name)}")
    return name, Listed(size, sha256, git)


def _shown(value: object) -> str:
    # Of a deep structure there is no repr().
    return visible(repr(value)) if isinstance(value, str | int | None) else f"a {type(value).__name__}"


def is_revision(name: str) -> bool:
    """Whether a name can be that of a branch, a tag or a commit."""
    return bool(name) and is_text(name) and ".." not in name


def is_text(name: str) -> bool:
    """Whether it is short and without control characters, as what may be asked of the Hub."""
    return len(name) <= _MAX_PART and not _NEVER.search(name)


def is_path(name: str) -> bool:
    r"""Whether a name is that of a file inside a repository, on any system.

    Neither `/etc/x`, `a/../../x`, `C:\x` nor one with control characters is.
    """
    if _NEVER.search(name) or PureWindowsPath(name).anchor or PureWindowsPath(name).drive:
        return False
    parts = name.split("/")
    return (
        not {"", ".", ".."} & set(parts)
        and len(name.encode()) <= _MAX_PATH
        and all(len(part.encode()) <= _MAX_PART for part in parts)
    )
