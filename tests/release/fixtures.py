"""The wheels, built once for all tests of a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.release.building import build_wheel


@pytest.fixture(scope="session")
def lite_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of `snn-voice-lite`, out of the working tree."""
    pytest.importorskip("build", reason="the extra release is not installed")
    return build_wheel("snn-voice-lite", tmp_path_factory.mktemp("lite"))


@pytest.fixture(scope="session")
def hub_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of `snn-voice-hub`, out of the working tree."""
    pytest.importorskip("build", reason="the extra release is not installed")
    return build_wheel("snn-voice-hub", tmp_path_factory.mktemp("hub"))
