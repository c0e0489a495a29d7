"""The exceptions that users see: one family, each with a way out.

Every message says what was wrong; `hint`, where there is one, says what would be right. `code` is a
short stable word for programs (the service puts it into its JSON answers).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from snn_voice_lite.visible import LINE_LIMIT, visible


class SnnVoiceError(Exception):
    """Base class of every error that this package raises on purpose.

    What a message holds of others' text (labels, names of files) is made visible: it stands on one line, is
    printable and bounded in length.

    Attributes:
        code: Short stable identifier, for programs.
        hint: What to do about it; empty where the message says it all.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        self.message = visible(message, LINE_LIMIT)
        self.hint = visible(hint, LINE_LIMIT)
        super().__init__(self.message)
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call the class with `args` alone and lose the keyword-only parts.
        return (_rebuild, (type(self), self.message, self.hint, self.code))


def _rebuild(cls: type[SnnVoiceError], message: str, hint: str, code: str) -> SnnVoiceError:
    return cls(message, hint=hint, code=code)


class AudioError(SnnVoiceError, ValueError):
    """Sound that can't be used: not audio, empty, truncated, too long, not finite, of a wrong shape."""

    code = "bad_audio"


class ConfigError(SnnVoiceError, ValueError):
    """A configuration value that is not legal; the message names the field and the legal values."""

    code = "bad_config"


class CheckpointError(SnnVoiceError):
    """A checkpoint that can't be found, read or matched with the network."""

    code = "bad_checkpoint"


class MissingExtraError(SnnVoiceError, ImportError):
    """An optional dependency is not installed; the hint names the extra that brings it."""

    code = "missing_extra"


@contextmanager
def needs_packages(what: str, needs: str, packages: Collection[str], hint: str) -> Iterator[None]:
    """Around imports that need an extra.

    Args:
        what: What needs it, for the message.
        needs: Its packages in words, for the message.
        packages: The modules whose absence means that it is not installed.
        hint: How to get them.

    Raises:
        MissingExtraError: One of the modules is not there.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        raise MissingExtraError(f"{what} needs {needs}", hint=hint) from error
