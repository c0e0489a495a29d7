"""The models of a service whose networks run in replicas of Ray Serve."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import torch
from ray.exceptions import (
    ObjectLostError,
    RayActorError,
    RayError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.hub.checkpoints import read_config, resolve
from snn_voice_server.failures import Busy, ModelFailure, NotReady, OutOfMemory, RequestError
from snn_voice_server.models.compute import largest_batch
from snn_voice_server.models.naming import Source
from snn_voice_server.models.served import Entry, Models, ModelWatcher
from snn_voice_server.models.work import LOGITS, Work
from snn_voice_server.on_ray.replica import Failed, Ran
from snn_voice_server.queue.places import Limits, Observer, Outcome, Place, Queue

logger = logging.getLogger(__name__)

R = TypeVar("R")

# A replica that ends takes its calls with it, through no fault of theirs. Calls that may be what ended it
# are not to end every other replica as well.
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.05
_GONE = (RayActorError, WorkerCrashedError, ObjectLostError, TaskCancelledError)
# Pieces of one sound that are under way at once.
_LANES = 4


class Deployments(Protocol):
    """Where the replicas of each model are found."""

    async def start(self) -> None:
        """Have them started, if that is this process' task."""

    def handle(self, name: str) -> Any:
        """The handle of a model's deployment.

        Raises:
            NotReady: It is not there yet.
        """

    async def stop(self) -> None:
        """Have them ended, if that is this process' task."""


class RayModels(Models["RayEntry"]):
    """The models of a service, the first of which is the default.

    Args:
        sources: What is served.
        limits: Of each model's queues and batches.
        deployments: Where their replicas are.
        watcher: Is told what happens.
    """

    def __init__(
        self, sources: Sequence[Source], limits: Limits, deployments: Deployments, watcher: ModelWatcher
    ) -> None:
        super().__init__(sources)
        self._limits = limits
        self._deployments = deployments
        self._watcher = watcher

    async def start(self) -> None:
        """See `Deployments.start`."""
        await self._deployments.start()
        await super().start()

    async def _bring(self, name: str) -> RayEntry:
        """Here only the model's configuration is read."""
        spec = self._sources[name].spec
        config = await asyncio.to_thread(lambda: read_config(resolve(spec)))
        entry = RayEntry(name, config, self._deployments.handle(name), self._limits, self._watcher)
        self._entries[name] = entry
        return entry

    async def reload(self) -> list[str]:
        """Not from here: replicas are on many machines, and Ray exchanges them one by one.

        Raises:
            RequestError: Always.
        """
        raise RequestError(
            "on Ray, models are not reloaded by a request",
            hint="raise generation in the deployment's user_config and deploy again, or restart",
            code="not_supported",
        )

    async def close(self) -> None:
        """Answer what has been admitted, then stop."""
        await super().close()
        await self._deployments.stop()


