"""The optional dependencies of the commands of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from snn_voice_hub import MissingExtraError

_EXTRA = ("fastapi", "starlette", "pydantic", "uvicorn", "python_multipart")


@contextmanager
def serve_extra(what: str) -> Iterator[None]:
    """Around imports that need the extra.

    Args:
        what: What needs it, for the message.

    Raises:
        MissingExtraError: One of its packages is not installed.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise MissingExtraError(
            f"{what} needs fastapi, uvicorn and python-multipart",
            hint='pip install "snn-voice-hub[serve]"',
        ) from error
