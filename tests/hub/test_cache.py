"""Names in a repository, and what may be written and removed in the Hub client's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.remote.cache import RepoCache
from snn_voice_hub.hub.remote.listing import Listed, is_path, read_listing

COMMIT, CHECKSUM = "a" * 40, "b" * 40


@pytest.fixture
def cache(tmp_path: Path) -> RepoCache:
    found = RepoCache.of("me/x", tmp_path / "hub")
    (found.folder / "blobs").mkdir(parents=True)
    found.pointer(COMMIT, "x").parent.mkdir(parents=True)
    (tmp_path / "victim").write_text("mine")
    return found


@pytest.mark.parametrize("name", ["config.json", "a/b.ckpt", "n_steps=15 (1)/é.ckpt", "👩‍🔬/..x", "aa:b"])
def test_names_inside_a_repository(name: str) -> None:
    assert is_path(name)


OUTSIDE = ["", "/", "/etc/x", "..", "a/../b", "a/..", "./a", "a//b", "a/", "C:/x", "c:x", "//host/x", "a\\b"]
CONTROL = ["a\0", "a\nb", "a\x7f", "a\x9b", "\ud800"]
LONG = ["x" * 256, "é" * 128, "x/" * 600 + "x"]


@pytest.mark.parametrize("name", [*OUTSIDE, *CONTROL, *LONG])
def test_names_that_lead_out_of_a_folder_or_into_a_terminal(name: str) -> None:
    assert not is_path(name)
    with pytest.raises(CheckpointError, match="is no name of a file") as caught:
        read_listing({"sha": COMMIT, "siblings": [{"rfilename": name}]}, "me/x")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_names_that_differ_by_case_are_two() -> None:
    siblings = [{"rfilename": "config.json"}, {"rfilename": "Config.json"}]
    assert len(read_listing({"sha": COMMIT, "siblings": siblings}, "me/x").files) == 2


def test_a_broken_file_goes_with_its_blob(cache: RepoCache) -> None:
    blob = cache.folder / "blobs" / CHECKSUM
    blob.write_text("broken")
    pointer = cache.pointer(COMMIT, "x")
    pointer.symlink_to(f"../../blobs/{CHECKSUM}")
    cache.discard(pointer)
    assert not blob.exists()
    assert not pointer.is_symlink()


@pytest.mark.parametrize("target", ["../../../../victim", "../../blobs/../../../victim", "../../blobs/name"])
def test_nothing_else_is_removed(cache: RepoCache, tmp_path: Path, target: str) -> None:
    (cache.folder / "blobs" / "name").write_text("mine")
    pointer = cache.pointer(COMMIT, "x")
    pointer.symlink_to(target)
    cache.discard(pointer)
    assert not pointer.is_symlink()
    assert (tmp_path / "victim").read_text() == "mine"
    assert (cache.folder / "blobs" / "name").read_text() == "mine"


def test_a_blob_that_is_a_link_leaves_what_it_leads_to(cache: RepoCache, tmp_path: Path) -> None:
    (cache.folder / "blobs" / CHECKSUM).symlink_to(tmp_path / "victim")
    pointer = cache.pointer(COMMIT, "x")
    pointer.symlink_to(f"../../blobs/{CHECKSUM}")
    cache.discard(pointer)
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize("planted", ["snapshots", f"snapshots/{COMMIT}", "blobs"])
def test_folders_of_the_cache_that_lead_out_of_it(cache: RepoCache, tmp_path: Path, planted: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = cache.folder / planted
    for folder in (path / COMMIT, path):
        if folder.is_dir():
            folder.rmdir()
    path.symlink_to(outside)
    with pytest.raises(CheckpointError, match="leads out of the cache"):
        cache.bring(COMMIT, "x", Listed(4, git=CHECKSUM), "me/x", token=False)
    assert list(outside.iterdir()) == []
