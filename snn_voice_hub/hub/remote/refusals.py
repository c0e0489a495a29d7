"""What surrounds a conversation with the Hub: progress bars, and its refusals in one line each."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from snn_voice_lite.visible import visible

from snn_voice_hub.errors import CheckpointError

# Seconds until a Hub that does not answer counts as out of reach.
PATIENCE = 8.0
# What the client's HTTP library raises where there is no answer: httpx or httpx2, by the client's version.
NO_ANSWER: tuple[type[Exception], ...] = (
    *(cls for cls in HfHubHTTPError.__bases__ if issubclass(cls, Exception) and cls is not OSError),
    *(ConnectionError, TimeoutError),
)


@contextmanager
def progress(quiet: bool) -> Iterator[None]:
    """Switch the client's progress bars off for a while; they are a setting of the whole process."""
    if not quiet or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@dataclass(frozen=True, kw_only=True)
class Talk:
    """A conversation with the Hub, as far as its refusals are told of.

    Attributes:
        doing: What is done, before the name: "downloading", "searching", "pushing to".
        repo_id: `owner/name`; "" for the Hub as a whole.
        where: How messages name it, where not by `repo_id`.
        revision: Branch, tag or commit.
        folder: Where files are written.
        begun: Whether the Hub has answered before: then no answer is one that broke off.
        writes: Whether the Hub is to change something.
        create_pr: Whether that is done by a pull request.
    """

    doing: str
    repo_id: str = ""
    where: str = ""
    revision: str | None = None
    folder: str | Path = ""
    begun: bool = False
    writes: bool = False
    create_pr: bool = False

    def __str__(self) -> str:
        """What is done, and with what."""
        return f"{self.doing} {self.where or self.repo_id or 'the Hub'}"

    @property
    def code(self) -> str:
        """Of an error that has no code of its own."""
        return "upload" if self.writes else "download"


@contextmanager
def explained(talk: Talk) -> Iterator[None]:
    """Turn what the client raises into one line that says what to do."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        said = _told(error, talk)
        if said is None:
            raise
        raise said from error


def refused(error: Exception) -> bool:
    """Whether the Hub has said no; otherwise what was asked for may have been done all the same."""
    return isinstance(error, CheckpointError) or (
        isinstance(error, HfHubHTTPError) and error.response.status_code < 500
    )


def _told(error: Exception, talk: Talk) -> CheckpointError | None:
    """What to say of an error; None where it is none of the Hub's."""
    match error:
        case GatedRepoError():
            terms = f"accept its terms at {constants.ENDPOINT}/{talk.repo_id}, then log in: hf auth login"
            return CheckpointError(f"{talk.repo_id} is gated", hint=terms, code="gated")
        case RevisionNotFoundError():
            message = f"{talk.repo_id} has no revision {visible(repr(talk.revision))}"
            return CheckpointError(message, hint="a branch, a tag or a commit", code="no_revision")
        case RepositoryNotFoundError():
            return CheckpointError(
                f"no repository {talk.repo_id} on the Hub, or no access to it",
                hint="a private repository looks the same: check the spelling, or log in with hf auth login",
                code="no_repository",
            )
        case EntryNotFoundError():
            message = f"{talk.where or talk.repo_id}: a file that the Hub lists is not there"
            return CheckpointError(message, hint="try again", code=talk.code)
        case HfHubHTTPError():
            return _refused(error, talk)
        case HFValidationError():
            name = visible(repr(talk.repo_id))
            return CheckpointError(f"{name} is no legal repository id", hint="owner/name")
        case OfflineModeIsEnabled():
            message = f"{talk} needs the network, and HF_HUB_OFFLINE is set"
            return CheckpointError(message, hint="unset it", code="offline")
        case _ if isinstance(error, NO_ANSWER) and talk.begun:
            return CheckpointError(
                f"{talk} broke off", hint="check the network, and try again", code=talk.code
            )
        case _ if isinstance(error, NO_ANSWER):
            return CheckpointError(
                f"{talk} failed: the Hub ({constants.ENDPOINT}) can't be reached",
                hint="check the network, HF_ENDPOINT and proxies",
                code="offline",
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT) if talk.folder:
            return CheckpointError(
                f"the disk is full: {talk.where} does not fit into {talk.folder}",
                hint="make room, or choose another disk with cache_dir= or HF_HOME",
                code="disk_full",
            )
        case OSError():
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            message = f"{talk} failed: {lines[0] if lines else type(error).__name__}"
            return CheckpointError(message, hint="try again", code=talk.code)
        case RuntimeError(__cause__=Exception() as cause) if type(error) is RuntimeError and talk.writes:
            return _not_uploaded(error, cause, talk)
    return _client_told(error, talk) if talk.writes else None


