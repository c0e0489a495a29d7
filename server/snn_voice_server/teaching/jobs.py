"""A training that a client has asked for."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_server.teaching.progress import TeachProgress

State = Literal["running", "done", "failed", "cancelled"]


@dataclass(eq=False)
class Training:
    """A training, while it runs and after it.

    Attributes:
        name: What its model is called.
        words: What it learns.
        counts: Clips of each word; none where only synthesisers say them.
        synthetic: Whether synthesisers say them.
        key: Who asked for it.
        folder: Where its clips and its model are.
        said: How synthesisers say some of the words.
        identifier: Its own.
        progress: What it tells.
        complaints: The newest lines of its stderr.
        state: What became of it.
        error: Why it failed.
        begun: A time of `time.monotonic`.
        ended: The same, or None.
        unwanted: Whether it is to end.
    """

    name: str
    words: list[str]
    counts: Counter[str]
    synthetic: bool
    key: str
    folder: Path
    said: Mapping[str, str] = field(default_factory=dict)
    identifier: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    complaints: deque[str] = field(default_factory=lambda: deque(maxlen=50))
    state: State = "running"
    error: SnnVoiceError | None = None
    begun: float = field(default_factory=time.monotonic)
    ended: float | None = None
    unwanted: bool = False

    def __post_init__(self) -> None:
        self.progress = TeachProgress(self.folder)

    @property
    def clips(self) -> Path:
        """The folder of its clips."""
        return self.folder / "_clips"

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return (self.ended or time.monotonic()) - self.begun

    def end(self, state: State, error: SnnVoiceError | None = None) -> None:
        """It is over."""
        self.state, self.error, self.ended = state, error, time.monotonic()
