from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nursery import close_nurseries
from tests.sandbox.helpers import Sandbox, running


@pytest.fixture(scope="session", autouse=True)
def _nursery() -> Iterator[None]:
    yield
    close_nurseries()


@pytest.fixture(scope="session")
def _running_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("hub"), tmp_path_factory.mktemp("unused")) as sandbox:
        yield sandbox


@pytest.fixture
def hub(_running_hub: Sandbox, tmp_path: Path) -> Iterator[Sandbox]:
    """An empty Hub on which nothing is wrong, and an empty client's cache."""
    # One server serves the whole session: starting and ending one takes longer than most tests.
    _running_hub.home = tmp_path / "hf_home"
    yield _running_hub
    _running_hub.reset()


@pytest.fixture
def hub_env(hub: Sandbox) -> dict[str, str]:
    """Environment of a subprocess that is to meet the Hub as the user `me`."""
    return {**os.environ, **hub.environment()}