class RayEntry(Entry):
    """A model whose network runs in replicas.

    Args:
        name: As requests name it.
        config: Its configuration.
        handle: Of its deployment.
        limits: Of its queues and batches.
        watcher: Is told what happens.
    """

    def __init__(
        self, name: str, config: VoiceConfig, handle: Any, limits: Limits, watcher: ModelWatcher
    ) -> None:
        super().__init__(name, config, limits, watcher.observer(name))
        self._handle = handle
        self._facts: dict[str, Any] | None = None
        self._warming = asyncio.create_task(self._warm_up(watcher))

    @property
    def warm(self) -> bool:
        """See `Entry.warm`."""
        return self._facts is not None

    def facts(self) -> dict[str, Any]:
        """What a replica has told about its model.

        Raises:
            NotReady: None runs yet.
        """
        if self._facts is None:
            raise NotReady.because("no replica of the model has answered yet", 5)
        return self._facts

    async def _warm_up(self, watcher: ModelWatcher) -> None:
        while self._facts is None:
            try:
                self._facts = await self._handle.facts.remote()
            except (RayError, RayServeException) as error:
                logger.warning("no replica of %s yet: %s", self.name, type(error).__name__)
                await asyncio.sleep(1.0)
        watcher.loaded(self.name, self.queue(LOGITS))

    def _open(self, work: Work[R], limits: Limits) -> RayQueue[R]:
        # A long sound in pieces of a whole batch would let short ones wait longer.
        piece = max(1, largest_batch(self.config.features, limits) // 2)
        return RayQueue(self.name, self._handle, work, piece, limits, self._observer)


class RayQueue(Queue[Tensor, R]):
    """What waits for the replicas of a model.

    How many windows of batches wait before them Ray knows, and refuses what is too much itself; of these only
    requests that are being decoded take room here.

    Args:
        name: Of the model.
        handle: Of its deployment.
        work: What the replicas do with windows.
        piece: Windows that they get at once.
        limits: Sizes.
        observer: Is told what happens.
    """

    def __init__(
        self, name: str, handle: Any, work: Work[R], piece: int, limits: Limits, observer: Observer
    ) -> None:
        super().__init__(limits, observer)
        self._name = name
        self._handle = handle
        self._work = work
        self._piece = piece

    async def _answer(self, place: Place[Tensor, R], windows: Sequence[Tensor], seconds: float) -> Outcome[R]:
        place.ask(len(windows), passed_on=self._work.together)
        try:
            async with asyncio.timeout_at(place.deadline):
                return await self._run(windows)
        except TimeoutError:
            raise place.late() from None

    async def _run(self, windows: Sequence[Tensor]) -> Outcome[R]:
        """Send windows to replicas, a long sound in pieces."""
        begun, held = time.monotonic(), self.held
        pieces = [windows[at : at + self._piece] for at in range(0, len(windows), self._piece)]
        # A sound of a minute is not to fill the queue alone.
        lanes = asyncio.Semaphore(min(_LANES, self.limits.queue_windows))

        async def send(index: int) -> Ran:
            async with lanes:
                return await self._call(pieces[index], refusable=index == 0)

        answers = await _all([send(index) for index in range(len(pieces))])
        seconds = time.monotonic() - begun
        self._measured(held, seconds)  # what was here before has been answered meanwhile
        compute = max(answer.compute_seconds for answer in answers)
        waited = max(0.0, seconds - compute)
        self._tell("waited", waited)
        rows = [row for answer in answers for row in answer.rows]
        return Outcome(rows, waited, compute, max(answer.batch_windows for answer in answers))

    async def _call(self, windows: Sequence[Tensor], *, refusable: bool) -> Ran:
        array = torch.stack(list(windows)).numpy()
        attempt = 1
        while attempt <= _ATTEMPTS:
            response = self._handle.run.remote(self._work, array)
            try:
                answer: Ran | Failed = await response
            except asyncio.CancelledError:
                response.cancel()  # the client hung up, or the time is over
                raise
            except BackPressureError:
                if refusable:
                    raise Busy.full(self.limits.queue_windows, self.retry_after(self.held)) from None
                await asyncio.sleep(_PAUSE_SECONDS)  # parts of this sound have been run: it waits its turn
            except DeploymentUnavailableError as error:
                logger.error("%s is not available: %s", self._name, error.message)
                raise NotReady.because("no replica of the model runs", 30) from None
            except _GONE as error:
                logger.warning("a replica of %s is gone (%s)", self._name, type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
                attempt += 1
            except (RayError, RayServeException) as error:
                logger.error("a call of %s failed", self._name, exc_info=error)
                self._failed("error")
                raise ModelFailure("the call of the model failed") from None
            else:
                return self._checked(answer)
        self._failed("error")
        raise NotReady.because(f"{_ATTEMPTS} replicas of the model ended while they had this request", 5)

    def _checked(self, answer: Ran | Failed) -> Ran:
        if isinstance(answer, Failed):
            if answer.refusal is not None:
                raise answer.refusal
            self._failed(answer.kind)
            if answer.kind == "out_of_memory":
                raise OutOfMemory("the device has no memory for this now", hint="send it again later")
            raise ModelFailure("the model failed on this sound")
        self.health.succeeded()
        if answer.counts:
            self._tell("ran", answer.batch_windows, answer.compute_seconds)
        return answer


async def _all(calls: list[Coroutine[Any, Any, Ran]]) -> list[Ran]:
    """The answers to all; the first failure cancels the others."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
