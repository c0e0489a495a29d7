"""A repository of the Hugging Face Hub -> the files of one checkpoint on this disk.

All files of a load come from one commit. The Hub client's own cache can't promise that: any later download
of another file moves its `refs/main`, and offline the weights are then not found although they are there.
So each load is remembered here, as commit and files.
"""

from __future__ import annotations

import errno
import hashlib
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from snn_voice_hub.config import LIBRARY_NAME
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.choice import Choice, choose
from snn_voice_hub.hub.loads import RepoRequest, remember, remembered, repo_folder
from snn_voice_hub.hub.refusals import NO_ANSWER, PATIENCE, slow_down
from snn_voice_hub.visible import module_logger

logger = module_logger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The files of one checkpoint, fetched.

    Attributes:
        commit: The commit that all of them are from.
        weights: The file of weights.
        config: Its `config.json`; None for a Lightning checkpoint.
        origin: The path of the weights inside the repository.
        version: What tells the weights from all others: the Hub's checksum, or else the commit.
    """

    commit: str
    weights: Path
    config: Path | None
    origin: str
    version: str


# Of a Lightning checkpoint: whether what it was converted to is here, by its version and origin.
Spared = Callable[[str, str], bool]


def fetch(request: RepoRequest, spared: Spared = lambda version, origin: False) -> Fetched:
    """Find the checkpoint that is asked for, and bring its files to this disk.

    Without network, what an earlier load of the same request brought is used.

    Args:
        request: What is asked for.
        spared: A Lightning checkpoint of which it is true is not brought; its `weights` need not be there.

    Raises:
        CheckpointError: With `code` one of `no_repository`, `gated`, `no_revision`, `no_access`,
            `no_checkpoint`, `several_checkpoints`, `offline`, `rate_limit`, `download`, `damaged`,
            `disk_full`.
    """
    if request.local_files_only or constants.HF_HUB_OFFLINE:
        return _from_cache(request, "local_files_only or HF_HUB_OFFLINE is set", spared)
    with _explained(request):
        try:
            info = _ask(request)
        except NO_ANSWER as error:
            reason = _unreachable(error)
            if reason is None:
                raise
            found = _from_cache(request, reason, spared)
            logger.warning("%s: %s; the copy of an earlier load is used", request.where, reason)
            return found
        return _download(request, info, spared)


def _ask(request: RepoRequest) -> ModelInfo:
    """Commit and files of the repository.

    Raises:
        TimeoutError: The Hub did not answer in time.
    """
    answers: queue.SimpleQueue[ModelInfo | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            info = HfApi().model_info(
                request.repo_id,
                revision=request.revision,
                timeout=PATIENCE,
                files_metadata=True,
                token=request.token,
            )
            answers.put(info)
        except Exception as error:
            answers.put(error)

    # The client's own limit is one for each address of the Hub, which has many.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=PATIENCE + 1)
    except queue.Empty as error:
        raise TimeoutError from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def _unreachable(error: Exception) -> str | None:
    """Why the Hub did not answer; None where it did, and said no."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return f"the Hub answers with status {status}" if status >= 500 else None
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    return f"the Hub ({constants.ENDPOINT}) can't be reached"


def _download(request: RepoRequest, info: ModelInfo, spared: Spared) -> Fetched:
    commit = info.sha or request.revision or ""
    siblings = {file.rfilename: file for file in info.siblings or []}
    library = info.library_name or ""
    choice = choose(
        siblings,
        where=request.where,
        repo_id=request.repo_id,
        subfolder=request.subfolder,
        filename=request.filename,
        foreign="" if library == LIBRARY_NAME else library,
    )
    known = remembered(request)
    version = _checksum(siblings[choice.weights]) or commit
    checked = known == (commit, choice, version) and not request.force_download
    if choice.config is None and not request.force_download and spared(version, choice.weights):
        remember(request, commit, choice, version)
        return _not_brought(request, commit, choice, version)
    paths = {}
    for name in choice.files:
        paths[name] = Path(
            hf_hub_download(
                request.repo_id,
                name,
                revision=commit,
                token=request.token,
                cache_dir=request.cache_dir,
                force_download=request.force_download,
                etag_timeout=PATIENCE,
                library_name=LIBRARY_NAME,
            )
        )
        if not checked:
            _check(paths[name], siblings[name], request.where)
    remember(request, commit, choice, version)
    return Fetched(
        commit=commit,
        weights=paths[choice.weights],
        config=paths[choice.config] if choice.config else None,
        origin=choice.weights,
        version=version,
    )


def _not_brought(request: RepoRequest, commit: str, choice: Choice, version: str) -> Fetched:
    weights = repo_folder(request) / "snapshots" / commit / choice.weights
    return Fetched(commit=commit, weights=weights, config=None, origin=choice.weights, version=version)


def _checksum(listed: RepoSibling) -> str:
    """The Hub's checksum of a file: that of its content, or Git's; "" where it says none."""
    return listed.lfs.sha256 if listed.lfs is not None else listed.blob_id or ""


