"""The models of one process: loaded when needed, exchanged while requests run, within a memory bound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, Unpack

from snn_voice_lite.listening import StreamOptions
from snn_voice_lite.streaming.session import VoiceStream
from torch import Tensor

from snn_voice_hub import SnnVoice
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_server.failures import NotReady
from snn_voice_server.models.compute import Device, facts_of, warm_up
from snn_voice_server.models.naming import Source
from snn_voice_server.models.served import Entry, Models, ModelWatcher
from snn_voice_server.models.work import LOGITS, Work
from snn_voice_server.queue.batching import Batcher
from snn_voice_server.queue.places import Limits, Observer

logger = logging.getLogger(__name__)

R = TypeVar("R")
Load = Callable[[str, str], SnnVoice]


class Loaded(Entry):
    """A model in this process.

    Args:
        name: As requests name it.
        voices: A copy for each device.
        devices: Where they run.
        limits: Of the service.
        observer: Is told what happens in its queues.
    """

    def __init__(
        self,
        name: str,
        voices: Sequence[SnnVoice],
        devices: Sequence[Device],
        limits: Limits,
        observer: Observer,
    ) -> None:
        super().__init__(name, voices[0].config, limits, observer)
        self._voices = voices
        self._devices = devices

    @property
    def at_once(self) -> int:
        """See `Entry.at_once`."""
        return len(self._devices)

    @property
    def megabytes(self) -> float:
        """What its weights take."""
        network = self._voices[0].network
        tensors = [*network.parameters(), *network.buffers()]
        return len(self._voices) * sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6

    def facts(self) -> dict[str, Any]:
        """See `Entry.facts`."""
        devices = [str(copy.device) for copy in self._voices]
        return facts_of(self._voices[0]) | {"device": ",".join(devices)}

    def stream(self, *, sample_rate: int, **options: Unpack[StreamOptions]) -> VoiceStream:
        """See `Entry.stream`."""
        return self._voices[0].stream(sample_rate=sample_rate, **options)

    def _open(self, work: Work[R], limits: Limits) -> Batcher[Tensor, R]:
        work.check(self._voices[0], self.name)
        runs = [_run(work, device, voice) for device, voice in zip(self._devices, self._voices, strict=True)]
        batcher = Batcher(runs, limits, self._observer)
        batcher.start()
        return batcher


def _run(work: Work[R], device: Device, voice: SnnVoice) -> Callable[[list[Tensor]], Awaitable[Sequence[R]]]:
    async def run(windows: list[Tensor]) -> Sequence[R]:
        return await device.do(lambda: work.run(voice, windows))

    return run


class Library(Models[Loaded]):
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
        watcher: ModelWatcher,
    ) -> None:
        super().__init__(sources)
        self._devices = devices
        self._load = load
        self._limits = limits
        self._max_megabytes = max_megabytes
        self._watcher = watcher
        self._retiring: set[asyncio.Task[None]] = set()

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

    async def forget(self, name: str) -> None:
        """See `Models.forget`."""
        await super().forget(name)
        self._watcher.gone(name)

    async def close(self) -> None:
        """Answer what has been admitted, then stop."""
        await super().close()
        if self._retiring:
            await asyncio.wait(self._retiring)

    # --- loading ----------------------------------------------------------------------------------

    async def _bring(self, name: str) -> Loaded:
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

    async def _make(self, name: str) -> Loaded:
        source = self._sources[name]
        voices = []
        for device in self._devices:
            voice = source.model
            if voice is None:
                voice = await asyncio.to_thread(self._load, source.spec, device.name)
            voices.append(voice.eval())
        for voice, device in zip(voices, self._devices, strict=True):
            await device.do(lambda voice=voice: warm_up(voice, self._limits))  # type: ignore[misc]
        return Loaded(name, voices, self._devices, self._limits, self._watcher.observer(name))

    def _make_room(self, entry: Loaded) -> None:
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

    def _enter(self, entry: Loaded) -> None:
        self._entries[entry.name] = entry
        self._watcher.loaded(entry.name, entry.queue(LOGITS))

    def _retire(self, entry: Loaded) -> None:
        """Let what was admitted end, and the model go."""
        task = asyncio.create_task(entry.close())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
