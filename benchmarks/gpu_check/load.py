"""Batches to saturation: the network alone, and through the service's queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from snn_voice_server.models.compute import Device
from snn_voice_server.models.library import Library, Loaded
from snn_voice_server.models.naming import Source
from snn_voice_server.models.served import ModelWatcher
from snn_voice_server.models.work import LOGITS
from snn_voice_server.queue.places import Limits, Observer, Queue
from torch import Tensor

from benchmarks.gpu_check.clock import Budget, WrongAnswer, kernel_share, repeated
from benchmarks.gpu_check.parity import apart
from benchmarks.gpu_check.sound import clips
from benchmarks.report import Table
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.voice import SnnVoice

# Kernels for another batch sum in another order, and a spike flips in one clip of a hundred.
_MOST_FLIPPED = 0.03


def best_rate(
    device: torch.device, budget: Budget, sizes: Sequence[int], engines: Sequence[str], seconds: float
) -> tuple[Table, float]:
    """Waveforms -> logits, batch after batch; the waveforms on the CPU, or on the device already.

    Returns:
        A row for each engine, size and place, and the most clips a second.
    """
    table = Table("engine", "clips in a batch", "waveforms", "clips/s", "ms a batch", "of it in kernels")
    voice = SnnVoice.from_pretrained(DEFAULT_MODEL, device=str(device)).requires_grad_(False)
    most = 0.0
    for engine in engines:
        voice.engine = engine
        for size in sizes:
            # Code is made for each size up to 64, and the compiler can't be stopped once it has begun.
            compiles = engine == "compile"
            if budget.part_left < (40 if compiles else 5 * seconds) or (compiles and size > 64):
                continue
            batch = clips(size)
            there = batch.to(device)
            for place, run in (
                ("on the CPU", lambda batch=batch: voice.forward(voice.to_device(batch))),
                ("on the device", lambda there=there: voice.forward(there)),
            ):
                try:
                    with torch.inference_mode():
                        rate = repeated(run, device, seconds)
                        share = None if compiles else kernel_share(run, device)
                except torch.OutOfMemoryError:
                    table.add(engine, size, place, "no memory", None, None)
                    continue
                most = max(most, size / rate.each)
                shown = None if share is None else f"{share:.0%}"
                table.add(engine, size, place, f"{size / rate.each:,.0f}", 1e3 * rate.each, shown)
    return table, most


class _Unwatched(ModelWatcher):
    """Counts what a queue says."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.failures: list[str] = []

    def observer(self, name: str) -> Observer:
        """See `ModelWatcher.observer`."""
        return self

    def loaded(self, name: str, queue: Queue[Tensor, object]) -> None:
        """See `ModelWatcher.loaded`."""

    def gone(self, name: str) -> None:
        """See `ModelWatcher.gone`."""

    def waited(self, seconds: float) -> None:
        """See `Observer.waited`."""

    def ran(self, windows: int, seconds: float) -> None:
        """See `Observer.ran`."""
        self.batches.append(windows)

    def failed(self, kind: str) -> None:
        """See `Observer.failed`."""
        self.failures.append(kind)


@dataclass
class Served:
    """What callers of the service's queue saw.

    Attributes:
        clips: That were answered.
        seconds: In so long.
        waits: Seconds from each request to its answer.
        batches: Windows of each batch that ran.
        failures: Of runs, by kind.
    """

    clips: int
    seconds: float
    waits: list[float]
    batches: list[int]
    failures: list[str]

    @property
    def rate(self) -> float:
        """Clips a second."""
        return self.clips / self.seconds

    @property
    def p99_ms(self) -> float:
        """What one request in a hundred takes longer than, in milliseconds."""
        return float(1e3 * np.quantile(self.waits, 0.99))


class Queued:
    """The default model behind the service's queue, with a copy on each device.

    Args:
        voices: A copy for each device.
        limits: Of the queue.
    """

    def __init__(self, voices: Sequence[SnnVoice], limits: Limits) -> None:
        self.watcher = _Unwatched()
        devices = [Device(str(voice.device)) for voice in voices]
        copies = {device.name: voice for device, voice in zip(devices, voices, strict=True)}
        self.library = Library(
            [Source(DEFAULT_MODEL, DEFAULT_MODEL)],
            devices,
            lambda _, name: copies[name],
            limits,
            max_megabytes=1e6,
            watcher=self.watcher,
        )

    async def __aenter__(self) -> Loaded:
        return await self.library.get()

    async def __aexit__(self, *_: object) -> None:
        await self.library.close()


