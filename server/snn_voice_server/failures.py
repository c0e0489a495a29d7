"""What can become of a request besides an answer; `code` decides the status (see `errors`)."""

from __future__ import annotations

from typing import Self

from snn_voice_hub.errors import SnnVoiceError


class RequestError(SnnVoiceError):
    """A request that can't be answered as it is."""

    code = "bad_request"


class Unauthorized(SnnVoiceError):
    """No key, or one that is not known."""

    code = "unauthorized"


class UnknownModel(SnnVoiceError):
    """A request names a model that is not served."""

    code = "unknown_model"


class HungUp(Exception):  # no error: nobody is there to be told
    """The client has closed the connection."""


class Refused(SnnVoiceError):
    """There is no room for a request now.

    Attributes:
        retry_after: In how many seconds there will be, by what was measured.
    """

    retry_after: int = 1

    @classmethod
    def _after(cls, message: str, seconds: int) -> Self:
        error = cls(message, hint=f"send it again in {seconds} s")
        error.retry_after = seconds
        return error


class Busy(Refused):
    """The service is full."""

    code = "busy"

    @classmethod
    def full(cls, windows: int, seconds: int) -> Self:
        """The queue of so many windows is full."""
        return cls._after(f"the service is busy: its queue of {windows} windows is full", seconds)

    @classmethod
    def of_memory(cls, megabytes: float, seconds: int = 1) -> Self:
        """Request bodies of so many megabytes are being read or wait."""
        return cls._after(f"the service is busy: it holds {megabytes:g} MB of requests", seconds)

    @classmethod
    def of_streams(cls, count: int, seconds: int = 5) -> Self:
        """So many streams are open."""
        return cls._after(f"the service is busy: it listens to {count} streams", seconds)


class OverShare(Refused):
    """One caller has as much in the queue as it may."""

    code = "over_share"

    @classmethod
    def of(cls, windows: int, seconds: int) -> Self:
        """The caller may hold so many windows."""
        return cls._after(f"your requests hold your share of the queue, {windows} windows", seconds)

    @classmethod
    def of_streams(cls, count: int, seconds: int = 5) -> Self:
        """The caller may have so many streams open."""
        return cls._after(f"you have your share of the open streams, {count}", seconds)


class Stopped(Refused):
    """The service, or this copy of the model, ends."""

    code = "stopping"

    @classmethod
    def now(cls) -> Self:
        """Nothing more is computed."""
        return cls._after("the service is stopping", 1)


class NotReady(Refused):
    """No answers now, for the reason in the message."""

    code = "not_ready"

    @classmethod
    def because(cls, why: str, seconds: int = 1) -> Self:
        """Say why."""
        return cls._after(why, seconds)


class DeadlineExceeded(SnnVoiceError):
    """A request took longer than it may."""

    code = "deadline"

    @classmethod
    def after(cls, seconds: float) -> Self:
        """It was given up after so many seconds."""
        return cls(
            f"no answer within the deadline: given up after {seconds:.2f} s",
            hint="send it again, or less sound",
        )


class ModelFailure(SnnVoiceError):
    """The model raised on this very request; the log says what."""

    code = "internal"


class OutOfMemory(Refused):
    """The device has no memory for a batch."""

    code = "out_of_memory"


def shown(value: object, limit: int = 60) -> str:
    """What a client sent, as it may stand in a message: short, and printable whatever it was."""
    text = ascii(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
