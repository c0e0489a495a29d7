"""A checkpoint folder -> the Hub and back."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, RepoUrl, constants
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from snn_voice_lite.visible import module_logger, visible

from snn_voice_hub.config import LIBRARY_NAME, VoiceConfig
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.hub.beside import FORMATS, PLACES, places_of
from snn_voice_hub.hub.cards.page import has_own_words, make_card, update_card
from snn_voice_hub.hub.checkpoints import Checkpoint, read_config, resolve, split_revision
from snn_voice_hub.hub.choice import CONFIG_FILE, WEIGHTS_FILE
from snn_voice_hub.hub.endpoint import endpoint_files
from snn_voice_hub.hub.loading import USUAL, Loading
from snn_voice_hub.hub.local import exists, named_path
from snn_voice_hub.hub.remote.cache import RepoCache, git_checksum
from snn_voice_hub.hub.remote.listing import COMMIT, Listed, Listing, is_revision, list_repository
from snn_voice_hub.hub.remote.refusals import NO_ANSWER, Talk, explained, progress, refused
from snn_voice_hub.hub.remote.wire import Meter, ask, attend, bounded, hiding, secret_of
from snn_voice_hub.hub.weights import not_finite, stored_tensors
from snn_voice_hub.writing import replacing, write_together

logger = module_logger(__name__)

CARD_FILE = "README.md"
# Besides the checkpoint itself: the Hub asks for a licence's text where it does not know the licence.
_LEGAL = re.compile(r"(LICEN[CS]E|NOTICE)(\.(md|txt))?", re.IGNORECASE)
# Seconds until a repository has been made.
_PATIENCE = 30.0
_NOT_TOLD: tuple[type[Exception], ...] = (CheckpointError, *NO_ANSWER)
_NO_CARD: tuple[type[Exception], ...] = (EntryNotFoundError, HfHubHTTPError, *NO_ANSWER)


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    commit_message: str = f"Push a model of {LIBRARY_NAME}",
    branch: str | None = None,
    create_pr: bool = False,
    replace_card: bool = False,
    endpoint_handler: bool = False,
    beside: Mapping[str, Path] = MappingProxyType({}),
    token: str | bool | None = None,
    quiet: bool = False,
) -> str:
    """Publish a checkpoint folder, in one commit.

    The repository and the branch are made where they are missing. A card that is on the Hub already keeps its
    prose and gets today's metadata; see `cards.page.update_card`. Where the card there holds nothing but what
    was generated, the folder's README.md takes its place.

    Whether the weights are those of the network is not known here; `registry.check_checkpoint` says it.

    Args:
        folder: With `config.json` and `model.safetensors`; a README.md and the text of a licence go along.
        repo_id: `owner/name`, or a name under the account of the token.
        private: Make a new repository private, or public; None for the account's default.
        commit_message: First line of the commit.
        branch: Branch to push to, or to open the pull request against; by default the main one.
        create_pr: Open a pull request instead of pushing.
        replace_card: Push the folder's README.md even where the card on the Hub holds other words.
        endpoint_handler: Push what Hugging Face Inference Endpoints need as well: a `handler.py` and a
            `requirements.txt`, those of the folder where it has them. A `handler.py` on the Hub that
            somebody wrote is never replaced by ours.
        beside: The same model in other formats: the file's place in the repository, one of
            `hub.beside.PLACES`, and where it lies here. The card names them.
        token: Hub token; by default the one of `hf auth login`.
        quiet: No progress bars.

    Returns:
        URL of the commit or pull request; of the last commit where nothing has changed.

    Raises:
        CheckpointError: The folder is no sound checkpoint, or the Hub does not take it. `code` is one of
            `bad_checkpoint`, `bad_repo_id`, `bad_request`, `not_logged_in`, `no_access`, `no_repository`,
            `no_revision`, `gated`, `not_private`, `bad_card`, `own_handler`, `conflict`, `rate_limit`,
            `offline`, `upload`.
        ConfigError: `config.json` is not legal.
    """
    folder = named_path(folder)
    _check_repo_id(repo_id)
    if branch is not None and not is_revision(branch):
        raise CheckpointError(
            f"{visible(repr(branch))} is no name of a branch", hint="main, dev, …", code="bad_request"
        )
    if not commit_message.strip():
        raise CheckpointError("the commit message is empty", hint="one line", code="bad_request")
    config = _check_folder(folder)
    if secret_of(token) is None:
        raise CheckpointError(
            "not logged in to the Hub", hint="hf auth login, or give a token", code="not_logged_in"
        )
    api = HfApi(token=token, library_name=LIBRARY_NAME)
    talk = Talk(doing="pushing to", repo_id=repo_id, revision=branch, writes=True, create_pr=create_pr)
    with progress(quiet), hiding(token), explained(talk), bounded(repo_id):

        def create(_: Meter) -> RepoUrl:
            return api.create_repo(repo_id, private=private, exist_ok=True)

        # The first request: the client itself would wait for ever.
        url = attend(create, Meter(_PATIENCE), repo_id)
        repo_id = repo_id if "/" in repo_id else url.repo_id
        # A branch such as refs/pr/3 is a pull request's: it is there or it is an error.
        if branch is not None and not branch.startswith("refs/"):
            api.create_branch(repo_id, branch=branch, exist_ok=True)
        there = list_repository(repo_id, repo_id, revision=branch, token=token)
        if private and there.private is False:
            raise CheckpointError(
                f"{repo_id} exists and is public",
                hint=f"make it private at {constants.ENDPOINT}/{repo_id}/settings, or push to another name",
                code="not_private",
            )

        def theirs(name: str) -> bytes | None:
            return _remote_file(repo_id, there, name, token)

        card = _card(repo_id, None if replace_card else theirs(CARD_FILE), folder, config, beside)
        made = {CARD_FILE: card.encode()}
        if endpoint_handler:
            made |= endpoint_files(repo_id, folder, theirs, config.architecture_package)
        files = [CONFIG_FILE, WEIGHTS_FILE, *_legal_files(folder, made)]
        additions = [CommitOperationAdd(name, folder / name) for name in files]
        additions += [CommitOperationAdd(name, content) for name, content in made.items()]
        additions += [CommitOperationAdd(place, path) for place, path in beside.items()]
        if older := sorted(set(PLACES) & set(there.files) - set(beside)):
            what = "of the weights that were there before: push them anew, or delete them there"
            logger.warning("%s keeps %s, %s", repo_id, ", ".join(older), what)
        talk = dataclasses.replace(talk, repo_id=repo_id, begun=True)
        return _commit(api, talk, additions, there, commit_message)


def _commit(api: HfApi, talk: Talk, additions: list[CommitOperationAdd], there: Listing, message: str) -> str:
    """Upload files and make a commit of them; the URL of it or of its pull request."""
    with explained(talk):
        try:
            commit: CommitInfo = api.create_commit(
                talk.repo_id,
                additions,
                commit_message=message,
                revision=talk.revision,
                create_pr=talk.create_pr,
                # What was read before decides what is written, so nothing may change in between.
                parent_commit=there.commit,
            )
        except Exception as error:
            # Where the answer was lost, what it would have told of may be there.
            now = None if talk.create_pr or refused(error) else _arrived(api, talk, additions, there)
            if now is None:
                raise
            logger.info("the answer to the commit was lost (%s); it is there", type(error).__name__)
            return f"{constants.ENDPOINT}/{talk.repo_id}/commit/{now}"
    return str(commit.pr_url or commit.commit_url)


def _arrived(api: HfApi, talk: Talk, additions: list[CommitOperationAdd], before: Listing) -> str | None:
    """The newest commit, if it holds what was pushed; None where it does not, or the Hub does not say."""
    try:
        now = list_repository(talk.repo_id, talk.repo_id, revision=talk.revision, token=api.token)
    except _NOT_TOLD:
        return None
    if now.commit == before.commit:
        return None
    for addition in additions:
        listed = now.files.get(addition.path_in_repo, Listed())
        with addition.as_file() as file:
            own = addition.upload_info.sha256.hex() if listed.sha256 else git_checksum(file)
        if listed.checksum != own:
            return None
    return now.commit


def _check_repo_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise CheckpointError(
            f"{visible(repr(repo_id))} is no legal repository id",
            hint="owner/name, of letters, digits, '-', '_' and '.'",
            code="bad_repo_id",
        ) from error


def _check_folder(folder: Path) -> VoiceConfig:
    """The configuration of a folder that is fit to be published."""
    if not (exists(folder) and folder.is_dir()):
        raise CheckpointError(
            f"{visible(folder)} is no folder", hint=f"a folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    config = read_config(folder)
    weights = Checkpoint.of(folder).weights
    if not weights.exists():
        raise CheckpointError(
            f"{folder} has no {WEIGHTS_FILE}",
            hint=f"a checkpoint folder holds {CONFIG_FILE} and {WEIGHTS_FILE}",
        )
    empty = True
    for name, tensor in stored_tensors(weights):
        empty = False
        if broken := not_finite(tensor):
            raise CheckpointError(f"{weights}: {name} holds {broken}", hint="train or convert it again")
    if empty:
        raise CheckpointError(f"{weights} holds no weights", hint="save the model again")
    return config


def _legal_files(folder: Path, made: Collection[str]) -> list[str]:
    """The texts of licences in a folder; files that stay behind are named in the log."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    legal = [name for name in names if _LEGAL.fullmatch(name) and (folder / name).is_file()]
    left = [name for name in names if name not in (CONFIG_FILE, WEIGHTS_FILE, *made, *legal)]
    if left:
        logger.warning("%s: not part of the checkpoint, not pushed: %s", folder, ", ".join(left))
    return legal


