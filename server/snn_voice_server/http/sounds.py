"""One sound on its way through the service: the model, decoding, the queue, the network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from snn_voice_lite.answers import too_loud
from torch import Tensor

from snn_voice_hub import AudioError
from snn_voice_hub.inference.decode import decodes_at_once
from snn_voice_hub.inference.ends import Ends, Prepared
from snn_voice_server.failures import DeadlineExceeded
from snn_voice_server.http.questions import Question
from snn_voice_server.http.service import Service, Timings
from snn_voice_server.models.served import Entry
from snn_voice_server.models.work import LOGITS, Work

R = TypeVar("R")


class Sound:
    """A sound, and what is asked about it. `open` comes first.

    Args:
        service: What it goes through.
        audio: The bytes of its file.
        question: What is asked.
        key: Who asks.
        end: When it is given up, by `time.monotonic`.
        timings: Is filled in.

    Attributes:
        entry: The model that is asked.
        ends: What is before and after its network.
        prepared: Its windows; there from when it was first run.
    """

    entry: Entry
    ends: Ends
    prepared: Prepared

    def __init__(
        self, service: Service, audio: bytes, question: Question, key: str, end: float, timings: Timings
    ) -> None:
        self.service = service
        self.question = question
        self.timings = timings
        self._audio = audio
        self._key = key
        self._end = end
        self._decoded_for: object = None

    async def open(self) -> None:
        """Take the model as it is now.

        Raises:
            AudioError: There is no sound.
            UnknownModel: The model is not served.
            NotReady: It can't be had now.
        """
        if not self._audio:
            raise AudioError("the file is empty", code="empty")
        self.entry = await self.service.entry(self.question.model)
        self.timings.model = self.entry.name
        config = self.entry.config
        self.ends = Ends(
            config,
            top_k=min(self.question.top_k, max(1, len(config.labels))),
            words_only=self.question.words_only,
            function_to_apply=self.question.function_to_apply,
            max_seconds=self.service.settings.max_seconds,
        )

    async def run(
        self, work: Work[R], choose: Callable[[], Awaitable[Sequence[Tensor]]] | None = None
    ) -> list[R]:
        """What the model does with the windows: a row for each.

        Args:
            work: What it is to do. A place in that queue is taken first, then the sound is decoded.
            choose: Says, when it is, which windows are meant; by default all.

        Raises:
            AudioError: The sound can't be used.
            Refused: There is no room.
            DeadlineExceeded: It took too long.
            RequestError: The model can't do that.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded.after(self.service.settings.deadline - left)
        with self.entry.admit(work, self._key, seconds=left) as place:
            if self._decoded_for is not self.entry.config:
                self.prepared = await self._decode(left)
                self._decoded_for = self.entry.config
            windows = self.prepared.windows if choose is None else await choose()
            queued = time.monotonic()
            outcome = await place.run(windows, self.entry.config.features.seconds)
        self.timings.add("queue", queued, outcome.queue_seconds)
        self.timings.add("compute", queued + outcome.queue_seconds, outcome.compute_seconds)
        self.timings.windows, self.timings.batch = len(self.prepared.windows), outcome.batch_windows
        return outcome.rows

    async def _decode(self, left: float) -> Prepared:
        """Its windows, within so many seconds."""

        def decode() -> tuple[Prepared, float, float]:
            begun = time.monotonic()
            prepared = self.ends.prepare(self._audio)
            return prepared, begun, time.monotonic() - begun

        service = self.service
        try:
            if decodes_at_once(self._audio, self.entry.config.features.sample_rate):
                # A thread would take longer to be woken than this takes, and the loop would wait for both.
                prepared, begun, seconds = decode()
            else:
                async with asyncio.timeout(left):
                    prepared, begun, seconds = await service.in_thread(decode)
        except TimeoutError:
            raise DeadlineExceeded.after(service.settings.deadline) from None
        except AudioError as error:
            if error.code == "too_long":  # the loader's hint is for Python
                hint = f"this service takes up to {service.settings.max_seconds:g} s"
                raise AudioError(error.message, hint=hint, code=error.code) from error
            raise
        self.timings.add("decode", begun, seconds)
        service.metrics.decode.labels(self.entry.name).observe(seconds)
        return prepared

    async def logits(self) -> Tensor:
        """Logits `[W, C]` of its windows, on the CPU.

        Raises:
            AudioError: The sound can't be used, or is too loud for finite scores.
            Refused: There is no room.
            DeadlineExceeded: It took too long.
        """
        rows = await self.run(LOGITS)
        logits = torch.from_numpy(np.stack(rows))
        # A model whose scores are never finite is not served: loading looks at its weights and at silence.
        if not bool(logits.isfinite().all()):
            raise too_loud("the sound")
        return logits
