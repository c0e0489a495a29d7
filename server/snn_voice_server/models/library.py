"""The models of a service: loaded when needed, exchanged while requests run, within a memory bound."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from torch import Tensor

from snn_voice_hub import SnnVoice
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_server.failures import NoSpikes, NotReady, UnknownModel
from snn_voice_server.models.compute import (
    RECORDINGS,
    Device,
    Recorded,
    facts_of,
    largest_batch,
    logits_of,
    runs_alone,
    spikes_of,
)
from snn_voice_server.models.naming import Source
from snn_voice_server.queue.batching import Batcher, Limits, Observer, Ticket

logger = logging.getLogger(__name__)

Load = Callable[[str, str], SnnVoice]


@dataclass
class Entry:
    """A loaded model.

    Attributes:
        name: As requests name it.
        voices: A copy for each device.
        batcher: Its queue.
        recorder: The queue of the windows whose spikes are recorded; None where there are no spikes.
        used: When it was asked for last.
    """

    name: str
    voices: Sequence[SnnVoice]
    batcher: Batcher[Tensor, Tensor]
    recorder: Batcher[Tensor, Recorded] | None = None
    used: float = field(default_factory=time.monotonic)

    @property
    def config(self) -> VoiceConfig:
        """Its configuration."""
        return self.voices[0].config

    @property
    def megabytes(self) -> float:
        """What its weights take."""
        tensors = [*self.voices[0].network.parameters(), *self.voices[0].network.buffers()]
        return len(self.voices) * sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6

    def admit(self, key: str, *, seconds: float) -> Ticket[Tensor, Tensor]:
        """Take a place in its queue; see `Batcher.admit`."""
        self.used = time.monotonic()
        return self.batcher.admit(key, seconds=seconds)

    def admit_recording(self, key: str, *, seconds: float) -> Ticket[Tensor, Recorded]:
        """Take a place in the queue of recordings; see `Batcher.admit`.

        Raises:
            NoSpikes: The model does not spike.
        """
        if self.recorder is None:
            raise NoSpikes.of(self.name)
        self.used = time.monotonic()
        return self.recorder.admit(key, seconds=seconds)

    @property
    def queues(self) -> list[Batcher[Tensor, Any]]:
        """Both."""
        return [self.batcher, *filter(None, [self.recorder])]

    def facts(self) -> dict[str, Any]:
        """What only the loaded model knows."""
        devices = [str(copy.device) for copy in self.voices]
        return facts_of(self.voices[0]) | {"device": ",".join(devices)}


class Watcher(Protocol):
    """Is told what is loaded, and gives an observer to each queue."""

    def observer(self, name: str) -> Observer:
        """For the queue of the model of that name."""

    def loaded(self, name: str, batcher: Batcher[Tensor, Tensor]) -> None:
        """A model answers from now on."""

    def gone(self, name: str) -> None:
        """A model was taken out of memory."""


class Library:
    """The models that are served; the first is the default.

    Args:
        sources: What is served; at least one.
        devices: Where; every model has a copy on each.
        load: Source and device name -> model in evaluation mode; called in a thread.
        limits: Of each queue.
        max_megabytes: Weights loaded at once; beyond it the model unused for longest goes. The default stays.
        watcher: Is told what happens.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        devices: Sequence[Device],
        load: Load,
        limits: Limits,
        *,
        max_megabytes: float,
        watcher: Watcher,
    ) -> None:
        self._sources = {source.name: source for source in sources}
        self.default = sources[0].name
        self._devices = devices
        self._load = load
        self._limits = limits
        self._max_megabytes = max_megabytes
        self._watcher = watcher
        self._entries: dict[str, Entry] = {}
        # One at a time: two models that load together would both find room.
        self._loading = asyncio.Lock()
        self._closing: dict[asyncio.Task[None], Batcher[Tensor, Any]] = {}

    @property
    def names(self) -> list[str]:
        """The models' names, the default first."""
        return list(self._sources)

    def loaded(self, name: str = "") -> Entry | None:
        """The model of that name, if it is loaded; "" stands for the default."""
        return self._entries.get(name or self.default)

    async def get(self, name: str = "") -> Entry:
        """The model of that name, loaded if need be; "" stands for the default.

        Raises:
            UnknownModel: It is not served.
            NotReady: It can't be loaded, or there is no room for it.
        """
        name = name or self.default
        if name not in self._sources:
            hint = f"this service has {', '.join(self._sources)}"
            raise UnknownModel("no model of that name is served", hint=hint)
        entry = self._entries.get(name)
        if entry is not None:
            return entry
        async with self._loading:
            entry = self._entries.get(name)
            if entry is None:
                try:
                    entry = await self._make(name)
                except Exception as error:  # also of PyTorch: a device may have no memory for it
                    if name == self.default:  # so it stops the start, and its user is who can mend it
                        raise
                    trace = None if isinstance(error, SnnVoiceError) else error
                    logger.error("the model %s can't be loaded: %s", name, error, exc_info=trace)
                    raise NotReady.because(f"the model {name} can't be loaded now", 30) from error
                self._make_room(entry)
                self._enter(entry)
        return entry

    async def reload(self) -> list[str]:
        """Load every loaded model again from its source; requests that are under way end with the old one.

        Returns:
            Their names. If one fails, none is exchanged.

        Raises:
            SnnVoiceError: One can't be loaded.
        """
        async with self._loading:
            fresh = [await self._make(name) for name in list(self._entries)]
            for entry in fresh:
                self._retire(self._entries[entry.name])
                self._enter(entry)
        return [entry.name for entry in fresh]

    def trouble(self) -> str:
        """Why requests should not be sent here now; empty if all is well."""
        if self.default not in self._entries:
            return "the model is not warmed up yet"
        now = asyncio.get_running_loop().time()
        return next(
            (trouble for e in self._entries.values() if (trouble := e.batcher.health.trouble(now))), ""
        )

    async def close(self) -> None:
        """Answer what has been admitted, then stop."""
        await asyncio.gather(*(queue.close() for e in self._entries.values() for queue in e.queues))
        if self._closing:
            await asyncio.wait(self._closing)

    async def abort(self) -> None:
        """Stop now."""
        queues = [queue for entry in self._entries.values() for queue in entry.queues]
        await asyncio.gather(*(queue.abort() for queue in (*queues, *self._closing.values())))

    # --- loading ----------------------------------------------------------------------------------

    async def _make(self, name: str) -> Entry:
        source = self._sources[name]
        voices = []
        for device in self._devices:
            voice = source.model
            if voice is None:
                voice = await asyncio.to_thread(self._load, source.spec, device.name)
            voices.append(voice.eval())
        features = voices[0].config.features
        largest = largest_batch(features, self._limits)
        limits = replace(self._limits, batch_windows=1) if runs_alone(features) else self._limits
        runs = []
        for voice, device in zip(voices, self._devices, strict=True):
            sizes = _sizes(largest, every=voice.engine == "compile" or voice.device.type != "cpu")
            await device.do(lambda voice=voice, sizes=sizes: voice.warm_up(*sizes))  # type: ignore[misc]
            runs.append(_run(device, voice))
        batcher = Batcher(runs, limits, self._watcher.observer(name))
        return Entry(name, voices, batcher, self._recorder(name, voices, limits))

    def _recorder(
        self, name: str, voices: Sequence[SnnVoice], limits: Limits
    ) -> Batcher[Tensor, Recorded] | None:
        """A queue of its own, short, whose windows run one by one between the batches."""
        if not isinstance(voices[0].network, SpikingNetwork):
            return None
        short = min(RECORDINGS, limits.queue_windows)
        limits = replace(limits, batch_windows=1, queue_windows=short)
        runs = [_record(device, voice) for voice, device in zip(voices, self._devices, strict=True)]
        return Batcher(runs, limits, self._watcher.observer(name))

    def _make_room(self, entry: Entry) -> None:
        others = sorted(self._entries.values(), key=lambda e: -e.used)
        held = entry.megabytes + sum(e.megabytes for e in others)
        mortal = [e for e in others if e.name != self.default]
        if held - sum(e.megabytes for e in mortal) > self._max_megabytes and entry.name != self.default:
            logger.error("%s needs %.0f MB, more than max_models_mb leaves", entry.name, entry.megabytes)
            raise NotReady.because(f"there is no room for the model {entry.name} beside the default", 60)
        while held > self._max_megabytes and mortal:
            oldest = mortal.pop()
            held -= oldest.megabytes
            del self._entries[oldest.name]
            self._retire(oldest)
            self._watcher.gone(oldest.name)
            logger.info("the model %s makes room for %s", oldest.name, entry.name)

    def _enter(self, entry: Entry) -> None:
        for queue in entry.queues:
            queue.start()
        self._entries[entry.name] = entry
        self._watcher.loaded(entry.name, entry.batcher)

    def _retire(self, entry: Entry) -> None:
        """Let what was admitted end, and the model go."""
        for queue in entry.queues:
            task = asyncio.create_task(queue.close())
            self._closing[task] = queue
            task.add_done_callback(self._closing.pop)


def _run(device: Device, voice: SnnVoice) -> Callable[[list[Tensor]], Awaitable[Sequence[Tensor]]]:
    async def run(windows: list[Tensor]) -> Sequence[Tensor]:
        return list((await device.do(lambda: logits_of(voice, windows))).unbind(0))

    return run


def _record(device: Device, voice: SnnVoice) -> Callable[[list[Tensor]], Awaitable[Sequence[Recorded]]]:
    async def record(windows: list[Tensor]) -> Sequence[Recorded]:
        return await device.do(lambda: spikes_of(voice, windows))

    return record


def _sizes(largest: int, *, every: bool) -> list[int]:
    """Batch sizes to warm up: where each size compiles or allocates anew, the powers of two as well."""
    sizes = {1, largest}
    if every:
        sizes.update(1 << bit for bit in range(largest.bit_length()) if 1 << bit <= largest)
    return sorted(sizes)
