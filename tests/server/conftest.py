from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
import torch
import uvicorn
from fastapi import FastAPI
from snn_voice_lite.process.sockets import bind
from snn_voice_server.models import compute
from snn_voice_server.models.served import Entry
from snn_voice_server.models.work import LOGITS, Work
from snn_voice_server.process.running import configuration
from snn_voice_server.queue.batching import Batcher
from torch import Tensor

from snn_voice_hub import SnnVoice, TcySNN
from tests.server.helpers import Running, start

R = TypeVar("R")

SMALL_BODY_MB = 2
SMALL_SECONDS = 5


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network: its answers are nonsense, but differ from clip to clip."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    TcySNN().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> SnnVoice:
    return SnnVoice.from_pretrained(checkpoint)


@dataclass
class Processes:
    """Both services; started together, because starting is what takes time."""

    main: subprocess.Popen[str]
    small: subprocess.Popen[str]
    logs: Path


@pytest.fixture(scope="session")
def processes(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    logs = tmp_path_factory.mktemp("logs")
    thousand = tmp_path_factory.mktemp("thousand")
    torch.manual_seed(1)
    TcySNN(num_classes=1000).save_pretrained(thousand)
    limits = ("--max-body-mb", str(SMALL_BODY_MB), "--max-seconds", str(SMALL_SECONDS))
    main = start(logs / "main", "--model", str(checkpoint))
    small = start(logs / "small", "--model", str(thousand), *limits)
    try:
        yield Processes(main, small, logs)
    finally:
        for process in (main, small):
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


@pytest.fixture(scope="session")
def server(processes: Processes) -> Iterator[Running]:
    """The service with its default limits; ended by Ctrl-C, which is no failure."""
    running = Running.wait_for(processes.main, processes.logs / "main")
    yield running
    assert running.stop(signal.SIGINT) == 0


@pytest.fixture(scope="session")
def small_server(processes: Processes) -> Iterator[Running]:
    """A service with low limits and a thousand labels; ended by SIGTERM."""
    running = Running.wait_for(processes.small, processes.logs / "small")
    yield running
    assert running.stop(signal.SIGTERM) == 0


@pytest.fixture(scope="session")
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as found:
        yield found


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def queue_of(app: FastAPI, work: Work[R]) -> Batcher[Tensor, R]:
    """The default model's queue of that work."""
    entry = app.state.service.models.loaded()
    assert isinstance(entry, Entry)
    queue = entry.queue(work)
    assert isinstance(queue, Batcher)
    return queue


def queued(app: FastAPI) -> int:
    """How many windows hold places in the default model's queue."""
    return queue_of(app, LOGITS).held


def decoded(app: FastAPI) -> int:
    """How many windows wait for a batch."""
    return queue_of(app, LOGITS).waiting


class Slowly:
    """Takes the place of `work.logits_of`, and waits in the device's thread until it may go on.

    Attributes:
        go_on: Lets it run; it stays so.
        sizes: Windows of each batch that has begun.
    """

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, voice: SnnVoice, windows: Sequence[Tensor]) -> Tensor:
        self.sizes.append(len(windows))
        assert self.go_on.wait(30)
        return compute.logits_of(voice, windows)

    async def begun(self, batches: int = 1) -> None:
        """Wait until so many batches have begun."""
        await until(lambda: len(self.sizes) >= batches)


@asynccontextmanager
async def answering(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The application in this event loop, started, and a client of it."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client,
    ):
        yield client


@contextmanager
def on_a_socket(app: FastAPI) -> Iterator[tuple[str, int]]:
    """The application behind a real socket, in a thread of this process; its address."""
    with closing(bind("127.0.0.1", 0)) as listener:
        listener.listen()
        server = uvicorn.Server(configuration(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        address = listener.getsockname()[:2]
        thread.start()
        with httpx.Client(base_url="http://{}:{}".format(*address), timeout=60) as client:
            while client.get("/ready").status_code != 200:
                assert thread.is_alive()
        yield address
        server.should_exit = True
        thread.join(40)
        assert not thread.is_alive()
