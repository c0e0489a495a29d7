"""What several test files share."""

from __future__ import annotations

import os

# Before anything imports huggingface_hub: no test may reach the Hub. (HF_HUB_OFFLINE would stop its client
# from talking to our own service too.)
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HUB_DISABLE_XET"] = "1"  # the sandbox Hub speaks plain HTTP
# Before anything imports torch. Tests are small and many: threads that wait for each other take longer than
# one that works, many times so where another process wants the core. Tests of several threads ask for them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import logging
from collections.abc import Iterator

import pytest
import torch
from snn_voice_server.process import logs

import snn_voice_hub as sv
from tests.models.registered import registry_as_before

pytest_plugins = ["tests.release.fixtures", "tests.sandbox.fixtures"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    """What `logs` sets up is for a whole process: without this, later tests would not see its records."""
    found = [logging.getLogger(name) for name in (*logs.ROOTS, *logs.PRINTERS, None)]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in found]
    yield
    for logger, (handlers, level, propagate) in zip(found, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    """What a test registers is unknown to the next one."""
    with registry_as_before():
        yield


@pytest.fixture(scope="session")
def default_model() -> sv.SnnVoice:
    """The bundled default, which no test may change."""
    return sv.SnnVoice.from_pretrained()