def _not_uploaded(error: Exception, cause: Exception, talk: Talk) -> CheckpointError | None:
    """What to say of a large file that has not arrived: the client names it, and not what was wrong."""
    if not isinstance(cause, HfHubHTTPError) or cause.response.status_code == 429:
        return _told(cause, talk)
    message = f"{talk} failed: {str(error).rstrip('.')} (status {cause.response.status_code})"
    return CheckpointError(message, hint="push again; nothing of it is there yet", code=talk.code)


def _client_told(error: Exception, talk: Talk) -> CheckpointError | None:
    """What to say where the client itself reads the Hub's answers, and looks at what it sends."""
    match error:
        # Of answers in another form than the Hub's.
        case (
            json.JSONDecodeError()
            | UnicodeDecodeError()
            | KeyError()
            | TypeError()
            | AttributeError()
            | IndexError()
            | RecursionError()
        ):
            return _none_of_a_hub(type(error).__name__, talk)
        case ValueError() if "README.md" not in str(error):
            return _none_of_a_hub(" ".join(str(error).split()), talk)
        case ValueError():
            # It validates the card with the Hub before it uploads anything.
            message = f"{talk} failed: {' '.join(str(error).split())}"
            return CheckpointError(message, hint="mend README.md", code="bad_card")
    return None


def _none_of_a_hub(what: str, talk: Talk) -> CheckpointError:
    return CheckpointError(
        f"{talk} failed: the answer is none of a Hub ({what})",
        hint=f"is {constants.ENDPOINT} one? HF_ENDPOINT chooses it",
        code="bad_answer",
    )


def _refused(error: HfHubHTTPError, talk: Talk) -> CheckpointError:
    status = error.response.status_code
    if status == 429:
        wait = _seconds(error)
        hint = f"try again in {wait} s" if wait else "try again in some minutes"
        return CheckpointError(f"the Hub asks to slow down ({talk})", hint=hint, code="rate_limit")
    if talk.writes and status < 500:
        return _not_written(error, talk)
    if status in (401, 403):
        return CheckpointError(
            f"the Hub refuses access to {talk.where or 'it'} (status {status})",
            hint="the token may be wrong or lack the right to read: hf auth login",
            code="no_access",
        )
    message = f"{talk} failed: the Hub answers with status {status}"
    return CheckpointError(message, hint="try again later", code=talk.code)


def _not_written(error: HfHubHTTPError, talk: Talk) -> CheckpointError:
    status = error.response.status_code
    if status == 401:
        hint = "hf auth login, or another token"
        return CheckpointError("the Hub does not take the token", hint=hint, code="not_logged_in")
    if status == 403:
        owner = talk.repo_id.rpartition("/")[0]
        other = "" if talk.create_pr else ", or a pull request (create_pr, --create-pr)"
        return CheckpointError(
            f"no right to write to {talk.repo_id}",
            hint=f"a token that may write{f' for {owner}' if owner else ''}: hf auth login{other}",
            code="no_access",
        )
    if status in (409, 412):
        message = f"{talk.repo_id} was changed by someone else in the meantime"
        return CheckpointError(message, hint="push again", code="conflict")
    said = " ".join((error.server_message or "").split())
    return CheckpointError(
        f"{talk} failed: {said or f'the Hub answers with status {status}'}",
        hint="change what the Hub objects to" if said else "check name, branch and files",
        code="bad_request",
    )


def _seconds(error: HfHubHTTPError) -> str:
    """How long to wait, by `Retry-After` or by the Hub's own `ratelimit` header."""
    headers = error.response.headers
    wait = headers.get("Retry-After", "")
    if wait.isdecimal():
        return str(wait)
    found = re.search(r"\bt=(\d+)", headers.get("ratelimit", ""))
    return found[1] if found else ""
