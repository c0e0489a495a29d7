"""The Hub itself: users, repositories, and who may do what with which."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from pydantic import ValidationError

from snn_hub_sandbox.blobs import BlobStore
from snn_hub_sandbox.errors import HubError, gated, repository_not_found
from snn_hub_sandbox.operations import Change
from snn_hub_sandbox.repository import MAIN, Commit, Discussion, Repository, now
from snn_voice_hub import SnnVoiceError
from snn_voice_hub.writing import write_together

DEFAULT_TOKENS = {"hf_sandbox": "me"}

# Which files the Hub keeps as large ones whatever their size, as far as they matter here.
LFS_PATTERNS = tuple(
    f"*.{suffix}"
    for suffix in (
        *("safetensors", "ckpt", "bin", "pt", "pth", "onnx", "npz", "npy", "h5", "pkl", "pickle", "joblib"),
        *("msgpack", "arrow", "parquet", "model", "tflite", "pb", "wasm", "tar", "tgz", "gz", "zip", "7z"),
        *("rar", "xz", "bz2", "zst"),
    )
)

_GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS)


class Hub:
    """All repositories, kept in a folder.

    Every change is on disk when its request is answered. The methods may be called from several threads: a
    repository that was found is never changed, a changed one takes its place.

    Args:
        folder: Where everything is kept; made if it is missing.
        tokens: Token -> user name; a user's name is also the owner part of the repositories that they may
            write to.

    Attributes:
        tokens: The same, and it may be changed while the Hub runs.
        blobs: The contents of files.

    Raises:
        SnnVoiceError: The folder can't be used.
    """

    def __init__(self, folder: Path, tokens: Mapping[str, str] | None = None) -> None:
        self.tokens = dict(DEFAULT_TOKENS if tokens is None else tokens)
        self._repositories = folder / "repositories"
        self._lock = threading.RLock()
        self._secret = secrets.token_bytes()
        try:
            self._repositories.mkdir(parents=True, exist_ok=True)
            self.blobs = BlobStore(folder / "blobs")
        except OSError as error:
            raise SnnVoiceError(f"{folder} can't be used: {error.strerror}") from error
        self._all = {repo.id: repo for repo in map(_load, sorted(self._repositories.glob("*/*.json")))}

    def all(self, user: str | None) -> list[Repository]:
        """The repositories that a user may know of."""
        with self._lock:
            return [repo for repo in self._all.values() if _may_see(repo, user)]

    def find(self, repo_id: str, user: str | None) -> Repository:
        """A repository that a user may know of.

        Args:
            repo_id: `owner/name`.
            user: Who asks; None for nobody in particular.

        Returns:
            The repository.

        Raises:
            HubError: There is none, or not for this user.
        """
        with self._lock:
            repo = self._all.get(repo_id)
        if repo is None or not _may_see(repo, user):
            raise repository_not_found(user is not None)
        return repo

    def check_reader(self, repo: Repository, user: str | None) -> None:
        """Refuse a user who may not read the files of a gated repository.

        Args:
            repo: The repository.
            user: Who asks.

        Raises:
            HubError: They may not.
        """
        if repo.gated and user not in (repo.owner, *repo.readers):
            raise gated(repo.id, user is not None)

    def check_writer(self, owner: str, user: str | None) -> None:
        """Refuse a user who may not write to the repositories of an owner.

        Args:
            owner: Whose they are.
            user: Who asks.

        Raises:
            HubError: They may not.
        """
        if user is None:
            raise repository_not_found(signed_in=False)
        if user != owner:
            raise HubError(403, f"{user} has no rights to write to the repositories of {owner}")

    def check_committer(
        self, repo: Repository, user: str | None, revision: str, *, pull_request: bool = False
    ) -> None:
        """Refuse a user who may not commit to a branch or pull request.

        Args:
            repo: The repository.
            user: Who would commit.
            revision: To what.
            pull_request: Whether the commit would rather open a pull request, as everybody may.

        Raises:
            HubError: They may not.
        """
        opened = repo.pull_request(revision)
        if user is None or not (pull_request or (opened and opened.author == user)):
            self.check_writer(repo.owner, user)

    def upload_key(self, sha256: str, size: int) -> str:
        """What the address of an upload must contain, so that only who was given it can upload."""
        return hmac.new(self._secret, f"{sha256} {size}".encode(), "sha256").hexdigest()

    @contextmanager
    def changing(self, repo_id: str, user: str | None, *, own: bool = True) -> Iterator[Repository]:
        """A repository to be changed: nobody else changes it meanwhile, and it is saved at the end.

        Args:
            repo_id: `owner/name`.
            user: Who changes it.
            own: Whether only its owner may; otherwise anyone who is signed in and may see it.

        Yields:
            The repository. After an exception it is as it was before.

        Raises:
            HubError: There is no such repository, or this user may not change it.
        """
        with self._lock:
            found = self.find(repo_id, user)
            if own or user is None:
                self.check_writer(found.owner, user)
            repo = found.model_copy(deep=True)
            yield repo
            self._save(repo)

    def create(self, repo_id: str, user: str | None, *, private: bool = False) -> Repository:
        """A new repository; as on the Hub, its first commit says which files are large ones.

        Args:
            repo_id: `owner/name`.
            user: Who makes it.
            private: Whether only its owner may know of it.

        Returns:
            The repository.

        Raises:
            HubError: The name is taken or not legal, or not this user's.
        """
        owner = repo_id.partition("/")[0]
        self.check_writer(owner, user)
        try:
            validate_repo_id(repo_id)
        except HFValidationError as error:
            raise HubError(400, str(error)) from error
        with self._lock:
            if repo_id in self._all:
                raise HubError(409, f"You already created this model repo: {repo_id}")
            repo = Repository(id=repo_id, private=private)
            files = {".gitattributes": self.blobs.put(_GITATTRIBUTES.encode())}
            commit = Commit(
                parent=None, title="initial commit", message="", author=owner, date=now(), files=files
            )
            repo.branches[MAIN] = repo.add(commit)
            self._save(repo)
            return repo

    def delete(self, repo_id: str, user: str | None) -> None:
        """Forget a repository; the contents of its files stay, because others may have the same.

        Args:
            repo_id: `owner/name`.
            user: Who deletes it.

        Raises:
            HubError: There is no such repository, or this user may not delete it.
        """
        with self._lock:
            repo = self.find(repo_id, user)
            self.check_writer(repo.owner, user)
            self._path(repo).unlink()
            del self._all[repo_id]

    def commit(
        self, repo_id: str, user: str | None, revision: str, change: Change, *, pull_request: bool = False
    ) -> tuple[str, int | None]:
        """Apply a change to a branch or pull request.

        Args:
            repo_id: `owner/name`.
            user: Who commits.
            revision: The branch or pull request.
            change: What is to change.
            pull_request: Leave the branch as it is, and open a pull request for it.

        Returns:
            The commit's name, and the number of the pull request that was opened.

        Raises:
            HubError: The change does not fit, somebody else was faster, or this user may not.
        """
        with self.changing(repo_id, user, own=False) as repo:
            self.check_committer(repo, user, revision, pull_request=pull_request)
            head = repo.resolve(revision)
            if change.parent not in (None, head):
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            author = user or repo.owner
            commit = Commit(
                parent=head,
                title=change.title,
                message=change.message,
                author=author,
                date=now(),
                files=change.apply(repo.commits[head].files, head),
            )
            name = repo.add(commit)
            if not pull_request:
                repo.move(revision, name)
                return name, None
            repo.discussions.append(
                Discussion(
                    title=change.title,
                    description=change.message,
                    author=author,
                    date=commit.date,
                    status="open",
                    head=name,
                    base=revision.removeprefix("refs/heads/"),
                )
            )
            return name, len(repo.discussions)

    def _path(self, repo: Repository) -> Path:
        return self._repositories / f"{repo.id}.json"

    def _save(self, repo: Repository) -> None:
        path = self._path(repo)
        path.parent.mkdir(exist_ok=True)
        write_together({path: repo.model_dump_json()})
        self._all[repo.id] = repo


def _may_see(repo: Repository, user: str | None) -> bool:
    return not repo.private or user == repo.owner


def _load(path: Path) -> Repository:
    try:
        return Repository.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SnnVoiceError(
            f"{path} is not a repository of this sandbox", hint="choose another folder"
        ) from error
