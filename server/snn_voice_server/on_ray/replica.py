"""What runs in a replica of Ray Serve: one copy of a model, whose calls run together.

Only arrays and the classes of this file cross the border of the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from ray import serve
from torch import Tensor

from snn_voice_hub import SnnVoice
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.packages import use_packages
from snn_voice_server.failures import OutOfMemory
from snn_voice_server.models.compute import (
    Device,
    Recorded,
    check_answers,
    facts_of,
    largest_batch,
    logits_of,
    set_threads,
    spikes_of,
)
from snn_voice_server.queue.health import Health
from snn_voice_server.settings import Settings

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ran:
    """The answer to a call.

    Attributes:
        logits: A row for each window.
        compute_seconds: How long its batch ran.
        batch_windows: How large that was.
        counts: Whether the caller is the one who counts the batch, so that a batch is counted once.
    """

    logits: Floats
    compute_seconds: float
    batch_windows: int
    counts: bool


@dataclass(frozen=True)
class Seen:
    """The answer to a call for spikes.

    Attributes:
        recorded: What the network did with each window.
        compute_seconds: How long that took.
        batch_windows: How many they were.
        counts: As that of `Ran`: always.
    """

    recorded: list[Recorded]
    compute_seconds: float
    batch_windows: int
    counts: bool = True


@dataclass(frozen=True)
class Failed:
    """The model failed on these very windows.

    Attributes:
        kind: "error", "out_of_memory" or "no_spikes".
    """

    kind: str


def _windows_of(calls: Sequence[Floats]) -> int:
    return sum(len(call) for call in calls)


def _kind(error: Exception) -> str:
    return "out_of_memory" if isinstance(error, OutOfMemory) else "error"


class Replica:
    """A model in a process of its own.

    Args:
        spec: Where the model comes from; this process must be able to reach it.
        device: Where it runs, as PyTorch writes it; Ray shows a replica only its own GPU.
        settings: Sizes, engine, threads, and packages to import, which this process must have.
    """

    async def __init__(self, spec: str, device: str, settings: Settings) -> None:  # type: ignore[misc]
        set_threads(settings.threads)
        use_packages(settings.packages)
        self._spec = spec
        self._settings = settings
        self._device = Device(device)
        self._health = Health()
        self._idle = asyncio.Event()
        self._idle.set()
        self._generation: object = None
        self._voice = await self._load()

    async def _load(self) -> SnnVoice:
        settings = self._settings

        def load() -> SnnVoice:
            voice = SnnVoice.from_pretrained(
                self._spec, device=self._device.name, engine=settings.engine, dtype=settings.dtype
            ).eval()
            voice.warm_up(*{1, largest_batch(voice.config.features, settings.limits())})
            check_answers(voice)
            return voice

        voice = await self._device.do(load)
        self._most = largest_batch(voice.config.features, settings.limits())
        self._together.set_max_batch_size(self._most)
        return voice

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Ray calls this at the start, and when `user_config` has changed: then the model is read again."""
        generation = config.get("generation")
        if self._generation is not None and generation != self._generation:
            self._voice = await self._load()  # meanwhile the old one answers
        self._generation = generation

    def check_health(self) -> None:
        """Ray calls this, and replaces a replica for which it raises."""
        if trouble := self._health.trouble(time.monotonic()):
            raise RuntimeError(trouble)

    async def facts(self) -> dict[str, Any]:
        """What only the loaded model knows."""
        return facts_of(self._voice)

    async def run(self, windows: Floats) -> Ran | Failed:
        """Logits of windows `[W, N]`; W is at most a batch."""
        # `serve.batch` also collects while a batch runs, and with no time to wait would collect batches of
        # one. What arrives meanwhile waits here instead, and comes to it all at once.
        await self._idle.wait()
        return cast(Ran | Failed, await self._together(windows))

    async def record(self, windows: Floats) -> Seen | Failed:
        """What the neurons do with windows `[W, N]`; between the batches, which it does not wait for."""
        voice = self._voice
        if not isinstance(voice.network, SpikingNetwork):
            return Failed("no_spikes")
        begun = time.monotonic()
        parts = torch.from_numpy(windows.copy()).unbind(0)  # what Ray hands over can't be written to
        try:
            with self._health.busy(begun):
                recorded = await self._device.do(lambda: spikes_of(voice, parts))
        except Exception as error:
            return self._failed(error)
        self._health.succeeded()
        return Seen(recorded, time.monotonic() - begun, len(windows))

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.0, batch_size_fn=_windows_of)  # type: ignore[untyped-decorator]
    async def _together(self, calls: list[Floats]) -> list[Ran | Failed]:
        self._idle.clear()
        try:
            return await self._answers(calls)
        finally:
            self._idle.set()

    async def _answers(self, calls: Sequence[Floats]) -> list[Ran | Failed]:
        """An answer to each call; none fails for the sake of another one."""
        windows = torch.from_numpy(np.concatenate(calls))
        voice = self._voice
        begun = time.monotonic()
        try:
            with self._health.busy(begun):
                logits = await self._device.do(lambda: self._logits(voice, windows))
        except Exception as error:
            if len(calls) == 1:
                return [self._failed(error)]
            self._health.failed(_kind(error), time.monotonic())
            return [answer for call in calls for answer in await self._answers([call])]
        self._health.succeeded()
        seconds = time.monotonic() - begun
        rows = np.split(logits.numpy(), np.cumsum([len(call) for call in calls])[:-1])
        return [Ran(row, seconds, len(windows), index == 0) for index, row in enumerate(rows)]

    def _failed(self, error: Exception) -> Failed:
        self._health.failed(_kind(error), time.monotonic())
        logger.error("the model failed on a sound", exc_info=error)
        return Failed(_kind(error))

    def _logits(self, voice: SnnVoice, windows: Tensor) -> Tensor:
        """Logits of windows; in parts from when they were too many for the device's memory."""
        done: list[Tensor] = []
        position = 0
        while position < len(windows):
            part = windows[position : position + self._most]
            try:
                done.append(logits_of(voice, part.unbind(0)))
            except OutOfMemory:
                if len(part) == 1:
                    raise
                self._health.failed("out_of_memory", time.monotonic())
                self._most = len(part) // 2
            else:
                position += len(part)
        return torch.cat(done)