def _card(
    repo_id: str, there: bytes | None, folder: Path, config: VoiceConfig, beside: Collection[str]
) -> str:
    """The card to push: with somebody's words from the Hub, else from the folder, else as generated."""
    fresh = make_card(config, repo_id, beside)
    mine = read_card(folder / CARD_FILE)
    theirs = None if there is None else _text(there, f"{CARD_FILE} of {repo_id}")
    if theirs is not None and (mine is None or has_own_words(theirs)):
        if mine is not None and has_own_words(mine) and mine != theirs:
            logger.warning("%s keeps its card: replace_card pushes the README.md of %s", repo_id, folder)
        return str(update_card(theirs, fresh))
    if mine is None:
        return str(fresh)
    if theirs is not None:
        # Nobody has written prose there, but what somebody added to the metadata is kept.
        prose, fresh = fresh.text, update_card(theirs, fresh)
        fresh.text = prose
    return str(update_card(mine, fresh))


def read_card(path: Path) -> str | None:
    """The text of a card, its line ends as they are; None where there is none.

    Raises:
        CheckpointError: It is not UTF-8.
    """
    return _text(path.read_bytes(), path) if path.is_file() else None


def _text(card: bytes, where: object) -> str:
    try:
        return card.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{where} is not UTF-8 text", hint="save it as UTF-8, or remove it", code="bad_card"
        ) from error


