"""The walk of a folder: what is found, what is left out, what is said of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snn_voice_hub.folders import is_litter, is_sound, no_sound, walk


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def found(root: Path) -> dict[str, str]:
    """What a walk gives, below its root."""
    listed = list(walk(root))
    rows = {os.path.relpath(item.path, root): item.problem for item in listed}
    assert len(rows) == len(listed), "something came twice"
    return rows


def test_sound_is_found_in_order_and_all_else_is_not(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.WAV", "b/1.flac", "a.mp3", "c.wav", "notes.txt", "b/memo.m4a", "b/talk.Wma", "b.wav")
    assert list(found(tmp_path)) == [
        "a.mp3",
        "b/1.flac",
        "b/2.WAV",
        "b/memo.m4a",
        "b/talk.Wma",
        "b.wav",
        "c.wav",
    ]


def test_what_other_systems_leave_is_left_out(tmp_path: Path) -> None:
    litter = ["._yes.wav", "__MACOSX/yes/yes.wav", ".git/x.wav", ".ipynb_checkpoints/x.wav", "@eaDir/yes.wav"]
    litter += ["yes/._1.wav", "yes/.Trash/1.wav", "$RECYCLE.BIN/1.wav", ".DS_Store", "Thumbs.db"]
    touch(tmp_path, *litter, "yes/1.wav")
    assert found(tmp_path) == {"yes/1.wav": ""}
    hidden = touch(tmp_path / ".cache", "1.wav")
    assert found(hidden) == {"1.wav": ""}  # what is named is meant
    assert is_litter(".x.wav")
    assert not is_sound(".x.wav")


def test_links_are_followed_and_lead_to_each_folder_once(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "yes/1.wav", "no/1.wav")
    touch(tmp_path / "elsewhere", "deep/er/1.wav", "1.wav")
    (root / "a_stop").symlink_to("../elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere")
    (root / "no" / "as_yes").symlink_to("../yes")
    (root / "no" / "best.wav").symlink_to("1.wav")
    # Rings hide nothing: to the folder above, to itself, and one by way of another link.
    (root / "yes" / "up").symlink_to("..")
    (root / "yes" / "me").symlink_to(".")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert found(root) == {
        "no/1.wav": "",
        "no/best.wav": "",
        "yes/1.wav": "",
        "a_stop/1.wav": "",
        "a_stop/deep/er/1.wav": "",
        "again": f"the same folder as {root}/a_stop",
        "no/as_yes": f"the same folder as {root}/yes",
    }
    assert all(item.lossless for item in walk(root) if item.problem)
    (tmp_path / "link").symlink_to(root)
    assert len(found(tmp_path / "link")) == len(found(root))


def test_many_links_to_each_other_take_no_more_time_than_folders(tmp_path: Path) -> None:
    """By paths there would be billions."""
    for i in range(14):
        touch(tmp_path, f"{i}/x.wav")
        for j in range(14):
            (tmp_path / str(i) / f"to{j}").symlink_to(f"../{j}")
    assert sum(not item.problem for item in walk(tmp_path)) == 14


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.wav", "closed/x.wav", "readme.txt")
    (tmp_path / "gone.wav").symlink_to("nowhere.wav")
    (tmp_path / "word").symlink_to("nowhere")  # was a folder of clips, perhaps
    (tmp_path / "gone.txt").symlink_to("nowhere.txt")
    (tmp_path / "self.wav").symlink_to("self.wav")
    (tmp_path / "device.wav").symlink_to("/dev/null")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    scandir = os.scandir

    def forbidden(path: str) -> object:
        if path.endswith("/closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    rows = found(tmp_path)
    assert "symbolic links" in rows.pop("self.wav")
    assert rows == {
        "a.wav": "",
        "closed": "can't be listed: Permission denied",
        "gone.wav": "does not exist",
        "word": "does not exist",
        "device.wav": "not a file",
        "pipe.wav": "not a file",
        "empty": "an empty folder",
    }
    assert {Path(item.path).name for item in walk(tmp_path) if item.lossless} == {"empty"}
    assert next(walk(tmp_path / "closed")).code == "unreadable"


def test_names_may_hold_any_bytes(tmp_path: Path) -> None:
    name = b"\xff\n\x1b[31m.wav"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    assert [os.fsencode(item.path) for item in walk(tmp_path)] == [os.fsencode(tmp_path) + b"/" + name]


def test_a_folder_without_sound_tells_what_is_there(tmp_path: Path) -> None:
    assert "there is nothing" in str(no_sound(tmp_path))
    touch(tmp_path, "b.zip", "a.txt", ".hidden.wav", "c.doc", "d.doc", "e.doc")
    assert str(no_sound(tmp_path)).endswith("; there is a.txt, b.zip, c.doc, d.doc and 1 more)")
