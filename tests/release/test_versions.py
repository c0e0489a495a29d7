"""One version, in every file that names it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import snn_voice_lite
import yaml  # type: ignore[import-untyped]

import snn_voice_hub
from tests.places import ROOT
from tests.release import versions
from tests.release.building import ReleaseError


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for name in [*versions.PLACES, "CHANGELOG.md"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_all_files_name_one() -> None:
    assert versions.current() == snn_voice_hub.__version__ == snn_voice_lite.__version__
    assert {name: len(named) for name, named in versions.found().items()} == {
        "snn_voice_hub/_version.py": 1,
        "lite/snn_voice_lite/_version.py": 1,
        "pyproject.toml": 1,
        "web/package.json": 1,
        "web/package-lock.json": 2,
        "CITATION.cff": 1,
    }


def test_another_one_is_written_everywhere(copied: Path) -> None:
    before = versions.current(copied)
    old = {name: (copied / name).read_text() for name in versions.PLACES}
    versions.write("11.22.33", copied)
    assert versions.current(copied) == "11.22.33"
    for name, text in old.items():
        new = (copied / name).read_text()
        assert new != text
        versions.write(before, copied)
        assert (copied / name).read_text() == text
        versions.write("11.22.33", copied)


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0-rc.1", ""])
def test_a_version_is_three_numbers(copied: Path, version: str) -> None:
    with pytest.raises(ValueError, match=r"like 1\.0\.0"):
        versions.write(version, copied)


@pytest.mark.parametrize("name", versions.PLACES)
def test_a_file_that_was_forgotten_is_named(copied: Path, name: str) -> None:
    old = (copied / name).read_text()
    versions.write("9.9.9", copied)
    (copied / name).write_text(old)
    with pytest.raises(ReleaseError, match=f"{name}: {versions.current()}"):
        versions.current(copied)


def test_a_release_has_its_date_in_the_change_log(copied: Path) -> None:
    versions.write("7.0.0", copied)
    assert "and the version is 7.0.0" in versions.unreleased(copied)
    text = (copied / "CHANGELOG.md").read_text()
    for heading, reason in (("## [7.0.0]", "names no date"), ("## [7.0.0] - 2026-01-31", "")):
        (copied / "CHANGELOG.md").write_text(text.replace("\n## [", f"\n{heading}\n\n## [", 1))
        assert reason in versions.unreleased(copied)
        assert bool(reason) == bool(versions.unreleased(copied))


def test_the_citation_can_be_read() -> None:
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(told)  # what the format asks for
    assert told["version"] == versions.current()
    assert told["preferred-citation"]["year"] == 2023
