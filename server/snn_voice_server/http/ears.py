"""What listens in one stream: its state, and the queue of the model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from snn_voice_hub.streaming.detector import Event
from snn_voice_hub.streaming.session import Due, VoiceStream
from snn_voice_server.failures import Busy, OverShare
from snn_voice_server.http.service import Service, Timings
from snn_voice_server.models.served import Entry
from snn_voice_server.models.work import STREAMED, Floats

# How long a stream waits before it asks for room in a full queue again.
_PAUSE_SECONDS = 0.02


class Ears:
    """What listens in one stream; one coroutine at a time uses it.

    Args:
        service: Whose threads and limits these are.
        entry: The model.
        stream: What has been heard so far.
        key: Who asks.
        timings: Is filled in.

    Attributes:
        entry: The model.
        stream: What has been heard so far.
    """

    def __init__(
        self, service: Service, entry: Entry, stream: VoiceStream, key: str, timings: Timings
    ) -> None:
        self.entry = entry
        self.stream = stream
        self._key = key
        self._service = service
        self._timings = timings

    async def take(self, work: Callable[[], Due]) -> Due:
        """What is due, in one of the threads that decode: resampler and front end compute."""
        return await self._service.in_thread(work)

    async def hear(self, due: Due) -> list[Event]:
        """The words that the network hears in it.

        Raises:
            Busy: There was no room in the queue within the deadline.
            OverShare: The caller's other streams had it for so long.
            DeadlineExceeded: What is due waited too long in the queue.
            ModelFailure: The model failed on it.
            Stopped: The model is gone.
            AudioError: The sound is too loud for finite scores.
            CheckpointError: The network gives no finite scores.
        """
        events = []
        while due:
            outputs = np.stack(await self._run(due.inputs)) if len(due) else None
            self._timings.windows += len(due)
            events += self.stream.give(due, outputs)
            due = self.stream.more()
        return events

    async def _run(self, rows: Sequence[Any]) -> Sequence[Floats]:
        """What the network gives for rows, in batches with other streams.

        A stream may not lose a row, so it waits for room where a request would be refused.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._service.settings.deadline
        while True:
            try:
                with self.entry.admit(STREAMED, self._key, seconds=max(0.0, end - loop.time())) as place:
                    outcome = await place.run(rows, self.entry.config.features.seconds)
            except (Busy, OverShare):
                if loop.time() + _PAUSE_SECONDS > end:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._timings.batch = max(self._timings.batch, outcome.batch_windows)
                return outcome.rows
