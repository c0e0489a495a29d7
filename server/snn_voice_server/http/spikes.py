"""What a request to `/spikes` goes through: its places in the queues, decoding, the recording, the answer."""

from __future__ import annotations

import time

import torch

from snn_voice_hub.errors import AudioError
from snn_voice_hub.inference.answers import FUNCTIONS, clearest
from snn_voice_hub.inference.ends import too_loud
from snn_voice_hub.spikes.raster import clip_raster
from snn_voice_server.failures import DeadlineExceeded, RequestError
from snn_voice_server.http.answers import encode
from snn_voice_server.http.parsing import Question
from snn_voice_server.http.service import Service, Timings
from snn_voice_server.models.compute import Recorded


async def record(
    service: Service, body: bytes, content_type: str, query: list[tuple[str, str]], key: str, timings: Timings
) -> bytes:
    """The answer to a request, as JSON.

    Recordings have a queue of their own, and run one by one in the device's thread, between the batches.

    Args:
        service: The service.
        body: The request's whole body.
        content_type: The header of that name, or "".
        query: Names and values of the query string.
        key: Who asks.
        timings: Is filled in.

    Raises:
        RequestError: The request is not legal, or the model has no spikes.
        AudioError: Its sound can't be used.
        Refused: There is no room.
        DeadlineExceeded: It took too long.
    """
    begun = time.monotonic()
    request = await service.unpack(body, content_type, query)
    question = request.question
    _check(question)
    if not request.audio:
        raise AudioError("the file is empty", code="empty")
    entry = await service.entry(question)
    timings.model = entry.name
    ends = service.ends(entry.config, question)
    seconds = entry.config.features.seconds
    left = service.settings.deadline - (time.monotonic() - begun)
    if left <= 0:
        raise DeadlineExceeded.after(service.settings.deadline - left)
    with entry.admit_recording(key, seconds=left) as place:
        prepared = await service.decode(ends, request.audio, timings, left)
        shown, windows = 0, prepared.windows
        if len(windows) > 1:
            with entry.admit(key, seconds=left) as in_batches:
                scored = await in_batches.run(windows, seconds)
            shown = clearest(ends.window_answers(prepared, ends.scores(torch.stack(scored.rows))))
        queued = time.monotonic()
        outcome = await place.run([windows[shown]], seconds)
    timings.add("queue", queued, outcome.queue_seconds)
    timings.add("compute", queued + outcome.queue_seconds, outcome.compute_seconds)
    timings.windows, timings.batch = len(windows), outcome.batch_windows
    rate = entry.config.features.sample_rate
    start = prepared.begins[shown]
    where = {
        "model": entry.name,
        "start": start / rate,
        "end": (start + prepared.length) / rate,
        "windows": len(windows),
    }
    recorded = outcome.rows[0]
    labels, temperature = entry.config.labels, entry.config.temperature
    # Tens of thousands of numbers: the loop has others to serve.
    return await service.in_thread(lambda: _encoded(recorded, where, labels, temperature, question.top_k))


def _check(question: Question) -> None:
    for name, usual in (("windows", False), ("function_to_apply", FUNCTIONS[0])):
        if getattr(question, name) != usual:
            raise RequestError(
                f"/spikes does not take {name}", hint="top_k and model; see /classify", code=f"bad_{name}"
            )


def _encoded(
    recorded: Recorded, where: dict[str, object], labels: list[str], temperature: float, top_k: int
) -> bytes:
    row = recorded.row
    if not bool(row.logits.isfinite().all()):
        raise too_loud("the sound")
    energy = {} if recorded.energy is None else {"energy": recorded.energy}
    return encode(where | clip_raster(row, labels, temperature, top_k=top_k) | energy).encode()
