"""What surrounds a conversation with the Hub: progress bars, and its refusals in one line each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

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


@contextmanager
def explained(repo_id: str, doing: str, *, create_pr: bool = False) -> Iterator[None]:
    """Turn what the client raises into one line that says what to do."""
    where = f"{doing} {repo_id or 'the Hub'}"
    try:
        yield
    except CheckpointError:
        raise
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{repo_id} has no such branch or pull request", hint="check the name", code="no_revision"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"no repository {repo_id} on the Hub, or no access to it",
            hint="check the spelling and the account: hf auth whoami",
            code="no_repository",
        ) from error
    except HfHubHTTPError as error:
        raise _refused(error, repo_id, where, create_pr) from error
    except OfflineModeIsEnabled as error:
        raise CheckpointError(
            f"{where} needs the network, and HF_HUB_OFFLINE is set", hint="unset it", code="offline"
        ) from error
    except NO_ANSWER as error:
        raise CheckpointError(
            f"{where} failed: the Hub ({constants.ENDPOINT}) can't be reached",
            hint="check the network, HF_ENDPOINT and proxies",
            code="offline",
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        # What the client raises of answers in another form than the Hub's.
        raise CheckpointError(
            f"{where} failed: the answer is none of a Hub ({type(error).__name__})",
            hint=f"is {constants.ENDPOINT} one? HF_ENDPOINT chooses it",
            code="bad_answer",
        ) from error
    except ValueError as error:
        # The client validates the card with the Hub before it uploads anything.
        raise CheckpointError(
            f"{where} failed: {' '.join(str(error).split())}", hint="mend README.md", code="bad_card"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{where} failed: {' '.join(str(error).split())}", hint="try again", code="upload"
        ) from error


def _refused(error: HfHubHTTPError, repo_id: str, where: str, create_pr: bool) -> CheckpointError:
    status = error.response.status_code
    said = " ".join((error.server_message or "").split())
    if status == 401:
        return CheckpointError(
            "the Hub does not take the token", hint="hf auth login, or another token", code="not_logged_in"
        )
    if status == 403:
        owner = repo_id.rpartition("/")[0]
        other = "" if create_pr else ", or a pull request (create_pr, --create-pr)"
        return CheckpointError(
            f"no right to write to {repo_id}",
            hint=f"a token that may write{f' for {owner}' if owner else ''}: hf auth login{other}",
            code="no_access",
        )
    if status in (409, 412):
        return CheckpointError(
            f"{repo_id} was changed by someone else in the meantime", hint="push again", code="conflict"
        )
    if status == 429:
        return slow_down(error, where)
    if status < 500:
        return CheckpointError(
            f"{where} failed: {said or f'the Hub answers with status {status}'}",
            hint="change what the Hub objects to" if said else "check name, branch and files",
            code="bad_request",
        )
    return CheckpointError(
        f"{where} failed: the Hub answers with status {status}", hint="try again later", code="upload"
    )


def slow_down(error: HfHubHTTPError, where: str) -> CheckpointError:
    """What to say of a 429."""
    wait = _seconds(error)
    return CheckpointError(
        f"the Hub asks to slow down ({where})",
        hint=f"try again in {wait} s" if wait else "try again in some minutes",
        code="rate_limit",
    )


def _seconds(error: HfHubHTTPError) -> str:
    """How long to wait, by `Retry-After` or by the Hub's own `ratelimit` header."""
    headers = error.response.headers
    wait = headers.get("Retry-After", "")
    if wait.isdecimal():
        return str(wait)
    found = re.search(r"\bt=(\d+)", headers.get("ratelimit", ""))
    return found[1] if found else ""
