"""What listens in one stream: its state, and the queue of the model."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
from snn_voice_lite.streaming.detector import Event
from snn_voice_lite.streaming.session import Due, VoiceStream

from snn_voice_server.http.service import Service, Timings
from snn_voice_server.models.served import Entry


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
        metrics: Of streams by that model.
    """

    def __init__(
        self, service: Service, entry: Entry, stream: VoiceStream, key: str, timings: Timings
    ) -> None:
        self.entry = entry
        self.stream = stream
        self.metrics = service.metrics.of_streams(entry.name)
        self._gathering = service.gathering(entry, key)
        self._timings = timings

    async def hear(self, due: Due) -> AsyncIterator[tuple[Due, list[Event]]]:
        """The words that the network hears in it, and in what is due then.

        Yields:
            What was due, and the words that are known by it. The stream's scores and spikes are then those.

        Raises:
            Busy: There was no room in the queue within the deadline.
            OverShare: The caller's other streams had it for so long.
            DeadlineExceeded: What is due waited too long in the queue.
            ModelFailure: The model failed on it.
            Stopped: The model is gone.
            AudioError: The sound is too loud for finite scores.
            CheckpointError: The network gives no finite scores.
        """
        first = False
        while due:
            outputs = []
            for row in due.inputs:
                heard = await self._gathering.run(row, first=first)
                outputs.append(heard.output)
                self._timings.windows += 1
                self._timings.batch = max(self._timings.batch, heard.batch_windows)
            yield due, self.stream.give(due, np.stack(outputs) if outputs else None)
            due, first = self.stream.more(), True
