"""What the Hub is asked and what it answers: bounded in bytes and in time, and the token stays here.

The Hub client reads an answer to its end, however long that is, and what a server says goes into its errors
and its log as it stands. So what is loaded is asked for here, through the client's session with its proxies
and certificates.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import unquote

from huggingface_hub import constants, get_token
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    get_session,
    hf_raise_for_status,
)
from snn_voice_lite.visible import visible

from snn_voice_hub.config import LIBRARY_NAME
from snn_voice_hub.errors import CheckpointError, SnnVoiceError
from snn_voice_hub.hub.remote.refusals import NO_ANSWER, PATIENCE

T = TypeVar("T")

# Of JSON, which takes up to 25 times as much memory; a listing has 200 bytes a file.
MAX_ANSWER = 8 << 20
# Of a text that goes with a checkpoint: config.json, README.md.
MAX_TEXT = 4 << 20
_MOST_REDIRECTS = 10
# Seconds without a byte, and of an answer, when the Hub client asks; a commit of many files takes some.
SILENCE = 60.0
# Seconds of a `Retry-After` that are waited for in a push.
_LONGEST_WAIT = 60
# What an error is made of; the rest of what a server says with one is not looked at.
_TOLD = ("X-Error-Code", "X-Error-Message", "Retry-After", "ratelimit")
# Those that log what they send and get.
_LOGGERS = re.compile(r"(huggingface_hub|httpx2?|httpcore2?)(\..*)?")
_HIDDEN = "***"


def secret_of(token: str | bool | None) -> str | None:
    """The token that is sent; None where none is.

    Raises:
        CheckpointError: No token looks like that; what is sent with it would be an error that shows it.
    """
    secret = token if isinstance(token, str) else None if token is False else get_token()
    if secret is not None and not re.fullmatch(r"[!-~]+", secret):
        raise CheckpointError(
            "the Hub token is empty, or holds spaces, line ends or letters that no token has",
            hint="hf auth login, or another token",
            code="no_access",
        )
    return secret


def redacted(text: str, secret: str | None) -> str:
    """A text without the token."""
    return text.replace(secret, _HIDDEN) if secret else text


def shows(error: BaseException, secret: str | None) -> bool:
    """Whether the traceback of an error, or of what caused it, would show the token."""
    return secret is not None and secret in "".join(traceback.format_exception(error))


@contextmanager
def hiding(token: str | bool | None) -> Iterator[None]:
    """Around what talks to the Hub: no error of ours, nor what caused it, nor the log shows the token.

    Args:
        token: Hub token.
    """
    secret = secret_of(token)
    try:
        with _discreet(secret):
            yield
    except CheckpointError as error:
        if not shows(error, secret):
            raise
        message, hint = redacted(error.message, secret), redacted(error.hint, secret)
        raise CheckpointError(message, hint=hint, code=error.code) from None


def odd_answer(where: str, what: str) -> CheckpointError:
    """What to say of an answer that no Hub gives."""
    return CheckpointError(
        f"the Hub's answer about {where} is refused: {what}",
        hint=f"is {constants.ENDPOINT} a Hub? HF_ENDPOINT chooses it",
        code="bad_answer",
    )


class Meter:
    """How much of an answer has come, and whether anybody still waits for it.

    Args:
        patience: Seconds that it may take in any case.
        slowest: Bytes a second that have to come in all else; None where there is no more time.
    """

    def __init__(self, patience: float, slowest: float | None = None) -> None:
        self._patience, self._slowest = patience, slowest
        self._began = time.monotonic()
        self.count = 0
        self.given_up = False

    def add(self, count: int) -> None:
        """So many bytes have come.

        Raises:
            TimeoutError: Nobody waits for them any more.
        """
        if self.given_up:
            raise TimeoutError
        self.count += count

    def left(self) -> float:
        """Seconds until it is too late."""
        more = self.count / self._slowest if self._slowest else 0.0
        return self._began + self._patience + more - time.monotonic()


def attend(work: Callable[[Meter], T], meter: Meter, where: str) -> T:
    """The result of a conversation with the Hub, or its error.

    It goes on in a thread of its own: the HTTP client's limits are one for each address of a server and for
    each piece of an answer, and a server can have many of both.

    Args:
        work: The conversation; it has to tell the meter what comes.
        meter: Says when it is too late.
        where: How messages name what it is about.

    Raises:
        CheckpointError: What came can't be made sense of.
        TimeoutError: It takes too long.
    """
    ended: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put((work(meter), None))
        except Exception as error:
            ended.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        while (left := meter.left()) > 0:
            try:
                result, error = ended.get(timeout=min(left, 1.0))
            except queue.Empty:
                continue
            if error is None:
                return result  # type: ignore[return-value]
            if not isinstance(error, (OSError, SnnVoiceError, *NO_ANSWER)):
                raise odd_answer(where, type(error).__name__) from error
            raise error
        raise TimeoutError(f"{meter.count:,} bytes came in time")
    finally:
        meter.given_up = True


@contextmanager
def _discreet(secret: str | None) -> Iterator[None]:
    """Keep the token out of the HTTP client's log, which shows what a server sends back."""

    def hide(record: logging.LogRecord) -> bool:
        with suppress(TypeError, ValueError):  # a record whose arguments don't fit is its handler's affair
            message = record.getMessage()
            if secret and secret in message:
                record.msg, record.args = redacted(message, secret), ()
        return True

    found = [
        logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if _LOGGERS.fullmatch(name)
    ]
    for logger in found:
        logger.addFilter(hide)
    try:
        yield
    finally:
        for logger in found:
            logger.removeFilter(hide)


