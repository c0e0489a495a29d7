"""What the routes share: models, keys, metrics, the threads that decode."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.inference.decode import usable_cores
from snn_voice_server.failures import NotReady, Refused, UnknownModel
from snn_voice_server.http.bodies import BodyRoom
from snn_voice_server.http.gathering import Gathering
from snn_voice_server.http.keys import ApiKeys
from snn_voice_server.http.open_streams import STOPPING, OpenStreams
from snn_voice_server.http.parsing import ClassifyRequest, is_sound, parse
from snn_voice_server.models.metrics import Metrics
from snn_voice_server.models.naming import Source
from snn_voice_server.models.served import LAST_WORDS_SECONDS, Entry, Models
from snn_voice_server.models.work import LOGITS
from snn_voice_server.settings import Settings
from snn_voice_server.teaching.jobs import State
from snn_voice_server.teaching.teacher import Tutor

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_DECODE_THREADS = 4
# Forms and base64 of more bytes than these are unpacked in a thread.
_SMALL_BODY = 1 << 16


@dataclass
class Timings:
    """Where the time of one request went, in seconds.

    Attributes:
        stages: Name -> seconds, and when it began.
        model: Which model was asked.
        windows: How many windows the sound had.
        batch: Windows in the batch that it was part of.
    """

    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    model: str = ""
    windows: int = 0
    batch: int = 0

    def add(self, name: str, begun: float, seconds: float) -> None:
        """Note a stage. `begun` is a time of `time.monotonic`."""
        self.stages[name] = (begun, seconds)

    def header(self) -> str:
        """For `Server-Timing`: milliseconds."""
        return ", ".join(f"{name};dur={1e3 * seconds:.2f}" for name, (_, seconds) in self.stages.items())


class Service:
    """The models behind the routes.

    Args:
        settings: Limits and sizes.
        models: What answers.
        keys: Who may ask.
        metrics: What is counted.

    Attributes:
        draining: Whether the service is about to end: `/ready` says no, requests are still taken.
        bodies: Memory for the bodies of requests.
        streams: Those that are open.
        teacher: Who trains new models; None where the settings do not allow it.
    """

    def __init__(self, settings: Settings, models: Models[Entry], keys: ApiKeys, metrics: Metrics) -> None:
        self.settings = settings
        self.models = models
        self.keys = keys
        self.metrics = metrics
        self.draining = False
        self.bodies = BodyRoom(
            settings.max_body_bytes, int(settings.max_body_memory_mb * 1e6), settings.body_timeout
        )
        share = settings.limits(len(keys)).share
        self.streams = OpenStreams(settings.max_streams, share, metrics.streams)
        self.teacher = tutor = Tutor(settings.teaching, _NewModels(self)) if settings.allow_teach else None
        metrics.training.set_function(lambda: float(tutor is not None and tutor.at_work))
        self._gatherings: WeakValueDictionary[tuple[Entry, str], Gathering] = WeakValueDictionary()
        threads = settings.decode_threads or min(_MAX_DECODE_THREADS, usable_cores())
        # Its queue is bounded by the places in the models' queues.
        self._decoders = ThreadPoolExecutor(threads, thread_name_prefix="snn-voice-decode")
        metrics.ready.set_function(lambda: float(not self.trouble()))

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load and warm up the default model, so that no client waits for what only the first answer needs.

        Raises:
            SnnVoiceError: The model can't be used.
        """
        await self.models.start()

    def begin_to_stop(self) -> None:
        """Say no to `/ready`, and end a training; requests are still taken. For signal handlers, too."""
        self.draining = True
        if self.teacher is not None:
            self.teacher.stop()

    async def stop(self) -> None:
        """Answer what has been admitted, then end the threads."""
        await self.end_streams()
        if self.teacher is not None:
            await self.teacher.close()
        await self.models.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)

    async def end_streams(self) -> None:
        """Have the open streams say their last words and end; who does not read is not waited for."""
        self.streams.end(STOPPING)
        if not await self.streams.gone(LAST_WORDS_SECONDS):
            logger.warning("%d streams are cut off: their clients do not read", len(self.streams))

    def trouble(self) -> str:
        """Why requests should not be sent here now; empty if all is well."""
        return "the service is stopping" if self.draining else self.models.trouble()

    # --- requests ---------------------------------------------------------------------------------

    def check_room(self, key: str, model: str = "") -> None:
        """Refuse a request before its body is read, if the model's queue has no room.

        Args:
            key: Who asks.
            model: As the query names it; the body may still name another, where there are several.

        Raises:
            Busy: The queue is full.
            OverShare: The caller's share of it is.
        """
        if not model and len(self.models.names) > 1:
            return
        if (entry := self.models.loaded(model)) is not None:
            with entry.admit(LOGITS, key):
                pass

    async def unpack(self, body: bytes, content_type: str, query: list[tuple[str, str]]) -> ClassifyRequest:
        """The sound of a request, and what is asked about it.

        Raises:
            RequestError: The request is not legal.
        """
        unpack = functools.partial(parse, body, content_type, query)
        # base64 and JSON of many megabytes would hold up every other client.
        quick = len(body) <= _SMALL_BODY or is_sound(body)
        return unpack() if quick else await self.in_thread(unpack)

    async def entry(self, name: str) -> Entry:
        """The model of that name; "" stands for the default.

        Raises:
            UnknownModel: It is not served.
            NotReady: It can't be had now.
        """
        if (loaded := self.models.loaded(name)) is not None:
            return loaded
        loading = asyncio.ensure_future(self.models.get(name))
        try:
            # A model that takes longer goes on loading for the next who asks.
            return await asyncio.wait_for(asyncio.shield(loading), self.settings.deadline)
        except TimeoutError:
            raise NotReady.because("the model is still being loaded", 5) from None
        except (UnknownModel, Refused):
            raise
        except SnnVoiceError as error:  # its words are for the log of the start
            raise NotReady.because("the model can't be loaded now", 30) from error

    def gathering(self, entry: Entry, key: str) -> Gathering:
        """What brings the rows of a caller's streams to a model."""
        found = self._gatherings.get((entry, key))
        if found is None:
            found = self._gatherings[entry, key] = Gathering(entry, key, self.settings.deadline)
        return found

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run something in one of the threads that decode."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work)


class _NewModels:
    """Takes new models in; see `School`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def names(self) -> list[str]:
        return self._service.models.names

    async def take_in(self, name: str, folder: Path) -> None:
        service = self._service
        service.models.add(Source(name, str(folder)))
        try:
            await service.models.get(name)
        except BaseException:
            await service.models.forget(name)
            raise

    async def forget(self, name: str) -> None:
        await self._service.models.forget(name)

    def ended(self, state: State, seconds: float) -> None:
        self._service.metrics.trained(state, seconds)
