"""Misbehaviour on demand: which answers are to go wrong, how, and how often."""

from __future__ import annotations

import threading
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["status", "stall", "cut", "wrong_length", "wrong_bytes"]

# These spoil a body, and a HEAD request is answered without one.
_OF_THE_BODY = ("cut", "wrong_length", "wrong_bytes")


class Fault(BaseModel):
    """One way in which answers go wrong.

    Attributes:
        kind: `status`: an error in place of the answer. `stall`: a pause. `cut`: the connection ends in the
            body. `wrong_length`: the answer is complete, but shorter than the file. `wrong_bytes`: one byte
            of the body is another one.
        path: Shell pattern for the decoded path of a request; `*` goes over slashes.
        method: Only requests of this method. Without it all, except that faults of a body leave HEAD alone.
        skip: So many matching requests are answered properly first.
        times: So many matching requests then go wrong; None for all.
        bytes: `cut` and `stall`: after so many bytes of the body; a stall without it comes before the answer.
            `wrong_length`: so many bytes are missing. `wrong_bytes`: which byte.
        seconds: Length of a stall.
        status: Status of an error.
        message: Its `X-Error-Message`; the default depends on the status.
        error_code: Its `X-Error-Code`, such as `RepoNotFound`, `RevisionNotFound`, `EntryNotFound` or
            `GatedRepo`.
        retry_after: Seconds for its `Retry-After`.
        hits: How many requests went wrong by it.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    path: str = "*"
    method: str | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    times: Annotated[int, Field(ge=1)] | None = 1
    bytes: Annotated[int, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0, le=3600)] = 5.0
    status: Annotated[int, Field(ge=400, le=599)] = 500
    message: str | None = None
    error_code: str = ""
    retry_after: Annotated[int, Field(ge=0)] | None = None
    hits: int = 0

    @model_validator(mode="after")
    def _check(self) -> Fault:
        if self.kind == "cut" and self.bytes is None:
            raise ValueError("a cut needs `bytes`: after how many of them the connection ends")
        return self

    def matches(self, method: str, path: str) -> bool:
        """Whether this fault is meant for such a request.

        Args:
            method: Its method.
            path: Its decoded path.

        Returns:
            Whether it is.
        """
        if self.method is None:
            of_the_body = self.kind in _OF_THE_BODY or (self.kind == "stall" and self.bytes is not None)
            fits = not (method == "HEAD" and of_the_body)
        else:
            fits = method == self.method.upper()
        return fits and fnmatchcase(path, self.path)

    def error(self) -> tuple[str, dict[str, str]]:
        """Message and headers of a `status` fault."""
        message = self.message
        if message is None:
            try:
                message = HTTPStatus(self.status).phrase
            except ValueError:
                message = "Error"
            if self.status == 401 and not self.error_code:
                message = "Invalid credentials in Authorization header"
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return message, headers


class Faults:
    """The faults that are switched on; safe to change from any thread while the Hub runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, kind: Kind, path: str = "*", **settings: Any) -> Fault:
        """Switch a fault on.

        Args:
            kind: How answers are to go wrong.
            path: Shell pattern for the paths of the requests.
            **settings: The other attributes of `Fault`.

        Returns:
            The fault; its `hits` counts on.

        Raises:
            ValidationError: A setting is not legal.
        """
        fault = Fault(kind=kind, path=path, **settings)
        self.put(fault)
        return fault

    def put(self, fault: Fault) -> None:
        """Switch a fault on."""
        with self._lock:
            self._faults.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """The fault of a request, which is thereby used once; the one that was switched on first wins.

        Args:
            method: Method of the request.
            path: Its decoded path.

        Returns:
            The fault, or None where the request is to be answered properly.
        """
        with self._lock:
            for fault in self._faults:
                if not fault.matches(method, path):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.times is None or fault.hits < fault.times:
                    fault.hits += 1
                    return fault
        return None

    def all(self) -> list[Fault]:
        """All that were switched on, the used-up ones too."""
        with self._lock:
            return list(self._faults)

    def clear(self) -> None:
        """Switch all off."""
        with self._lock:
            self._faults.clear()
