"""What several test files of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.voice.package_helpers import fresh
from tests.voice.saving_helpers import made


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where Python looks for modules."""
    with fresh():
        folder = tmp_path / "site"
        folder.mkdir()
        monkeypatch.syspath_prepend(folder)
        yield folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of a small model."""
    made().save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"