async def ask(entry: Loaded, windows: list[Tensor]) -> Tensor:
    """The logits `[W, C]` of one request, as a route asks for them."""
    with entry.admit(LOGITS) as place:
        outcome = await place.run(windows, entry.config.features.seconds)
    return torch.from_numpy(np.stack(outcome.rows))


def check_rows(found: Tensor, wanted: Tensor, what: str) -> None:
    """Whether the queue gave each its own answer.

    Raises:
        WrongAnswer: It gave another one.
    """
    other = float((found.argmax(1) != wanted.argmax(1)).float().mean())
    moved = float((apart(found, wanted) > 1e-4).float().mean())
    if other > _MOST_FLIPPED or moved > 10 * _MOST_FLIPPED or not bool(found.isfinite().all()):
        raise WrongAnswer(
            f"{what}: {other:.1%} of the clips have another word than alone, {moved:.1%} others logits"
        )


async def _load(
    queued: Queued, callers: int, windows: int, seconds: float, wanted: Tensor, sound: Tensor
) -> Served:
    waits: list[float] = []
    answers: list[tuple[list[int], Tensor]] = []
    async with queued as entry:
        rows = list(sound)
        end = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            turn = number
            while time.perf_counter() < end:
                picks = [(turn + i) % len(rows) for i in range(windows)]
                began = time.perf_counter()
                found = await ask(entry, [rows[i] for i in picks])
                waits.append(time.perf_counter() - began)
                answers.append((picks, found))
                turn += callers

        began = time.perf_counter()
        await asyncio.gather(*(caller(number) for number in range(callers)))
        spent = time.perf_counter() - began
    # Not meanwhile, which would be time of the callers.
    check_rows(
        torch.cat([found for _, found in answers]),
        torch.cat([wanted[picks] for picks, _ in answers]),
        "through the queue",
    )
    return Served(len(answers) * windows, spent, waits, queued.watcher.batches, queued.watcher.failures)


def served(voices: Sequence[SnnVoice], callers: int, windows: int, seconds: float, batch: int) -> Served:
    """Load the service's queue in this process, without HTTP.

    Args:
        voices: A copy for each device.
        callers: Each asks again when it has its answer.
        windows: Of a request.
        seconds: For how long.
        batch: Windows of a batch at most.

    Raises:
        WrongAnswer: An answer is another one than alone.
    """
    sound = clips(256)
    with torch.inference_mode():
        wanted = voices[0](voices[0].to_device(sound)).float().cpu()
    limits = Limits(batch_windows=batch, queue_windows=4 * callers * windows)
    return asyncio.run(_load(Queued(voices, limits), callers, windows, seconds, wanted, sound))


def queue_table(
    device: torch.device, budget: Budget, cases: Sequence[tuple[int, int, int]], seconds: float
) -> tuple[Table, float]:
    """Through the queue, for numbers of (callers, windows of a request, windows of a batch)."""
    table = Table(
        "callers", "clips of a request", "largest batch", "clips/s", "p50, ms", "p99, ms", "clips in a batch"
    )
    voice = SnnVoice.from_pretrained(DEFAULT_MODEL, device=str(device)).requires_grad_(False)
    most = 0.0
    for callers, windows, batch in cases:
        if budget.part_left < 2 * seconds:
            break
        try:
            seen = served([voice], callers, windows, seconds, batch)
        except torch.OutOfMemoryError:  # when it warms up: a smaller GPU
            table.add(callers, windows, batch, "no memory", None, None, None)
            continue
        p50 = float(1e3 * np.median(seen.waits))
        table.add(
            callers, windows, batch, f"{seen.rate:,.0f}", p50, seen.p99_ms, float(np.mean(seen.batches))
        )
        most = max(most, seen.rate)
    return table, most