def _remote_file(repo_id: str, there: Listing, name: str, token: str | bool | None) -> bytes | None:
    """A text on the Hub at that commit, past the client's cache: it is of no use there."""
    if name not in there.files:
        return None
    url = f"{constants.ENDPOINT}/{repo_id}/resolve/{there.commit}/{name}"
    return ask(url, f"{name} of {repo_id}", token=token)


# --- the way back ---------------------------------------------------------------------------------


def pull_folder(
    repo_id: str,
    out: str | Path,
    loading: Loading = USUAL,
    *,
    formats: Sequence[str] = (),
    quiet: bool = False,
) -> Path:
    """Copy a checkpoint of the Hub to a plain folder, with its card.

    A Lightning checkpoint arrives converted.

    Args:
        repo_id: Whatever `from_pretrained` takes.
        out: The folder; it must be empty or not exist.
        loading: How it is loaded.
        formats: Formats, of `hub.beside.FORMATS`, in which it lies there too, and is to come along.
        quiet: No progress bars.

    Returns:
        The folder.

    Raises:
        CheckpointError: No such checkpoint, or not in these formats, or the folder is not empty or can't be
            written.
        ConfigError: The checkpoint's `config.json` is not legal, or says itself what `num_steps` is; or there
            is no such format.
    """
    places = list(places_of(formats).values())
    out = named_path(out)
    if exists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise CheckpointError(
            f"{out} is not an empty folder", hint="give a folder that does not exist yet", code="not_empty"
        )
    with progress(quiet):
        found = resolve(repo_id, loading)
        if found.num_steps is not None:
            what = "a copy of a checkpoint has the num_steps of its config.json"
            raise ConfigError(what, hint=f"from_pretrained({str(out)!r}, num_steps={found.num_steps})")
        config = read_config(found)
        repo_id, _ = split_revision(repo_id, loading.revision)
        card = _card_beside(found, repo_id, loading)
        beside = _bring_beside(found, repo_id, loading, places) if places else {}
    text = card if card is not None else str(make_card(config, repo_id if "/" in repo_id else None))
    try:
        out.mkdir(parents=True, exist_ok=True)
        # The configuration comes last: a folder without it is no checkpoint to anybody.
        write_together({out / CARD_FILE: text})
        for source, name in (*beside.items(), (found.weights, WEIGHTS_FILE), (found.config, CONFIG_FILE)):
            (out / name).parent.mkdir(exist_ok=True)
            with replacing(out / name) as part:
                shutil.copyfile(source, part)
    except OSError as error:
        raise CheckpointError(
            f"{out} can't be written: {error.strerror}", hint="choose another folder", code="unwritable"
        ) from error
    return out


