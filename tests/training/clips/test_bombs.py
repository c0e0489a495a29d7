"""Small files that unpack to more than a memory holds: refused, before they are unpacked."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.items import is_tar, items_of
from snn_voice_hub.training.fitting.answers import Answers, write_answers
from snn_voice_hub.training.lessons.recordings import read_recordings
from snn_voice_hub.zips import room, what_is_wrong
from tests.slowness import mostly_slow

GIGABYTE = 1 << 30
_PIECE = bytes(1 << 20)


@contextmanager
def cheaply() -> Iterator[None]:
    """Neither memory nor time goes, as it would if anything was unpacked."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 << 20
    assert time.process_time() - began < 20


def zip_bomb(
    path: Path, name: str, size: int, method: int = zipfile.ZIP_DEFLATED, begin: bytes = b""
) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive, archive.open(name, "w", force_zip64=True) as file:
        file.write(begin)
        for _ in range(size >> 20):
            file.write(_PIECE)
    assert path.stat().st_size < 4 << 20
    return path


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    begin = io.BytesIO()
    np.lib.format.write_array_header_1_0(begin, {"descr": kind, "fortran_order": False, "shape": shape})
    return begin.getvalue()


def recordings(path: Path) -> object:
    return read_recordings([path], ["yes"], sample_rate=16_000, num_samples=16_000)


