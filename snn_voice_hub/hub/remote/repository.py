"""A repository of the Hugging Face Hub -> the files of one checkpoint on this disk.

All files of a load come from one commit. The Hub client's own cache can't promise that: any later download
of another file moves its `refs/main`, and offline the weights are then not found although they are there.
So each load is remembered here, as commit and files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from snn_voice_lite.visible import module_logger, visible

from snn_voice_hub.config import LIBRARY_NAME
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.choice import Choice, choose
from snn_voice_hub.hub.remote.cache import CHECKSUM
from snn_voice_hub.hub.remote.listing import COMMIT, Listing, is_path, is_revision, list_repository
from snn_voice_hub.hub.remote.loads import RepoRequest, remember, remembered
from snn_voice_hub.hub.remote.refusals import NO_ANSWER, Talk, explained
from snn_voice_hub.hub.remote.wire import hiding

logger = module_logger(__name__)


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
            `too_large`, `bad_answer`, `disk_full`.
    """
    talk = Talk(
        doing="downloading",
        repo_id=request.repo_id,
        where=request.where,
        revision=request.revision,
        folder=request.cache_dir or constants.HF_HUB_CACHE,
        begun=True,  # where nothing has come yet, there may be an earlier load
    )
    with hiding(request.token), explained(talk):
        validate_repo_id(request.repo_id)
        if request.revision is not None and not is_revision(request.revision):
            raise CheckpointError(
                f"{visible(repr(request.revision))} is no revision",
                hint="a branch, a tag or a commit",
                code="no_revision",
            )
        if request.local_files_only or constants.HF_HUB_OFFLINE:
            return _from_cache(request, "local_files_only or HF_HUB_OFFLINE is set", spared)
        try:
            listing = list_repository(
                request.repo_id, request.where, revision=request.revision, token=request.token
            )
        except NO_ANSWER as error:
            reason = _unreachable(error)
            if reason is None:
                raise
            found = _from_cache(request, reason, spared)
            logger.warning("%s: %s; the copy of an earlier load is used", request.where, reason)
            return found
        return _download(request, listing, spared)


def _unreachable(error: Exception) -> str | None:
    """Why the Hub did not answer; None where it did, and said no."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return f"the Hub answers with status {status}" if status >= 500 else None
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    return f"the Hub ({constants.ENDPOINT}) can't be reached"


def _download(request: RepoRequest, listing: Listing, spared: Spared) -> Fetched:
    commit = listing.commit
    choice = choose(
        listing.files,
        where=request.where,
        repo_id=request.repo_id,
        subfolder=request.subfolder,
        filename=request.filename,
        foreign="" if listing.library == LIBRARY_NAME else listing.library,
    )
    known = remembered(request)
    version = listing.files[choice.weights].checksum or commit
    checked = known == (commit, choice, version)
    if choice.config is None and not request.force_download and spared(version, choice.weights):
        remember(request, commit, choice, version)
        return _not_brought(request, commit, choice, version)
    paths = {
        name: request.cache.bring(
            commit,
            name,
            listing.files[name],
            request.where,
            token=request.token,
            again=request.force_download,
            checked=checked,
        )
        for name in choice.files
    }
    remember(request, commit, choice, version)
    return _fetched(commit, choice, paths, version)


def _fetched(commit: str, choice: Choice, paths: Mapping[str, Path], version: str) -> Fetched:
    return Fetched(
        commit=commit,
        weights=paths[choice.weights],
        config=paths[choice.config] if choice.config else None,
        origin=choice.weights,
        version=version,
    )


def _not_brought(request: RepoRequest, commit: str, choice: Choice, version: str) -> Fetched:
    pointer = request.cache.pointer(commit, choice.weights)
    return _fetched(commit, choice, {choice.weights: pointer}, version)


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
        folder = request.cache.folder / "snapshots" / referenced
        found_there = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        if files := list(filter(is_path, found_there)):
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
    if COMMIT.fullmatch(revision):
        return revision
    try:
        commit = (request.cache.folder / "refs" / revision).read_text().strip()
    except (OSError, ValueError):
        return None
    return commit if COMMIT.fullmatch(commit) else None


def _cached(request: RepoRequest, commit: str, choice: Choice) -> Fetched | None:
    paths = {}
    for name in choice.files:
        path = try_to_load_from_cache(request.repo_id, name, cache_dir=request.cache_dir, revision=commit)
        if not isinstance(path, str):
            return None
        paths[name] = Path(path)
    # The client keeps a file under the Hub's checksum, where the disk has links.
    kept = paths[choice.weights].resolve().name
    return _fetched(commit, choice, paths, kept if CHECKSUM.fullmatch(kept) else commit)
