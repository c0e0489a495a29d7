from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import torch
from server_helpers import Running, start

from snn_voice_hub import SnnVoice, TcySNN

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
def small_server(processes: Processes) -> Running:
    """A service with low limits and a thousand labels. A test ends it: use it before that one."""
    return Running.wait_for(processes.small, processes.logs / "small")


@pytest.fixture(scope="session")
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as found:
        yield found
