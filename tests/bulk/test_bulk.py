"""Bulk classification without Ray: what is listed, what is written, what a worker answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from snn_voice_hub.bulk.options import BulkOptions
from snn_voice_hub.bulk.run import classify_bulk
from snn_voice_hub.bulk.sources import ClipSource, Sources, find_sources, without_secrets
from snn_voice_hub.errors import ConfigError, MissingExtraError, SnnVoiceError
from tests.places import EXAMPLES


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(sources: Sources) -> list[str]:
    return [entry.name for index in range(len(sources.items)) for entry in sources.entries(index)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    touch(
        *(
            tmp_path / name
            for name in ("b/2.wav", "b/1.FLAC", "b/c/3.opus", "a.mp3", "a.txt", "wav", "b/x.wavx")
        )
    )
    return tmp_path


def test_a_folder_is_walked_for_endings_of_sound(tree: Path) -> None:
    found = names(find_sources([str(tree)]))
    assert found == [f"{tree}/{name}" for name in ("a.mp3", "b/1.FLAC", "b/2.wav", "b/c/3.opus")]


def test_names_do_not_depend_on_how_a_folder_is_called(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = names(find_sources([str(tree / "b")]))
    monkeypatch.chdir(tree)
    for spelling in ("b", "./b/", "b/../b", f"file://{tree}/b"):
        assert names(find_sources([spelling])) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ("b", "."),
        (".", "b"),
        (".", "b/2.wav"),
        ("b/2.wav", "b/2.wav", "."),
        ("b/*.wav", "."),
        (".", "**/*.wav"),
        ("b/c", "b/*", ".", "b"),
    ],
)
def test_a_clip_that_is_named_twice_comes_once(
    tree: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tree)
    found = names(find_sources(arguments))
    assert sorted(found) == sorted(names(find_sources(["."])))


def test_a_hidden_folder_that_is_named_is_not_lost_to_the_one_around_it(tree: Path) -> None:
    touch(tree / ".hidden" / "x.wav", tree / "b" / ".cache" / "y.wav")
    asked = [str(tree), str(tree / ".hidden"), str(tree / "b" / ".cache")]
    alone, together = names(find_sources(asked[:1])), names(find_sources(asked))
    assert sorted(together) == sorted([*alone, f"{tree}/.hidden/x.wav", f"{tree}/b/.cache/y.wav"])


def test_patterns(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)

    def found(pattern: str) -> list[str]:
        return [os.path.relpath(name, tree) for name in names(find_sources([pattern]))]

    assert found("b/*") == ["b/1.FLAC", "b/2.wav"]
    assert found("b/?.wav") == ["b/2.wav"]
    assert found("*/2.w*") == ["b/2.wav"]
    assert found("**/*.opus") == ["b/c/3.opus"]
    assert found("**") == ["a.mp3", "b/1.FLAC", "b/2.wav", "b/c/3.opus"]
    with pytest.raises(SnnVoiceError, match="no sound files"):
        found("*.wav")


def test_a_pattern_is_a_name_where_such_a_file_is(tmp_path: Path) -> None:
    touch(tmp_path / "what?.wav", tmp_path / "whats.wav")
    assert names(find_sources([str(tmp_path / "what?.wav")])) == [f"{tmp_path}/what?.wav"]


def test_links_to_files_count_and_rings_of_folders_end(tree: Path) -> None:
    (tree / "b" / "ring").symlink_to(tree)
    (tree / "link.wav").symlink_to(tree / "b/2.wav")
    (tree / "nowhere.wav").symlink_to(tree / "none")
    (tree / "self.wav").symlink_to(tree / "self.wav")
    entries = list(find_sources([str(tree)]).entries(0))
    problems = {entry.name: entry.problem for entry in entries if entry.problem}
    assert set(problems) == {f"{tree}/nowhere.wav", f"{tree}/self.wav"}
    assert problems[f"{tree}/nowhere.wav"] == "does not exist"
    assert f"{tree}/link.wav" in {entry.name for entry in entries}
    assert len(entries) == 7


def test_names_that_are_no_text_and_folders_of_any_name(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff\xe9"
    try:
        os.mkdir(odd)  # noqa: PTH102
    except OSError:
        pytest.skip("this file system takes text only")
    Path(os.fsdecode(odd + b"/\xe4 #?.wav")).write_bytes(b"x")
    touch(tmp_path / "ä ö/100%.wav")
    sources = find_sources([os.fsdecode(odd), str(tmp_path)])
    entries = [entry for index in (0, 1) for entry in sources.entries(index)]
    assert [entry.name for entry in entries] == [
        f"{tmp_path}/\\xff\\xe9/\\xe4 #?.wav",
        f"{tmp_path}/ä ö/100%.wav",
    ]
    for entry in entries:
        entry.name.encode()  # can be written
        assert Path(os.fsdecode(entry.place)).is_file()


def test_a_folder_that_cannot_be_listed_is_an_entry(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def forbidden(path: str) -> Any:
        if path.endswith("/c"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    entries = list(find_sources([str(tree)]).entries(0))
    assert [(e.name, e.problem) for e in entries if e.problem] == [
        (f"{tree}/b/c", "can't be listed: Permission denied")
    ]
    assert len(entries) == 4
    with pytest.raises(SnnVoiceError, match=r"can't be listed.*Permission denied"):
        find_sources([str(tree / "b/c")])


def test_listing_begins_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first clip is there when one folder has been read, out of a thousand."""
    touch(*(tmp_path / f"{i:04}" / "x.wav" for i in range(1000)))
    opened = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(path) or scandir(path))
    next(find_sources([str(tmp_path)]).entries(0))
    assert len(opened) < 10


