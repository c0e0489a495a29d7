"""Folders and tars with odd files in them, and the cache that notices every change."""

from __future__ import annotations

import io
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips import data as data_module
from snn_voice_hub.training.clips.data import Reader, load_clips
from tests.training.clips.source_helpers import load, packed, sound, words, write


def test_what_is_no_clip_is_left_out_or_listed(tmp_path: Path) -> None:
    folder = write(tmp_path / "w", *words(3), "caf\u00e9/a.wav", "cafe\u0301/b.wav", "caf\u00e9/ü ß.wav")
    write(folder, "yes/._0.wav", ".git/x.wav", "__MACOSX/yes/0.wav", "yes/.hidden/0.wav", content=b"x")
    write(folder, "yes/broken.wav", "stray.wav", "yes/phone.m4a", "yes/empty.wav", content=b"x")
    (folder / "yes" / "empty.wav").write_bytes(b"")
    write(folder, "yes/old/deep.wav")
    (folder / "no" / "folder.wav").mkdir()
    (folder / "no" / "gone.wav").symlink_to(tmp_path / "gone.wav")
    (folder / "no" / "loop").symlink_to(folder)
    os.mkfifo(folder / "no" / "pipe.wav")
    (folder / "linked").symlink_to(write(tmp_path / "elsewhere", "0.wav", "1.wav"))
    (folder / "no" / "linked.wav").symlink_to(folder / "no" / "0.wav")
    found = load(folder)
    assert Counter([*found.train.labels, *found.val.labels]) == {"yes": 3, "no": 3, "café": 3, "linked": 2}
    reasons = dict(found.skipped)
    assert set(reasons) == {
        *("yes/broken.wav", "stray.wav", "yes/phone.m4a", "yes/empty.wav", "yes/old/deep.wav"),
        *("no/folder.wav", "no/gone.wav", "no/pipe.wav", "no/linked.wav"),
    }
    assert reasons["no/linked.wav"] == "the same file as no/0.wav"
    assert reasons["no/gone.wav"] == "does not exist"
    assert reasons["no/pipe.wav"] == "not a file"
    assert reasons["no/folder.wav"] == "an empty folder"
    assert reasons["stray.wav"] == "not in a folder named by its word"
    assert reasons["yes/old/deep.wav"] == "in a folder inside the folder of the word 'yes'"


def test_a_clip_of_several_names_is_on_one_side_only(tmp_path: Path) -> None:
    """Its own name counts before that of a link, and a folder's own name before that of a link to it."""
    folder = write(tmp_path / "w", *words(4))
    (folder / "best").mkdir()
    (folder / "best" / "of_all.wav").symlink_to(folder / "yes" / "0.wav")
    (folder / "yes" / "z.wav").hardlink_to(folder / "yes" / "1.wav")
    (folder / "also_yes").symlink_to("yes")
    (folder / "stop").symlink_to(write(tmp_path / "elsewhere", "0.wav", "1.wav", "2.wav"))
    (folder / "stop_too").symlink_to(tmp_path / "elsewhere")
    found = load(folder)
    names = [*found.train.names, *found.val.names]
    assert sorted(names) == sorted([*words(4), *(f"stop/{i}.wav" for i in range(3))])
    reasons = dict(found.skipped)
    assert reasons["best/of_all.wav"] == "the same file as yes/0.wav"
    assert reasons["also_yes"] == f"the same folder as {folder}/yes"
    assert reasons["stop_too"] == f"the same folder as {folder}/stop"
    assert len(reasons) == 4


def test_a_wrapped_corpus_with_a_stray_clip(tmp_path: Path) -> None:
    found = load(write(tmp_path, *[f"corpus/{name}" for name in words(4)], "corpus/stray.wav"))
    assert set(found.train.labels) == {"yes", "no"}
    assert found.skipped == [("corpus/stray.wav", "not in a folder named by its word")]


def test_odd_members_of_a_tar(tmp_path: Path) -> None:
    tar = packed(write(tmp_path / "w", *words(2)), tmp_path / "w.tar")
    with tarfile.open(tar, "a") as archive:
        for name, kind, target in (
            ("./yes/hard.wav", tarfile.LNKTYPE, "yes/0.wav"),
            ("yes/soft.wav", tarfile.SYMTYPE, "1.wav"),
            ("yes/gone.wav", tarfile.SYMTYPE, "9.wav"),
            ("yes/pipe.wav", tarfile.FIFOTYPE, ""),
            ("yes/self.wav", tarfile.SYMTYPE, "self.wav"),
            ("stop", tarfile.SYMTYPE, "../elsewhere"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        odd = tarfile.TarInfo("no\udcff/x.wav")
        odd.size = len(sound())
        archive.addfile(odd, io.BytesIO(sound()))
    clips = load_clips(tar, num_samples=800)
    assert sorted(clips.names) == [*words(2, "no"), *words(2, "yes")]
    assert dict(clips.skipped) == {
        "yes/hard.wav": "the same file as yes/0.wav",
        "yes/soft.wav": "the same file as yes/1.wav",
        "yes/gone.wav": "a link to what is not in the tar",
        "yes/self.wav": "a link to what is not in the tar",
        "stop": "a link to a folder, which tar --dereference would have packed",
        "yes/pipe.wav": "not a file",
        "no\\xff/x.wav": "the name of its folder is not UTF-8",
    }


def test_the_cache_notices_every_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cache = write(tmp_path / "w", *words(3)), tmp_path / "cache"
    write(folder, "yes/broken.wav", content=b"x")
    decoded: list[int] = []
    decode = data_module.decode

    def counted(*args: object, **settings: object) -> object:
        decoded.append(1)
        return decode(*args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(data_module, "decode", counted)

    def times(**settings: int) -> int:
        decoded.clear()
        Reader(cache=cache, **({"num_samples": 800} | settings)).read(folder)
        return len(decoded)

    assert (times(), times()) == (1, 0)
    kept = Reader(cache=cache, num_samples=800).read(folder)
    assert [name for name, _ in kept.clips.skipped] == ["yes/broken.wav"]
    state = (folder / "yes" / "0.wav").stat()
    (folder / "yes" / "0.wav").write_bytes(sound(0.5))  # as long as before, and as old
    os.utime(folder / "yes" / "0.wav", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert times() == 1
    changed = Reader(cache=cache, num_samples=800).read(folder).clips
    assert changed.waveforms[changed.names.index("yes/0.wav"), 0] == 16_384
    assert len(list(cache.glob("*.npz"))) == 1
    (folder / "validation_list.txt").write_text("yes/0.wav\n")
    assert (times(), times()) == (1, 0)
    (folder / "yes" / "2.wav").rename(folder / "no" / "9.wav")
    assert (times(), times()) == (1, 0)
    assert (times(num_samples=400), times(sample_rate=8000), times()) == (1, 1, 0)
    for file in cache.glob("*.npz"):
        file.write_bytes(file.read_bytes()[:2000])
    assert (times(), times()) == (1, 0)
    assert not list(cache.glob("*.part"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SnnVoiceError, match="file can't be made"):
        Reader(cache=tmp_path / "file").read(folder)
