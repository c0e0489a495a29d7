"""The exceptions that users see; those of this package and of `snn_voice_lite` are one family."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager

from snn_voice_lite.errors import (
    AudioError,
    CheckpointError,
    ConfigError,
    MissingExtraError,
    SnnVoiceError,
    needs_packages,
)

from snn_voice_hub.install import extra_hint

__all__ = [
    "AudioError",
    "CheckpointError",
    "ConfigError",
    "MissingExtraError",
    "SnnVoiceError",
    "needs_extra",
]


def needs_extra(what: str, extra: str, needs: str, packages: Collection[str]) -> AbstractContextManager[None]:
    """Around imports that need an extra.

    Args:
        what: What needs it, for the message.
        extra: The extra's name.
        needs: Its packages in words, for the message.
        packages: The modules whose absence means that it is not installed.

    Raises:
        MissingExtraError: One of the modules is not there.
    """
    return needs_packages(what, needs, packages, extra_hint(extra))
