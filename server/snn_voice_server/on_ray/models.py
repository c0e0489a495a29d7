"""The models of a service whose networks run in replicas of Ray Serve."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, Self, TypeVar

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
from snn_voice_server.failures import (
    Busy,
    DeadlineExceeded,
    ModelFailure,
    NoSpikes,
    NotReady,
    OutOfMemory,
    OverShare,
    RequestError,
    UnknownModel,
)
from snn_voice_server.models.compute import RECORDINGS, Recorded, largest_batch
from snn_voice_server.models.metrics import Metrics
from snn_voice_server.models.naming import Source
from snn_voice_server.on_ray.replica import Failed, Ran, Seen
from snn_voice_server.queue.batching import Limits, Outcome
from snn_voice_server.queue.health import Health

logger = logging.getLogger(__name__)

R = TypeVar("R")

# A replica that ends takes its calls with it, through no fault of theirs. Calls that may be what ended it
# are not to end every other replica as well.
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.05
_GONE = (RayActorError, WorkerCrashedError, ObjectLostError, TaskCancelledError)
# Pieces of one sound that are under way at once.
_LANES = 4
# Of the newest answer in the measured time.
_NEWEST = 0.1
_MAX_RETRY_SECONDS = 120


class RayModels:
    """The models of a service; see `service.Models`.

    Args:
        sources: What is served, the default first.
        limits: Of each model's queue and batches.
        handle: Name of a model -> handle of its deployment.
        metrics: What is counted.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        limits: Limits,
        handle: Callable[[str], Any],
        metrics: Metrics,
    ) -> None:
        self._sources = {source.name: source for source in sources}
        self.default = sources[0].name
        self._limits = limits
        self._handle = handle
        self._metrics = metrics
        self._entries: dict[str, RayEntry] = {}
        self._opening = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        """The models' names, the default first."""
        return list(self._sources)

    def loaded(self, name: str = "") -> RayEntry | None:
        """The model of that name, if its configuration has been read; "" stands for the default."""
        return self._entries.get(name or self.default)

    async def get(self, name: str = "") -> RayEntry:
        """The model of that name; "" stands for the default. Here only its configuration is read.

        Raises:
            UnknownModel: It is not served.
            SnnVoiceError: Its configuration can't be read.
        """
        name = name or self.default
        if name not in self._sources:
            hint = f"this service has {', '.join(self._sources)}"
            raise UnknownModel("no model of that name is served", hint=hint)
        async with self._opening:
            if name not in self._entries:
                spec = self._sources[name].spec
                config = await asyncio.to_thread(lambda: read_config(resolve(spec)))
                self._entries[name] = RayEntry(name, config, self._handle(name), self._limits, self._metrics)
        return self._entries[name]

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

    def trouble(self) -> str:
        """Why requests should not be sent here now; empty if all is well."""
        entry = self._entries.get(self.default)
        if entry is None or not entry.warm:
            return "the model is not warmed up yet"
        now = time.monotonic()
        return next((found for e in self._entries.values() if (found := e.health.trouble(now))), "")

    async def close(self) -> None:
        """Wait until everything that has been admitted is answered."""
        while any(entry.held for entry in self._entries.values()):
            await asyncio.sleep(_PAUSE_SECONDS)

    async def abort(self) -> None:
        """Nothing to do: the replicas are Ray's."""


