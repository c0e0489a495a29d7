"""What runs in a replica of Ray Serve: one copy of a model, whose calls run together.

Only arrays and the classes of this file cross the border of the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

import numpy as np
import torch
from ray import serve
from torch import Tensor

from snn_voice_hub import SnnVoice
from snn_voice_hub.packages import use_packages
from snn_voice_server.failures import OutOfMemory, RequestError
from snn_voice_server.models.compute import (
    Device,
    facts_of,
    largest_batch,
    load_voice,
    set_threads,
    warm_up,
)
from snn_voice_server.models.naming import Source
from snn_voice_server.models.work import Floats, Work
from snn_voice_server.queue.health import RecentFailures
from snn_voice_server.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ran:
    """The answer to a call.

    Attributes:
        rows: One for each window.
        compute_seconds: How long its batch ran.
        batch_windows: How large that was.
        counts: Whether the caller is the one who counts the batch, so that a batch is counted once.
    """

    rows: Sequence[Any]
    compute_seconds: float
    batch_windows: int
    counts: bool


@dataclass(frozen=True)
class Failed:
    """The model failed on these very windows.

    Attributes:
        kind: "error", "out_of_memory", or "refused" where it can't do that work.
        refusal: What the client is told then.
    """

    kind: str
    refusal: RequestError | None = None


Call = tuple[Work[Any], Floats]


def _windows_of(calls: Sequence[Call]) -> int:
    return sum(len(windows) for _, windows in calls)


def _kind(error: Exception) -> str:
    return "out_of_memory" if isinstance(error, OutOfMemory) else "error"


class Replica:
    """A model in a process of its own.

    Args:
        source: The model, which this process must be able to reach.
        device: Where it runs, as PyTorch writes it; Ray shows a replica only its own GPU.
        settings: Sizes, engine, threads, and packages to import, which this process must have.
    """

    async def __init__(self, source: Source, device: str, settings: Settings) -> None:  # type: ignore[misc]
        set_threads(settings.threads)
        use_packages(settings.packages)
        self._source = source
        self._settings = settings
        self._device = Device(device)
        self._health = RecentFailures()
        self._idle = asyncio.Event()
        self._idle.set()
        self._generation: object = None
        self._voice = await self._load()

    async def _load(self) -> SnnVoice:
        settings, limits = self._settings, self._settings.limits()

        def load() -> SnnVoice:
            voice = load_voice(self._source.spec, self._device.name, settings.engine, settings.dtype)
            warm_up(voice, limits)
            return voice

        voice = await self._device.do(load)
        self._most = largest_batch(voice.config.features, limits)
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

    async def run(self, work: Work[Any], windows: Floats) -> Ran | Failed:
        """The rows of windows `[W, N]`; W is at most a batch."""
        try:
            work.check(self._voice, self._source.name)
        except RequestError as refusal:
            return Failed("refused", refusal)
        if not work.together:  # between the batches, which it does not wait for
            return (await self._answers(work, [windows]))[0]
        # `serve.batch` also collects while a batch runs, and with no time to wait would collect batches of
        # one. What arrives meanwhile waits here instead, and comes to it all at once.
        await self._idle.wait()
        return cast(Ran | Failed, await self._together((work, windows)))

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.0, batch_size_fn=_windows_of)  # type: ignore[untyped-decorator]
    async def _together(self, calls: list[Call]) -> list[Ran | Failed]:
        self._idle.clear()
        try:
            answers: dict[int, Ran | Failed] = {}
            for work in {work.name: work for work, _ in calls}.values():
                mine = [index for index, call in enumerate(calls) if call[0].name == work.name]
                found = await self._answers(work, [calls[index][1] for index in mine])
                answers.update(zip(mine, found, strict=True))
            return [answers[index] for index in range(len(calls))]
        finally:
            self._idle.set()

    async def _answers(self, work: Work[Any], calls: Sequence[Floats]) -> list[Ran | Failed]:
        """An answer to each call; none fails for the sake of another one."""
        windows = torch.from_numpy(np.concatenate(calls))  # a copy: what Ray hands over can't be written to
        voice = self._voice
        begun = time.monotonic()
        try:
            with self._health.busy(begun):
                rows = await self._device.do(lambda: self._rows(work, voice, windows))
        except Exception as error:
            self._health.failed(_kind(error), time.monotonic())
            if len(calls) == 1:
                logger.error("the model failed on a sound", exc_info=error)
                return [Failed(_kind(error))]
            return [answer for call in calls for answer in await self._answers(work, [call])]
        self._health.succeeded()
        seconds = time.monotonic() - begun
        ends = list(accumulate(len(call) for call in calls))
        return [
            Ran(rows[end - len(call) : end], seconds, len(windows), counts=end == ends[0])
            for call, end in zip(calls, ends, strict=True)
        ]

    def _rows(self, work: Work[Any], voice: SnnVoice, windows: Tensor) -> list[Any]:
        """The rows of windows; in parts from when they were too many for the device's memory."""
        rows: list[Any] = []
        while len(rows) < len(windows):
            part = windows[len(rows) :][: self._most if work.together else 1]
            try:
                rows += work.run(voice, part.unbind(0))
            except OutOfMemory:
                if len(part) == 1:
                    raise
                self._health.failed("out_of_memory", time.monotonic())
                self._most = len(part) // 2
        return rows