@pytest.mark.parametrize(
    ("name", "read"),
    [("clips.zip", recordings), ("answers.npz", Answers.read)],
)
def test_a_zip_that_becomes_gigabytes(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    size = GIGABYTE // 2
    shape = (size // 4,)
    inside = {"clips.zip": "yes/a.wav", "answers.npz": "log_probs.npy"}[name]
    path = zip_bomb(tmp_path / name, inside, size, begin=header(shape) if name.endswith("npz") else b"RIFF")
    with cheaply(), pytest.raises(SnnVoiceError, match=r"is refused: it is .* MB, unpacked"):
        read(path)


@pytest.mark.parametrize(
    ("name", "inside", "read"),
    [("clips.zip", "yes/a.wav", recordings), ("answers.npz", "names.npy", Answers.read)],
)
def test_a_method_that_takes_as_much_memory_as_the_file_says(
    tmp_path: Path, name: str, inside: str, read: Callable[[Path], object]
) -> None:
    path = zip_bomb(tmp_path / name, inside, 1 << 20, zipfile.ZIP_LZMA)
    with pytest.raises(SnnVoiceError, match="packed in a way that is not read"):
        read(path)


def test_entries_that_say_less_than_they_hold_are_read_as_far_as_they_say(tmp_path: Path) -> None:
    path = zip_bomb(tmp_path / "clips.zip", "yes/a.wav", 200 << 20)
    content = bytearray(path.read_bytes())
    # In the list at the end of the zip, where `zipfile` looks: sizes of 32 bits, in place of 200 MB.
    at = content.rindex(b"PK\1\2") + 24
    assert int.from_bytes(content[at : at + 4], "little") == 200 << 20
    content[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    with cheaply(), pytest.raises(SnnVoiceError, match="is no zip that can be read"):
        recordings(path)


def test_what_an_archive_of_answers_holds_besides_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "answers.npz"
    write_answers(path, "somebody", ["yes/a.wav"], ["yes"], np.zeros((1, 1)))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more.npy", header((100 << 20,), "<u1") + bytes(100 << 20))
        archive.writestr("again.npy", header((250 << 20,), "<u1") + bytes(250 << 20))
    with cheaply():
        assert Answers.read(path).names == ["yes/a.wav"]


def test_more_names_than_there_are_clips(tmp_path: Path) -> None:
    path = tmp_path / "answers.npz"
    count = 5_000_001
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, kind, shape, size in (
            ("names", "<U1", (count,), 4 * count),
            ("labels", "<U1", (1,), 4),
            ("log_probs", "<f2", (count, 1), 2 * count),
        ):
            archive.writestr(f"{name}.npy", header(shape, kind) + bytes(size))
    with cheaply(), pytest.raises(SnnVoiceError, match="5,000,001 names are more"):
        Answers.read(path)


# --- tars -----------------------------------------------------------------------------------------


def block(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def tar_bomb(path: Path, begin: bytes, size: int) -> Path:
    with gzip.open(path, "wb", 6) as file:
        file.write(begin)
        for _ in range(size >> 20):
            file.write(_PIECE)
    assert path.stat().st_size < 4 << 20
    return path


BOMBS = {
    "a clip": block("yes/a.wav", GIGABYTE // 2),
    "what is no sound": block("yes/a.txt", 3 * GIGABYTE // 2),
    "a name": block("yes/a.wav", GIGABYTE // 2, tarfile.GNUTYPE_LONGNAME),
    "a header": block("yes/a.wav", GIGABYTE // 2, tarfile.XHDTYPE),
    "a header for all": block("yes/a.wav", GIGABYTE // 2, tarfile.XGLTYPE),
}
_CLIP = block("yes/b.wav", 3) + b"abc".ljust(512, b"\0")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", mostly_slow(list(BOMBS), "a clip", "a name"))
def test_a_tar_that_becomes_gigabytes(tmp_path: Path, kind: str, first: bool) -> None:
    path = tar_bomb(tmp_path / "clips.tar.gz", (b"" if first else _CLIP) + BOMBS[kind], GIGABYTE // 2)
    with cheaply(), pytest.raises(SnnVoiceError, match=r"is refused|is damaged|is neither"):
        list(items_of(path))
    with cheaply():
        is_tar(path)


def test_zeros_that_are_not_in_the_tar(tmp_path: Path) -> None:
    """`tar --sparse` says where they are."""
    member = tarfile.TarInfo("yes/a.wav")
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 0
    head = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    # One piece of no bytes at 0, and the real size: https://www.gnu.org/software/tar/manual/html_node/Standard.html
    head[386:410] = b"00000000000\0" * 2
    head[483:495] = b"%011o\0" % (GIGABYTE - 1)
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    path = tmp_path / "clips.tar"
    path.write_bytes(bytes(head) + _CLIP + bytes(1024))
    with cheaply():
        found = {item.name: item for item in items_of(path)}
    assert found["yes/a.wav"].reason == "too large"
    assert found["yes/b.wav"].content == b"abc"


def test_headers_that_each_announce_another_one(tmp_path: Path) -> None:
    path = tmp_path / "clips.tar"
    path.write_bytes(_CLIP + block("x", 0, tarfile.GNUTYPE_LONGNAME) * 5000 + _CLIP)
    with cheaply(), pytest.raises(SnnVoiceError, match="is damaged"):
        list(items_of(path))


@pytest.mark.slow
def test_what_is_large_and_no_bomb_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 3 << 20, np.uint8).tobytes()
    for name, mode in (("clips.tar.gz", "w:gz"), ("clips.tar.xz", "w:xz"), ("clips.tar.bz2", "w:bz2")):
        with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]
            for clip in ("yes/a.wav", "yes/b.wav"):
                member = tarfile.TarInfo(clip)
                member.size = len(noise)
                archive.addfile(member, io.BytesIO(noise))
        assert [item.content for item in items_of(tmp_path / name)] == [noise] * 2


def test_how_much_is_too_much() -> None:
    entry = zipfile.ZipInfo("a")
    entry.file_size = 64 << 20
    assert what_is_wrong([entry], 1, GIGABYTE) == ""
    assert "129 MB" in what_is_wrong([entry, entry, zip_info(1 << 20)], 1 << 20, GIGABYTE)
    assert what_is_wrong([entry, entry], 2 << 20, GIGABYTE) == ""
    assert "100 are read" in what_is_wrong([entry, entry], 2 << 20, 100 << 20)
    assert room(0) == room(1000) == 64 << 20


def zip_info(size: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("b")
    entry.file_size = size
    return entry
