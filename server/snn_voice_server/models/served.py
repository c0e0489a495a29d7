"""What the service needs of the models that it serves, wherever they run."""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Generic, Protocol, TypeVar, Unpack

from snn_voice_lite.listening import StreamOptions
from snn_voice_lite.streaming.session import VoiceStream
from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_server.failures import RequestError, Stopped, UnknownModel
from snn_voice_server.models.naming import Source
from snn_voice_server.models.work import LOGITS, STREAMED, Work
from snn_voice_server.queue.places import Limits, Observer, Place, Queue

R = TypeVar("R")

# Within this time streams have said their last words, unless their clients do not read them.
LAST_WORDS_SECONDS: Final = 5.0


class ModelWatcher(Protocol):
    """Is told what is loaded, and gives an observer to each queue."""

    def observer(self, name: str) -> Observer:
        """For the queues of the model of that name."""

    def loaded(self, name: str, queue: Queue[Tensor, Any]) -> None:
        """A model answers from now on, and that is its queue."""

    def gone(self, name: str) -> None:
        """A model was taken out of memory."""


class Entry(ABC):
    """A model that is served.

    Args:
        name: As requests name it.
        config: Its configuration.
        limits: Of the service.
        observer: Is told what happens in its queues.

    Attributes:
        used: When it was asked for last.
    """

    def __init__(self, name: str, config: VoiceConfig, limits: Limits, observer: Observer) -> None:
        self.name = name
        self.config = config
        self.used = time.monotonic()
        self._limits = limits
        self._observer = observer
        self._queues: dict[str, Queue[Tensor, Any]] = {}
        self._closing = False
        self._guests: dict[object, Callable[[], None]] = {}
        self._no_guests = asyncio.Event()
        self._no_guests.set()

    @property
    def at_once(self) -> int:
        """How many batches can run at once."""
        return 1

    @property
    def warm(self) -> bool:
        """Whether it can answer at once."""
        return True

    def queue(self, work: Work[R]) -> Queue[Tensor, R]:
        """The queue of a kind of work, which is opened when it is first asked for.

        Raises:
            RequestError: The model can't do that.
            Stopped: The model is on its way out.
        """
        found = self._queues.get(work.name)
        if found is None:
            if self._closing:
                raise Stopped.now()
            limits = work.limits(self._limits, self.config.features)
            found = self._queues[work.name] = self._open(work, limits)
        return found

    def admit(self, work: Work[R], key: str = "", *, seconds: float = math.inf) -> Place[Tensor, R]:
        """Take a place in a queue; see `Queue.admit`."""
        self.used = time.monotonic()
        return self.queue(work).admit(key, seconds=seconds)

    def stream(self, *, sample_rate: int, **options: Unpack[StreamOptions]) -> VoiceStream:
        """Begin to listen to a stream of sound; see `SnnVoice.stream`.

        Who calls it runs what is due as `STREAMED`.

        Raises:
            AudioError: The rate is not legal.
            ConfigError: Another argument is not legal.
            RequestError: Models that run there do not listen to streams.
        """
        raise RequestError(
            "this service does not listen to streams: its models run on Ray",
            hint="snn-voice serve without --ray; or send files to POST /classify",
            code="not_supported",
        )

    @contextmanager
    def listening(self, leave: Callable[[], None]) -> Iterator[None]:
        """Around a stream.

        Args:
            leave: Called when the model is on its way out, which then waits a while for the stream's last
                words.

        Raises:
            Stopped: It is on its way out.
        """
        # There is to be a queue for the last words too.
        self.queue(STREAMED)
        guest = object()
        self._guests[guest] = leave
        self._no_guests.clear()
        if self._closing:
            leave()
        try:
            yield
        finally:
            del self._guests[guest]
            if not self._guests:
                self._no_guests.set()

    def trouble(self) -> str:
        """Why requests should not be sent to it now; empty if all is well."""
        return self.queue(LOGITS).health.trouble(asyncio.get_running_loop().time())

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What only the loaded model knows: `parameters`, `device` and `engine`."""

    @abstractmethod
    def _open(self, work: Work[R], limits: Limits) -> Queue[Tensor, R]:
        """A queue that runs."""

    async def close(self) -> None:
        """Answer what has been admitted, let streams say their last words, then stop."""
        self._closing = True
        for leave in list(self._guests.values()):
            leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._no_guests.wait()
        await asyncio.gather(*(queue.close() for queue in self._queues.values()))


E_co = TypeVar("E_co", bound=Entry, covariant=True)


class Models(ABC, Generic[E_co]):
    """The models that are served; the first is the default.

    Args:
        sources: What is served; at least one.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = {source.name: source for source in sources}
        self.default = sources[0].name
        self._entries: dict[str, E_co] = {}
        # One at a time: two models that load together would both find room.
        self._loading = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        """The models' names, the default first."""
        return list(self._sources)

    def loaded(self, name: str = "") -> E_co | None:
        """The model of that name, if it is loaded; "" stands for the default."""
        return self._entries.get(name or self.default)

    async def start(self) -> None:
        """Load the default."""
        await self.get()

    async def get(self, name: str = "") -> E_co:
        """The model of that name, loaded if need be; "" stands for the default.

        Raises:
            UnknownModel: It is not served.
            SnnVoiceError: It can't be had.
        """
        name = name or self.default
        if name not in self._sources:
            hint = f"this service has {', '.join(self._sources)}"
            raise UnknownModel("no model of that name is served", hint=hint)
        if (entry := self._entries.get(name)) is not None:
            return entry
        async with self._loading:
            return self._entries.get(name) or await self._bring(name)

    def add(self, source: Source) -> None:
        """Serve one model more, which is loaded when it is first asked for."""
        self._sources[source.name] = source

    async def forget(self, name: str) -> None:
        """Serve a model no more; what was admitted is answered."""
        async with self._loading:
            self._sources.pop(name, None)
            entry = self._entries.pop(name, None)
        if entry is not None:
            await entry.close()

    def trouble(self) -> str:
        """Why requests should not be sent here now; empty if all is well."""
        default = self._entries.get(self.default)
        if default is None or not default.warm:
            return "the model is not warmed up yet"
        return next(filter(None, (entry.trouble() for entry in self._entries.values())), "")

    @abstractmethod
    async def _bring(self, name: str) -> E_co:
        """Load a model and enter it."""

    @abstractmethod
    async def reload(self) -> list[str]:
        """Load every loaded model again from its source."""

    async def close(self) -> None:
        """Answer what has been admitted, then stop."""
        await asyncio.gather(*(entry.close() for entry in self._entries.values()))
