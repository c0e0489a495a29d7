"""Models that weigh nothing and say which one of them answered, and a library of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from snn_voice_server.models.compute import Device
from snn_voice_server.models.library import Library
from snn_voice_server.models.naming import Source
from snn_voice_server.models.served import Entry
from snn_voice_server.models.work import LOGITS
from snn_voice_server.queue.places import Limits
from torch import Tensor, nn

from tests.server.queue.helpers import Notes


class FakeVoice:
    """What the library uses of `SnnVoice`.

    Attributes:
        go_on: Until it is set, the model computes; it is set at first.
        warm: Sizes that it was warmed up with.
        threads: Those that it was run by.
    """

    def __init__(
        self, mark: float, megabytes: float = 1.0, *, normalization: str = "clip", engine: str = "torch"
    ) -> None:
        self.mark = mark
        self.engine = engine
        self.device = torch.device("cpu")
        self.config = SimpleNamespace(features=SimpleNamespace(normalization=normalization, seconds=1.0))
        self.network = nn.Module()
        # It takes no memory on the device of that name.
        self.network.weight = nn.Parameter(torch.empty(round(megabytes * 1e6 / 4), device="meta"))
        self.training = True
        self.warm: tuple[int, ...] = ()
        self.threads: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()

    def eval(self) -> FakeVoice:
        self.training = False
        return self

    def warm_up(self, *sizes: int) -> None:
        self.warm = sizes

    def to_device(self, waves: Tensor) -> Tensor:
        return waves

    def num_parameters(self) -> int:
        return self.network.weight.numel()

    def engine_info(self) -> dict[str, Any]:
        return {"engine": self.engine, "library": "/home/someone/kernels.so"}

    def __call__(self, waves: Tensor) -> Tensor:
        assert not self.training
        self.threads.add(threading.current_thread().name)
        assert self.go_on.wait(30)
        return waves[:, :1] + self.mark


@dataclass
class Watch:
    """A watcher, and a loader that counts.

    Attributes:
        make: Source -> model.
        loads: Source and device of each load.
        events: What the library has told.
        most: Loads at once.
    """

    make: Callable[[str], FakeVoice]
    loads: list[tuple[str, str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    voices: list[FakeVoice] = field(default_factory=list)
    most: int = 0
    _now: int = 0

    def load(self, spec: str, device: str) -> Any:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            self.loads.append((spec, device))
            voice = self.make(spec)
            self.voices.append(voice)
            return voice
        finally:
            self._now -= 1

    def observer(self, name: str) -> Notes:
        return Notes()

    def loaded(self, name: str, batcher: object) -> None:
        self.events.append(f"+{name}")

    def gone(self, name: str) -> None:
        self.events.append(f"-{name}")


MARKS = {"/home/someone/a": 100.0, "/home/someone/b": 200.0, "/home/someone/c": 300.0}


def by_mark(spec: str) -> FakeVoice:
    """The model of that source."""
    return FakeVoice(MARKS[spec])


def library_of(
    watch: Watch,
    names: Sequence[str] = ("a", "b", "c"),
    *,
    devices: Sequence[str] = ("cpu",),
    megabytes: float = 1000.0,
    limits: Limits | None = None,
) -> Library:
    """A library of models whose sources are paths."""
    return Library(
        [Source(name, f"/home/someone/{name}") for name in names],
        [Device(name) for name in devices],
        watch.load,
        limits or Limits(),
        max_megabytes=megabytes,
        watcher=watch,
    )


async def answer(entry: Entry, value: float = 0.0) -> float:
    """What a model says to one window: its mark, and the window's value."""
    with entry.admit(LOGITS, seconds=30) as place:
        outcome = await place.run([torch.full((4,), value)], 1.0)
    return float(outcome.rows[0].item())


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.002)


def play(scene: Coroutine[Any, Any, None]) -> None:
    """Run a scene in real time, because models run in threads."""

    async def limited() -> None:
        async with asyncio.timeout(60):
            await scene

    asyncio.run(limited())