def test_many_folders_and_files_as_arguments(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{i}" / f"{j}.wav" for i in range(300) for j in range(3)))
    folders = [str(path) for path in tmp_path.iterdir()]
    files = [str(path) for path in tmp_path.rglob("*.wav")]
    assert len(names(find_sources([*folders, *files, str(tmp_path)]))) == 900


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("nowhere", "does not exist"),
        ("-", "stdin"),
        ("nowhere/*.wav", "does not exist"),
        ("", "does not exist"),
    ],
)
def test_arguments_that_name_nothing(argument: str, message: str) -> None:
    with pytest.raises(SnnVoiceError, match=message):
        find_sources([argument])


def test_a_folder_without_sound(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(SnnVoiceError, match=r"holds no sound files \(files ending in \.wav"):
        find_sources([str(tmp_path)])


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://key:secret@bucket/a b?endpoint_override=x&access_key=y", "s3://bucket/a b"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/what?/a@b", "/what?/a@b"),
    ],
)
def test_keys_in_a_uri_are_not_shown(uri: str, shown: str) -> None:
    assert without_secrets(uri) == shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": 0},
        {"batch_size": 0},
        {"num_workers": 0},
        {"part_clips": 0},
        {"engine": "warp"},
        {"device": "cuda:1"},
        {"device": "gpu"},
    ],
)
def test_options_are_checked_before_ray_is_started(wrong: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, SnnVoiceError), match="is not legal"):
        BulkOptions(**wrong)


@pytest.mark.parametrize("missing", ["ray", "pyarrow"])
def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "pyarrow":
        pytest.importorskip("ray")
        for name in [name for name in sys.modules if name.partition(".")[0] in ("ray", "pyarrow", "pandas")]:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # leave no token behind for other tests
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"snn-voice-hub\[ray\]"):
        classify_bulk([str(EXAMPLES)], str(tmp_path / "out"), BulkOptions())
    assert not (tmp_path / "out").exists()


def test_a_source_of_the_root_folder_is_named_like_any(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    source = ClipSource("", "", None, None)
    assert source.holds("/a.wav")
    assert next(ClipSource(str(tmp_path), str(tmp_path)).entries()).name == f"{tmp_path}/a.wav"
