"""What a request goes through: its place in the queue, decoding, the model, the answer."""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from snn_voice_hub import AudioError, Prediction
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.inference.answers import Window
from snn_voice_hub.inference.decode import decodes_at_once, usable_cores
from snn_voice_hub.inference.ends import Ends, Prepared, too_loud
from snn_voice_server.failures import (
    Busy,
    DeadlineExceeded,
    NotReady,
    OverShare,
    Refused,
    UnknownModel,
)
from snn_voice_server.http.bodies import BodyRoom
from snn_voice_server.http.keys import ApiKeys
from snn_voice_server.http.parsing import ClassifyRequest, Question, is_sound, parse, parse_batch
from snn_voice_server.http.schemas import ModelFacts
from snn_voice_server.models.interfaces import Models, Servable
from snn_voice_server.models.metrics import Metrics
from snn_voice_server.settings import Settings

T = TypeVar("T")
Answer = list[Prediction] | list[Window]

_MAX_DECODE_THREADS = 4
# Forms and base64 of more bytes than these are unpacked in a thread.
_SMALL_BODY = 1 << 16
# A batch's next file asks again for room after so long.
_AGAIN_SECONDS = 0.02


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
        on_loaded: Called when models have been loaded at the start, or again.
        bodies: Memory for the bodies of requests.
    """

    def __init__(self, settings: Settings, models: Models, keys: ApiKeys, metrics: Metrics) -> None:
        self.settings = settings
        self.models = models
        self.keys = keys
        self.metrics = metrics
        self.draining = False
        self.on_loaded: Callable[[], None] | None = None
        self.bodies = BodyRoom(
            settings.max_body_bytes, int(settings.max_body_memory_mb * 1e6), settings.body_timeout
        )
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
        await self.models.get()
        if self.on_loaded is not None:
            self.on_loaded()

    async def stop(self) -> None:
        """Answer what has been admitted, then end the threads."""
        await self.models.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)

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
            with entry.admit(key, seconds=math.inf):
                pass

    async def classify(
        self, body: bytes, content_type: str, query: list[tuple[str, str]], key: str, timings: Timings
    ) -> Answer:
        """The answer to a request of one sound.

        Args:
            body: The request's whole body.
            content_type: The header of that name, or "".
            query: Names and values of the query string.
            key: Who asks.
            timings: Is filled in.

        Returns:
            The labels, best first; or the windows.

        Raises:
            RequestError: The request is not legal.
            AudioError: Its sound can't be used.
            Refused: There is no room.
            DeadlineExceeded: It took too long.
        """
        end = time.monotonic() + self.settings.deadline
        request = await self.unpack(body, content_type, query)
        return await self._answer(request.audio, request.question, key, end, timings)

    async def unpack(self, body: bytes, content_type: str, query: list[tuple[str, str]]) -> ClassifyRequest:
        """The sound of a request, and what is asked about it.

        Raises:
            RequestError: The request is not legal.
        """
        unpack = functools.partial(parse, body, content_type, query)
        # base64 and JSON of many megabytes would hold up every other client.
        quick = len(body) <= _SMALL_BODY or is_sound(body)
        return unpack() if quick else await self.in_thread(unpack)

    async def classify_batch(
        self, body: bytes, content_type: str, query: list[tuple[str, str]], key: str
    ) -> list[tuple[str, Answer | SnnVoiceError]]:
        """The answers to a request of several sounds, each an answer or an error, in order.

        Raises:
            RequestError: The request is not legal.
            Refused: There is no room for its first file.
        """
        end = time.monotonic() + self.settings.deadline
        most = self.settings.max_files
        request = await self.in_thread(
            functools.partial(parse_batch, body, content_type, query, max_files=most)
        )
        question = request.question
        entry = await self.entry(question)  # an unknown model is an error of the request
        self.check_room(key, entry.name)
        # So many at once fill a batch, and leave the queue to others.
        together = asyncio.Semaphore(self.settings.max_batch_size)

        async def one(audio: bytes) -> Answer | SnnVoiceError:
            async with together:
                try:
                    return await self._answer(audio, question, key, end, Timings(), patient=True)
                except SnnVoiceError as error:
                    return error

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(audio)) for _, audio in request.files]
        return [(name, task.result()) for (name, _), task in zip(request.files, tasks, strict=True)]

    async def _answer(
        self,
        audio: bytes,
        question: Question,
        key: str,
        end: float,
        timings: Timings,
        *,
        patient: bool = False,
    ) -> Answer:
        """The answer for one sound. Who is patient waits for room in the queue, others are refused."""
        if not audio:
            raise AudioError("the file is empty", code="empty")
        prepared: Prepared | None = None
        while True:
            entry = await self.entry(question)
            timings.model = entry.name
            ends = self.ends(entry.config, question)
            left = end - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded.after(self.settings.deadline - left)
            try:
                with entry.admit(key, seconds=left) as place:
                    if prepared is None:
                        prepared = await self.decode(ends, audio, timings, left)
                    queued = time.monotonic()
                    outcome = await place.run(prepared.windows, entry.config.features.seconds)
                break
            except (Busy, OverShare):
                if not patient:
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)
        timings.add("queue", queued, outcome.queue_seconds)
        timings.add("compute", queued + outcome.queue_seconds, outcome.compute_seconds)
        timings.windows, timings.batch = len(prepared.windows), outcome.batch_windows
        return _checked(ends, prepared, outcome.rows, question)

    async def entry(self, question: Question) -> Servable:
        """The model that is asked.

        Raises:
            UnknownModel: It is not served.
            NotReady: It can't be had now.
        """
        if (loaded := self.models.loaded(question.model)) is not None:
            return loaded
        loading = asyncio.ensure_future(self.models.get(question.model))
        try:
            # A model that takes longer goes on loading for the next who asks.
            return await asyncio.wait_for(asyncio.shield(loading), self.settings.deadline)
        except TimeoutError:
            raise NotReady.because("the model is still being loaded", 5) from None
        except (UnknownModel, Refused):
            raise
        except SnnVoiceError as error:  # its words are for the log of the start
            raise NotReady.because("the model can't be loaded now", 30) from error

    async def decode(self, ends: Ends, audio: bytes, timings: Timings, left: float) -> Prepared:
        """The windows of a sound.

        Args:
            ends: Of the model.
            audio: A sound file.
            timings: Is filled in.
            left: Seconds that it may take.

        Raises:
            AudioError: It can't be used.
            DeadlineExceeded: It took too long.
        """

        def decode() -> tuple[Prepared, float, float]:
            begun = time.monotonic()
            prepared = ends.prepare(audio)
            return prepared, begun, time.monotonic() - begun

        try:
            if decodes_at_once(audio, ends.config.features.sample_rate):
                # A thread would take longer to be woken than this takes, and the loop would wait for both.
                prepared, begun, seconds = decode()
            else:
                async with asyncio.timeout(left):
                    prepared, begun, seconds = await self.in_thread(decode)
        except TimeoutError:
            raise DeadlineExceeded.after(self.settings.deadline) from None
        except AudioError as error:
            if error.code == "too_long":  # the loader's hint is for Python
                hint = f"this service takes up to {self.settings.max_seconds:g} s"
                raise AudioError(error.message, hint=hint, code=error.code) from error
            raise
        timings.add("decode", begun, seconds)
        self.metrics.decode.labels(timings.model).observe(seconds)
        return prepared

    def ends(self, config: VoiceConfig, question: Question) -> Ends:
        """What is before and after a network, for a question."""
        return Ends(
            config,
            top_k=min(question.top_k, max(1, len(config.labels))),
            function_to_apply=question.function_to_apply,
            max_seconds=self.settings.max_seconds,
        )

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run something in one of the threads that decode."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work)

    # --- what is served ---------------------------------------------------------------------------

    async def facts(self, name: str = "") -> ModelFacts:
        """What is known about a model.

        Raises:
            UnknownModel: It is not served.
        """
        entry = await self.models.get(name)
        config = entry.config
        return ModelFacts(
            name=entry.name,
            description=config.description,
            license=config.license,
            architecture=config.architecture,
            sample_rate=config.features.sample_rate,
            window_seconds=config.features.seconds,
            labels=list(config.labels),
            data=config.data,
            metrics=config.metrics,
            config=config.to_dict(),
            max_seconds=self.settings.max_seconds,
            max_body_bytes=self.settings.max_body_bytes,
            **entry.facts(),
        )


def _checked(ends: Ends, prepared: Prepared, rows: list[Tensor], question: Question) -> Answer:
    logits = torch.stack(rows)
    # A model whose scores are never finite is not served: loading looks at its weights and at silence.
    if not bool(logits.isfinite().all()):
        raise too_loud("the sound")
    scores = ends.scores(logits)
    return ends.window_answers(prepared, scores) if question.windows else ends.answer(scores)