@contextmanager
def opened(
    url: str,
    where: str,
    *,
    token: str | bool | None,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    accept: Callable[[Any], None] = lambda response: None,
) -> Iterator[Any]:
    """The answer to a GET, of which nothing has been read but its headers.

    Args:
        url: What is wanted.
        where: How messages name it.
        token: Hub token; it is not sent on to other servers.
        headers: More of them.
        params: Of the URL.
        accept: Looks at each answer on the way, redirections too; raises where one is not acceptable.

    Raises:
        CheckpointError: A redirection that is not followed, or an answer in another encoding than asked for.
        HfHubHTTPError: The Hub refuses; without what it says beyond its error's code and message.
    """
    secret = secret_of(token)
    client = get_session()
    sent = {
        **build_hf_headers(token=token, library_name=LIBRARY_NAME),
        # Unpacked, a short answer can be a thousand times as long.
        "Accept-Encoding": "identity",
        **(headers or {}),
    }
    request = client.build_request("GET", url, params=params, headers=sent, timeout=PATIENCE)
    for _ in range(_MOST_REDIRECTS):
        # The client would read what comes with a redirection.
        response = client.send(request, stream=True, follow_redirects=False)
        try:
            accept(response)
            if response.next_request is None:
                _raise_for(response, secret)
                if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
                    raise odd_answer(where, "it is packed, which was not asked for")
                yield response
                return
            _check_redirect(response, where, secret)
        finally:
            response.close()
        request = response.next_request
    raise odd_answer(where, f"more than {_MOST_REDIRECTS} redirections")


def _check_redirect(response: Any, where: str, secret: str | None) -> None:
    old, new = response.request.url, response.next_request.url
    if secret and secret in unquote(str(new)):
        raise odd_answer(where, "a redirection has the token in its address")
    if new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
        raise odd_answer(where, f"a redirection to {visible(new.scheme)}: in place of {old.scheme}:")


def _raise_for(response: Any, secret: str | None) -> None:
    """Raise the client's error for a refusal; what it holds shows no token."""
    if response.status_code in (200, 206):
        return
    kind, request = type(response), response.request
    told = {name: redacted(response.headers[name], secret) for name in _TOLD if name in response.headers}
    bare = type(request)(request.method, request.url)
    hf_raise_for_status(kind(response.status_code, headers=told, request=bare))
    raise odd_answer(visible(request.url), f"status {response.status_code}")


def ask(
    url: str,
    where: str,
    *,
    token: str | bool | None,
    params: Mapping[str, str] | None = None,
    most: int = MAX_TEXT,
) -> bytes:
    """What the Hub answers, whole.

    Args:
        url: What is wanted.
        where: How messages name it.
        token: Hub token.
        params: Of the URL.
        most: Bytes.

    Raises:
        CheckpointError: The answer is too long, or none of a Hub.
        HfHubHTTPError: The Hub refuses.
        TimeoutError: It takes too long.
    """

    def read(meter: Meter) -> bytes:
        got = bytearray()
        with opened(url, where, token=token, params=params) as response:
            for part in response.iter_raw():
                meter.add(len(part))
                got += part
                if len(got) > most:
                    raise odd_answer(where, f"it is longer than {most >> 20} MiB")
        return bytes(got)

    return attend(read, Meter(PATIENCE), where)


def ask_json(
    url: str, where: str, *, token: str | bool | None, params: Mapping[str, str] | None = None
) -> object:
    """What the Hub answers in JSON; see `ask`."""
    answer = ask(url, where, token=token, params=params, most=MAX_ANSWER)
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        # Not `from` the error: it holds the answer, and that may hold the token.
        raise odd_answer(where, "it is no JSON") from None


@contextmanager
def bounded(where: str) -> Iterator[None]:
    """Around what the Hub client asks by itself: neither endless answers nor endless silence.

    The client sets no limits, and waits as long as a `Retry-After` says. Its session is that of the process,
    so this looks at the requests of others too, who ask meanwhile; their answers are no longer on a Hub.

    Args:
        where: How messages name what it is about.
    """

    def api(request: Any) -> bool:
        path: str = request.url.path
        return path.startswith("/api/") or path.endswith("/info/lfs/objects/batch")

    def prepared(request: Any) -> None:
        # Of each packet that is sent or received; uploads go to other addresses than the API's.
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), SILENCE)
        if api(request):
            request.headers["Accept-Encoding"] = "identity"

    def measured(response: Any) -> None:
        wait = response.headers.get("Retry-After", "")
        if response.status_code == 429 and wait.isdecimal() and int(wait) > _LONGEST_WAIT:
            hf_raise_for_status(response)
        if not api(response.request):
            return
        began = time.monotonic()
        if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise odd_answer(where, "it is packed, which was not asked for")
        pieces, close = iter(response.stream), response.stream.close
        kind = next(base for base in type(response.stream).__mro__ if base.__name__ == "SyncByteStream")

        class Measured(kind):  # type: ignore[misc, valid-type]
            def __iter__(self) -> Iterator[bytes]:
                count = 0
                for piece in pieces:
                    count += len(piece)
                    if count > MAX_ANSWER:
                        raise odd_answer(where, f"it is longer than {MAX_ANSWER >> 20} MiB")
                    if time.monotonic() - began > SILENCE:
                        raise TimeoutError(f"{count:,} bytes came in time")
                    yield piece

            def close(self) -> None:
                close()

        response.stream = Measured()

    hooks = get_session().event_hooks
    hooks["request"].append(prepared)
    hooks["response"].append(measured)
    try:
        yield
    finally:
        hooks["request"].remove(prepared)
        hooks["response"].remove(measured)
