"""Folders of every earlier version open and answer as they did; a later one is refused, with what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.config import FORMAT_VERSION
from snn_voice_hub.hub.bundled import bundled_root
from tests.places import EXAMPLES, ROOT

# What tcy-snn's config.json was when a version began, and before the next one; its weights never changed.
RECORDED = sorted((Path(__file__).parent / "earlier").glob("*.json"))
TODAY = bundled_root() / "tcy-snn"


def version_of(path: Path) -> int:
    return int(json.loads(path.read_text())["format_version"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint without a configuration."""
    made = tmp_path / "tcy-snn"
    made.mkdir()
    shutil.copy(TODAY / "model.safetensors", made)
    return made


def test_each_version_is_recorded() -> None:
    """Whoever makes another version lays the last file of the one before into `tests/config/earlier/`."""
    assert {version_of(path) for path in RECORDED} == set(range(1, FORMAT_VERSION + 1))
    for path in RECORDED:
        assert path.stem.startswith(f"{version_of(path)}-")


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
def test_it_opens_and_answers_as_today(path: Path, folder: Path) -> None:
    shutil.copy(path, folder / "config.json")
    clip, x = EXAMPLES / "yes.wav", torch.randn(2, 16_000)
    today = sv.SnnVoice.from_pretrained(TODAY, engine="torch")
    old = sv.SnnVoice.from_pretrained(folder, engine="torch")
    assert torch.equal(old(x), today(x))
    assert old.classify(clip) == today.classify(clip)
    assert old.config.network == today.config.network
    assert old.config.features == today.config.features
    bare = sv.TcySNN.from_pretrained(folder)
    assert torch.equal(bare(old.features(x)), today(x))


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
def test_it_is_saved_in_todays_version_and_loses_nothing(path: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copy(path, folder / "config.json")
    sv.SnnVoice.from_pretrained(folder).save_pretrained(tmp_path / "new")
    new, old = (json.loads((at / "config.json").read_text()) for at in (tmp_path / "new", folder))
    assert new["format_version"] == FORMAT_VERSION
    assert {name for name in old if name != "format_version" and not _within(old[name], new[name])} == set()
    assert set(new) == set(json.loads((TODAY / "config.json").read_text()))
    # And the file that was opened is as it was.
    assert (folder / "config.json").read_bytes() == path.read_bytes()


def _within(old: object, new: object) -> bool:
    """Whether nothing of an older value is lost or changed."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and _within(old[name], new[name]) for name in old)
    return old == new


@pytest.mark.parametrize("door", ["SnnVoice", "TcySNN"])
def test_a_later_version_is_refused_and_the_error_says_how_to_go_on(door: str, folder: Path) -> None:
    config = json.loads((TODAY / "config.json").read_text())
    config |= {"format_version": FORMAT_VERSION + 1, "a_field_of_tomorrow": 1}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(sv.ConfigError) as caught:
        getattr(sv, door).from_pretrained(folder)
    # Of the version, and not of the field that only a later release knows.
    assert f"has format_version {FORMAT_VERSION + 1}, this release reads up to {FORMAT_VERSION}" in str(
        caught.value
    )
    assert "pip install --upgrade" in caught.value.hint


def test_the_document_tells_of_every_version() -> None:
    text = (ROOT / "docs" / "compatibility.md").read_text()
    rows = [
        line.split("|")[1].strip()
        for line in text.splitlines()
        if line.startswith("| ") and line[2].isdigit()
    ]
    assert rows == [str(version) for version in range(1, FORMAT_VERSION + 1)]