def _check(path: Path, listed: RepoSibling, where: str) -> None:
    """Compare a file with the Hub's checksum: the client itself compares the length only."""
    wanted = _checksum(listed)
    if not wanted:
        return
    digest = hashlib.sha256()
    if listed.lfs is None:
        # Git's own checksum of a file: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    if digest.hexdigest() != wanted:
        # Out of the cache with it, or the next load would take it for good.
        blob = path.resolve()
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        raise CheckpointError(
            f"{listed.rfilename} of {where} arrived damaged: its checksum is not the Hub's",
            hint="load it again",
            code="damaged",
        )


# --- what earlier loads brought -------------------------------------------------------------------


def _from_cache(request: RepoRequest, reason: str, spared: Spared) -> Fetched:
    """The files of an earlier load, without network."""
    known = remembered(request)
    if known is not None:
        commit, choice, version = known
        if choice.config is None and spared(version, choice.weights):
            return _not_brought(request, commit, choice, version)
        if found := _cached(request, commit, choice):
            return found
    # Not by us, perhaps by `hf download`: then the client's own references say which commit is meant.
    referenced = _referenced(request)
    if referenced is not None:
        folder = repo_folder(request) / "snapshots" / referenced
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        if files:
            choice = choose(
                files,
                where=f"the cached copy of {request.where}",
                repo_id=request.repo_id,
                subfolder=request.subfolder,
                filename=request.filename,
            )
            if found := _cached(request, referenced, choice):
                return found
    hint = "check the network, HF_ENDPOINT and proxies"
    if "status" in reason:
        hint = "try again later"
    elif reason.endswith("is set"):
        hint = "load it once with network"
    raise CheckpointError(
        f"{request.where} is not in the cache, and {reason}",
        hint=hint,
        code="offline",
    )


def _referenced(request: RepoRequest) -> str | None:
    revision = request.revision or constants.DEFAULT_REVISION
    if _COMMIT.fullmatch(revision):
        return revision
    try:
        return (repo_folder(request) / "refs" / revision).read_text().strip()
    except (OSError, ValueError):
        return None


def _cached(request: RepoRequest, commit: str, choice: Choice) -> Fetched | None:
    paths = {}
    for name in choice.files:
        path = try_to_load_from_cache(request.repo_id, name, cache_dir=request.cache_dir, revision=commit)
        if not isinstance(path, str):
            return None
        paths[name] = Path(path)
    # The client keeps a file under the Hub's checksum, where the disk has links.
    kept = paths[choice.weights].resolve().name
    return Fetched(
        commit=commit,
        weights=paths[choice.weights],
        config=paths[choice.config] if choice.config else None,
        origin=choice.weights,
        version=kept if _CHECKSUM.fullmatch(kept) else commit,
    )


# --- errors ---------------------------------------------------------------------------------------


@contextmanager
def _explained(request: RepoRequest) -> Iterator[None]:
    """Turn what the client raises into one line that says what to do."""
    where = request.where
    try:
        yield
    except CheckpointError:
        raise
    except GatedRepoError as error:
        raise CheckpointError(
            f"{request.repo_id} is gated",
            hint=f"accept its terms at {constants.ENDPOINT}/{request.repo_id}, then log in: hf auth login",
            code="gated",
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{request.repo_id} has no revision {request.revision!r}",
            hint="a branch, a tag or a commit",
            code="no_revision",
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"no repository {request.repo_id} on the Hub, or no access to it",
            hint="a private repository looks the same: check the spelling, or log in with hf auth login",
            code="no_repository",
        ) from error
    except LocalEntryNotFoundError as error:
        # The client says the same of a network that went between listing and download, and of a refusal.
        if isinstance(error.__cause__, HfHubHTTPError):
            raise _refused(error.__cause__, where) from error
        raise CheckpointError(
            f"{where} is not in the cache, and the Hub can't be reached any more",
            hint="check the network, and try again",
            code="offline",
        ) from error
    except EntryNotFoundError as error:
        raise CheckpointError(
            f"{where}: a file that the Hub lists is not there", hint="try again", code="download"
        ) from error
    except HfHubHTTPError as error:
        raise _refused(error, where) from error
    except HFValidationError as error:
        raise CheckpointError(f"{request.repo_id!r} is no legal repository id", hint="owner/name") from error
    except NO_ANSWER as error:
        raise CheckpointError(
            f"downloading {where} broke off", hint="check the network, and try again", code="download"
        ) from error
    except OSError as error:
        raise _os_error(error, request) from error


def _refused(error: HfHubHTTPError, where: str) -> CheckpointError:
    status = error.response.status_code
    if status in (401, 403):
        return CheckpointError(
            f"the Hub refuses access to {where} (status {status})",
            hint="the token may be wrong or lack the right to read: hf auth login",
            code="no_access",
        )
    if status == 429:
        return slow_down(error, where)
    return CheckpointError(
        f"downloading {where} failed: the Hub answers with status {status}",
        hint="try again later",
        code="download",
    )


def _os_error(error: OSError, request: RepoRequest) -> CheckpointError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = request.cache_dir or constants.HF_HUB_CACHE
        return CheckpointError(
            f"the disk is full: {request.where} does not fit into {folder}",
            hint="make room, or choose another disk with cache_dir= or HF_HOME",
            code="disk_full",
        )
    if "Consistency check failed" in str(error):
        return CheckpointError(
            f"a file of {request.where} arrived with another length than the Hub's",
            hint="load it again",
            code="damaged",
        )
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return CheckpointError(f"downloading {request.where} failed: {first}", hint="try again", code="download")
