"""What the service needs of the models that it serves, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_server.models.compute import Recorded
from snn_voice_server.queue.batching import Outcome

R = TypeVar("R")


class Place(Protocol[R]):
    """A place in a queue; see `batching.Ticket`."""

    async def run(self, windows: Sequence[Tensor], seconds: float = 0.0) -> Outcome[R]:
        """A row for each window: of logits, or what was recorded."""


class Servable(Protocol):
    """A model that is served; see `library.Entry`."""

    name: str

    @property
    def config(self) -> VoiceConfig:
        """Its configuration."""

    def admit(self, key: str, *, seconds: float) -> AbstractContextManager[Place[Tensor]]:
        """Take a place in its queue."""

    def admit_recording(self, key: str, *, seconds: float) -> AbstractContextManager[Place[Recorded]]:
        """Take a place in the queue of those windows whose spikes are recorded."""

    def facts(self) -> dict[str, Any]:
        """Number of parameters, device and engine."""


class Models(Protocol):
    """The models that are served; see `library.Library`."""

    default: str

    @property
    def names(self) -> list[str]:
        """Their names, the default first."""

    def loaded(self, name: str = "") -> Servable | None:
        """The model of that name, if it is loaded."""

    async def get(self, name: str = "") -> Servable:
        """The model of that name."""

    async def reload(self) -> list[str]:
        """Load them again from their sources."""

    def trouble(self) -> str:
        """Why requests should not be sent here now."""

    async def close(self) -> None:
        """Answer what has been admitted, then stop."""

    async def abort(self) -> None:
        """Stop now."""
