"""What a repository is: commits with their file tables, and names that point at commits."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from snn_hub_sandbox.errors import revision_not_found

MAIN = "main"
_PULL = re.compile(r"refs/pr/(\d+)")


def git_hash(content: bytes) -> str:
    """The name that git gives a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """What git itself keeps of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def now() -> str:
    """The time, as the Hub writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Kept(BaseModel):
    """Stands in a repository's file on disk; what this version does not know is an error."""

    model_config = ConfigDict(extra="forbid")


class StoredFile(_Kept):
    """One row of a file table.

    Attributes:
        size: Length of the content.
        oid: git's name for it; for a large file, of its pointer.
        sha256: Of the content, where the file is a large one.
    """

    size: int
    oid: str
    sha256: str | None = None

    @property
    def etag(self) -> str:
        """What tells this content from any other."""
        return self.sha256 or self.oid

    @property
    def pointer_size(self) -> int:
        """Length of a large file's pointer."""
        return len(lfs_pointer(self.sha256 or "", self.size))


class Commit(_Kept):
    """A state of all files, and how it came to be.

    Attributes:
        parent: The state before; None for the first.
        title: First line of the message.
        message: What else was said.
        author: User name.
        date: When.
        files: Path -> file, of everything that is there.
    """

    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: dict[str, StoredFile]


class Discussion(_Kept):
    """A discussion or pull request.

    Attributes:
        title: Its title.
        description: Its first comment.
        author: Who opened it.
        date: When it was opened.
        status: A pull request without a commit is a draft.
        head: The commit of a pull request; None for a mere discussion.
        base: The branch that a pull request is to change.
    """

    title: str
    description: str
    author: str
    date: str
    status: Literal["draft", "open"]
    head: str | None = None
    base: str = MAIN


class Repository(_Kept):
    """A model repository.

    Attributes:
        format: Version of this description on disk.
        id: `owner/name`.
        key: Tells it from a deleted one of the same name.
        created: When.
        private: Whether only its owner may know of it.
        gated: Whether only those in `readers` may read its files.
        readers: Who was let in.
        commits: By their names.
        branches: Name -> commit.
        tags: Name -> commit.
        discussions: The first is number 1.
    """

    format: Literal[1] = 1
    id: str
    key: str = Field(default_factory=lambda: uuid.uuid4().hex[:24])
    created: str = Field(default_factory=now)
    private: bool = False
    gated: Literal["auto", "manual", False] = False
    readers: list[str] = []
    commits: dict[str, Commit] = {}
    branches: dict[str, str] = {}
    tags: dict[str, str] = {}
    discussions: list[Discussion] = []

    @property
    def owner(self) -> str:
        """The user whose repository it is."""
        return self.id.partition("/")[0]

    def resolve(self, revision: str) -> str:
        """The commit that a revision means.

        Args:
            revision: Branch, tag, `refs/heads/…`, `refs/pr/…` or the full name of a commit.

        Returns:
            The commit's name.

        Raises:
            HubError: There is none.
        """
        pull = self.pull_request(revision)
        if pull and pull.head:
            return pull.head
        name = revision.removeprefix("refs/heads/")
        found = self.branches.get(name) or self.tags.get(revision)
        if found is None and revision in self.commits:
            found = revision
        if found is None:
            raise revision_not_found(revision)
        return found

    def pull_request(self, revision: str) -> Discussion | None:
        """The pull request that a revision names, if it names one."""
        matched = _PULL.fullmatch(revision)
        number = int(matched[1]) if matched else 0
        if 0 < number <= len(self.discussions) and self.discussions[number - 1].head:
            return self.discussions[number - 1]
        return None

    def history(self, commit: str) -> Iterator[tuple[str, Commit]]:
        """A commit and all before it, the latest first."""
        name: str | None = commit
        while name is not None:
            yield name, self.commits[name]
            name = self.commits[name].parent

    def add(self, commit: Commit) -> str:
        """Keep a commit; no name points at it yet.

        Args:
            commit: The new state.

        Returns:
            The commit's name.
        """
        # Two equal commits in one millisecond are still two: their number in the repository differs.
        content = f"{self.key} {len(self.commits)} {commit.model_dump_json()}".encode()
        name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        self.commits[name] = commit
        return name

    def move(self, revision: str, commit: str) -> None:
        """Make a branch or pull request point at a commit.

        Args:
            revision: Its name; a tag or commit can't be moved.
            commit: Where it is to point.

        Raises:
            HubError: There is no such branch or pull request.
        """
        pull = self.pull_request(revision)
        name = revision.removeprefix("refs/heads/")
        if pull:
            pull.head = commit
            pull.status = "open"
        elif name in self.branches:
            self.branches[name] = commit
        else:
            raise revision_not_found(revision)
