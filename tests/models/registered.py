"""The table of architectures, given back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from snn_voice_hub.registry import ARCHITECTURES


@contextmanager
def registry_as_before() -> Iterator[None]:
    """What is registered meanwhile is forgotten afterwards, and what was there is there again."""
    before = dict(ARCHITECTURES)
    yield
    ARCHITECTURES.clear()
    ARCHITECTURES.update(before)