class RayEntry:
    """A model whose network runs in replicas.

    Args:
        name: As requests name it.
        config: Its configuration.
        handle: Of its deployment.
        limits: Of its queue and batches.
        metrics: What is counted.

    Attributes:
        held: Windows without an answer, with one for each request that is being decoded.
        health: Whether calls succeed.
    """

    def __init__(
        self,
        name: str,
        config: VoiceConfig,
        handle: Any,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self.name = name
        self.config = config
        self.health = Health()
        self.held = 0
        self._decoding = 0
        self._recordings = 0
        self._held_by: Counter[str] = Counter()
        self._handle = handle
        self._queue = limits.queue_windows
        self._share = max(1, int(limits.share * self._queue)) if limits.share < 1 else math.inf
        largest = largest_batch(config.features, limits)
        # A long sound in pieces of a whole batch would let short ones wait longer.
        self._piece = max(1, largest // 2)
        self._seconds: float | None = None  # what answers take
        self._facts: dict[str, Any] | None = None
        self._observer = metrics.observer(name)
        self._loaded = metrics.loaded_models.labels(name)
        metrics.queue.labels(name).set_function(lambda: self.held)
        self._warming = asyncio.create_task(self._warm_up())

    @property
    def warm(self) -> bool:
        """Whether a replica has answered."""
        return self._facts is not None

    def facts(self) -> dict[str, Any]:
        """What a replica has told about its model.

        Raises:
            NotReady: None runs yet.
        """
        if self._facts is None:
            raise NotReady.because("no replica of the model has answered yet", 5)
        return self._facts

    async def _warm_up(self) -> None:
        while self._facts is None:
            try:
                self._facts = await self._handle.facts.remote()
            except (RayError, RayServeException) as error:
                logger.warning("no replica of %s yet: %s", self.name, type(error).__name__)
                await asyncio.sleep(1.0)
        self._loaded.set(1)

    # --- places -----------------------------------------------------------------------------------

    def admit(self, key: str, *, seconds: float) -> RayPlace[Tensor]:
        """Take a place for one request.

        Raises:
            Busy: As many requests as the queue may hold are being decoded.
            OverShare: The caller's requests hold its share.
        """
        if self._decoding >= self._queue:
            raise Busy.full(self._queue, self.retry_after())
        self.check_share(key, 1, own=0)
        return RayPlace(self, self._run, key, time.monotonic(), seconds)

    def admit_recording(self, key: str, *, seconds: float) -> RayPlace[Recorded]:
        """Take a place for one recording.

        Raises:
            Busy: As many recordings as may be under way are.
            OverShare: The caller's requests hold its share.
        """
        most = min(RECORDINGS, self._queue)
        if self._recordings >= most:
            raise Busy.full(most, self.retry_after())
        self.check_share(key, 1, own=0)
        return RayPlace(self, self._record, key, time.monotonic(), seconds)

    def check_share(self, key: str, count: int, *, own: int) -> None:
        """Refuse a caller more windows than its share, unless it has no others here."""
        others = self._held_by[key] - own
        if others and others + count > self._share:
            raise OverShare.of(int(self._share), self.retry_after())

    def hold(self, key: str, count: int, decoding: int) -> None:
        """Change what is held by so much."""
        self.held += count
        self._decoding += decoding
        self._held_by[key] += count
        if not self._held_by[key]:
            del self._held_by[key]

    def retry_after(self) -> int:
        """In how many whole seconds what waits now has been answered: as long as the last answers took."""
        return min(_MAX_RETRY_SECONDS, max(1, math.ceil(self._seconds or 0.0)))

    # --- calls ------------------------------------------------------------------------------------

    async def _record(self, windows: Sequence[Tensor]) -> Outcome[Recorded]:
        """Send windows whose spikes are recorded."""
        begun = time.monotonic()
        self._recordings += 1
        try:
            answer: Seen = await self._call("record", windows, refusable=True)
        finally:
            self._recordings -= 1
        waited = max(0.0, time.monotonic() - begun - answer.compute_seconds)
        self._observer.waited(waited)
        return Outcome(answer.recorded, waited, answer.compute_seconds, answer.batch_windows)

    async def _run(self, windows: Sequence[Tensor]) -> Outcome[Tensor]:
        """Send windows to replicas, a long sound in pieces."""
        begun = time.monotonic()
        pieces = [windows[at : at + self._piece] for at in range(0, len(windows), self._piece)]
        # A sound of a minute is not to fill the queue alone.
        lanes = asyncio.Semaphore(min(_LANES, self._queue))

        async def send(index: int) -> Ran:
            async with lanes:
                ran: Ran = await self._call("run", pieces[index], refusable=index == 0)
                return ran

        answers = await _all([send(index) for index in range(len(pieces))])
        seconds = time.monotonic() - begun
        before = seconds if self._seconds is None else self._seconds
        self._seconds = before + _NEWEST * (seconds - before)
        compute = max(answer.compute_seconds for answer in answers)
        waited = max(0.0, seconds - compute)
        self._observer.waited(waited)
        rows = [row for answer in answers for row in torch.from_numpy(answer.logits.copy()).unbind(0)]
        return Outcome(rows, waited, compute, max(answer.batch_windows for answer in answers))

    async def _call(self, method: str, windows: Sequence[Tensor], *, refusable: bool) -> Any:
        array = torch.stack(list(windows)).numpy()
        attempt = 1
        while attempt <= _ATTEMPTS:
            response = getattr(self._handle, method).remote(array)
            try:
                answer: Ran | Seen | Failed = await response
            except asyncio.CancelledError:
                response.cancel()  # the client hung up, or the time is over
                raise
            except BackPressureError:
                if refusable:
                    raise Busy.full(self._queue, self.retry_after()) from None
                await asyncio.sleep(_PAUSE_SECONDS)  # parts of this sound have been run: it waits its turn
            except DeploymentUnavailableError as error:
                logger.error("%s is not available: %s", self.name, error.message)
                raise NotReady.because("no replica of the model runs", 30) from None
            except _GONE as error:
                logger.warning("a replica of %s is gone (%s)", self.name, type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
                attempt += 1
            except (RayError, RayServeException) as error:
                logger.error("a call of %s failed", self.name, exc_info=error)
                self._failed("error")
                raise ModelFailure("the call of the model failed") from None
            else:
                return self._checked(answer)
        self._failed("error")
        raise NotReady.because(f"{_ATTEMPTS} replicas of the model ended while they had this request", 5)

    def _checked(self, answer: Ran | Seen | Failed) -> Ran | Seen:
        if isinstance(answer, Failed):
            if answer.kind == "no_spikes":
                raise NoSpikes.of(self.name)
            self._failed(answer.kind)
            if answer.kind == "out_of_memory":
                raise OutOfMemory("the device has no memory for this now", hint="send it again later")
            raise ModelFailure("the model failed on this sound")
        self.health.succeeded()
        if answer.counts:
            self._observer.ran(answer.batch_windows, answer.compute_seconds)
        return answer

    def _failed(self, kind: str) -> None:
        self.health.failed(kind, time.monotonic())
        self._observer.failed(kind)


class RayPlace(Generic[R]):
    """A place that one request holds until it is answered; a context manager."""

    def __init__(
        self,
        entry: RayEntry,
        ask: Callable[[Sequence[Tensor]], Awaitable[Outcome[R]]],
        key: str,
        admitted: float,
        seconds: float,
    ) -> None:
        self._entry = entry
        self._ask = ask
        self._key = key
        self._admitted = admitted
        self._end = admitted + seconds
        self._held = self._decoding = 1
        entry.hold(key, 1, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._entry.hold(self._key, -self._held, -self._decoding)

    async def run(self, windows: Sequence[Tensor], seconds: float = 0.0) -> Outcome[R]:
        """The logits of windows, or what was recorded of them; call it once.

        Args:
            windows: At least one.
            seconds: How much sound a window is.

        Raises:
            Busy: The replicas and the queue before them are full.
            OverShare: The caller's other requests hold its share.
            DeadlineExceeded: The time is over.
            NotReady: No replica could answer.
            ModelFailure: The model failed on these very windows.
            OutOfMemory: A single window is too much for the device.
            NoSpikes: Spikes were asked for, and the model has none.
        """
        self._entry.check_share(self._key, len(windows), own=self._held)
        self._entry.hold(self._key, len(windows) - self._held, -self._decoding)
        self._held, self._decoding = len(windows), 0
        try:
            async with asyncio.timeout(self._end - time.monotonic()):
                return await self._ask(windows)
        except TimeoutError:
            raise DeadlineExceeded.after(time.monotonic() - self._admitted) from None


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