def _card_beside(found: Checkpoint, repo_id: str, loading: Loading) -> str | None:
    """The card of a checkpoint on this disk; where it lies in the Hub's cache, that of its commit."""
    folder = found.config.parent
    if (card := read_card(folder / CARD_FILE)) is not None:
        return card
    commit, inside = _in_cache(folder)
    if commit is None:
        return None
    cache, name = RepoCache.of(repo_id, loading.cache_dir), "/".join((*inside, CARD_FILE))
    if loading.local_files_only:
        return read_card(cache.pointer(commit, name))
    with explained(_getting("the card", repo_id, loading)), hiding(loading.token):
        try:
            path = cache.bring(commit, name, Listed(), repo_id, token=loading.token)
        except _NO_CARD as error:
            # The checkpoint itself is there; a card can be made of its configuration.
            logger.info("no card of %s: %s", repo_id, type(error).__name__)
            return None
    return read_card(path)


def _bring_beside(found: Checkpoint, repo_id: str, loading: Loading, places: list[str]) -> dict[Path, str]:
    """The files of other formats beside a checkpoint: where each lies on this disk -> its place."""
    commit, inside = _in_cache(found.config.parent)
    if commit is None or inside:
        raise CheckpointError(
            f"{visible(repo_id)} has no other formats beside it: it is no repository of this library",
            hint="`snn-voice export` writes them",
            code="no_format",
        )
    with explained(_getting("other formats", repo_id, loading)), hiding(loading.token):
        there = list_repository(repo_id, repo_id, revision=commit, token=loading.token)
        if missing := [place for place in places if place not in there.files]:
            others = ", ".join(name for name, place in FORMATS.items() if place in there.files) or "none"
            raise CheckpointError(
                f"{repo_id} has no {', '.join(missing)}",
                hint=f"formats there: {others}; `snn-voice export` writes all",
                code="no_format",
            )
        cache = RepoCache.of(repo_id, loading.cache_dir)
        return {
            cache.bring(commit, place, there.files[place], repo_id, token=loading.token): place
            for place in places
        }


def _getting(what: str, repo_id: str, loading: Loading) -> Talk:
    doing, place = f"downloading {what} of", loading.cache_dir or constants.HF_HUB_CACHE
    return Talk(doing=doing, repo_id=repo_id, where=repo_id, folder=place, begun=True)


def _in_cache(folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """The commit that a folder of the Hub's cache is of, and where in it; None where it is none of it."""
    parts = folder.parts
    at = max((i for i, part in enumerate(parts) if part == "snapshots"), default=len(parts))
    commit = "".join(parts[at + 1 : at + 2])
    return (commit, parts[at + 2 :]) if COMMIT.fullmatch(commit) else (None, ())
