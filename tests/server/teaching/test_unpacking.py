"""Zips of strangers."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from snn_voice_server.failures import RequestError
from snn_voice_server.teaching.lessons import TeachLimits, name_for
from snn_voice_server.teaching.unpacking import unpack

from snn_voice_hub.audio import load
from tests.server.helpers import encoded, wav
from tests.server.teaching.helpers import takes, zipped

CLIP = wav(seconds=0.5)
LIMITS = TeachLimits(words=2, clips=3, max_bytes=1_000_000)


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_clips_of_words(tmp_path: Path, method: int) -> None:
    files = {"lumos/me_nohash_0.wav": CLIP, "lumos/me_nohash_1.flac": CLIP, "grüß gott/a b (1).WAV": CLIP}
    litter = {"__MACOSX/lumos/._me_nohash_0.wav": b"x", "lumos/.DS_Store": b"x", "lumos/": b""}
    counts = unpack(zipped(files | litter, method), tmp_path / "x", LIMITS)
    assert counts == {"lumos": 2, "grüß gott": 1}
    assert below(tmp_path / "x") == sorted(files)
    assert (tmp_path / "x/lumos/me_nohash_0.wav").read_bytes() == CLIP


def test_a_folder_around_all(tmp_path: Path) -> None:
    unpack(zipped({"takes/lumos/0.wav": CLIP, "takes/nox/0.wav": CLIP}), tmp_path, LIMITS)
    assert below(tmp_path) == ["lumos/0.wav", "nox/0.wav"]
    assert len(load(tmp_path / "nox/0.wav")) == 8000


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../lumos/0.wav", "../lumos/0.wav"),
        ("lumos/../../0.wav", "lumos/../../0.wav"),
        ("/etc/0.wav", "/etc/0.wav"),
        ("lumos\\0.wav", "lumos"),
        ("0.wav", "no clip of a word|not where"),
        ("a/b/c/0.wav", "not where|no clip"),
        ("lumos/C:0.wav", "no clip"),
        ("lumos/notes.txt", "notes.txt"),
        ("lumos/0\n.wav", "lumos/0"),
        ("_unknown_/0.wav", "_unknown_"),
        (" lumos/0.wav", "lumos"),
        ("lumos/" + "x" * 130 + ".wav", "xxx"),
        ("lumos/" + "\u6f22" * 90 + ".wav", "\u6f22"),  # more bytes than a name on a disk may have
    ],
)
def test_names_that_are_none(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as refusal:
        unpack(zipped({name: CLIP}), tmp_path / "in" / "x", LIMITS)
    assert refusal.value.code in ("bad_zip", "bad_word")
    assert refusal.value.hint
    assert below(tmp_path) == []


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({}, "no_clips"),
        ({"lumos/": b""}, "no_clips"),
        ({"lumos/0.wav": b"no sound"}, "not_audio"),
        ({"lumos/0.wav": b""}, "empty"),
        ({"lumos/0.wav": CLIP[:100]}, "truncated"),
        ({"lumos/0.wav": wav(seconds=10.5)}, "too_long"),
        ({f"{word}/0.wav": CLIP for word in "abc"}, "too_many_words"),
        ({f"lumos/{i}.wav": CLIP for i in range(4)}, "too_many_clips"),
        ({f"lumos/{i}.wav": wav(seconds=9.0) + bytes(250_000) for i in range(3)}, "too_large"),
    ],
)
def test_what_is_in_it(tmp_path: Path, files: dict[str, bytes], code: str) -> None:
    with pytest.raises(RequestError) as refusal:
        unpack(zipped(files), tmp_path, LIMITS)
    assert refusal.value.code == code
    assert refusal.value.hint


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A gigabyte of silence is a megabyte, and what the zip says of its size may be a lie."""
    sound = encoded(np.zeros(16_000, np.float32))
    bomb = zipped({"lumos/0.wav": sound + bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(RequestError, match="too much") as refusal:
        unpack(bomb, tmp_path, LIMITS)
    assert refusal.value.code == "too_large"
    assert below(tmp_path) == []


def test_a_long_list_is_not_read(tmp_path: Path) -> None:
    many = zipped({f"lumos/{i}": b"" for i in range(300)})
    with pytest.raises(RequestError, match="lists too many files"):
        unpack(many, tmp_path, LIMITS)


def test_damaged_and_encrypted(tmp_path: Path) -> None:
    good = zipped({"lumos/0.wav": CLIP})
    at = good.index(CLIP)
    for broken in (good[:-10], b"", b"PK\x05\x06", good[: at + 500] + b"\xff" + good[at + 501 :]):
        with pytest.raises(RequestError, match=r"damaged|no zip") as refusal:
            unpack(broken, tmp_path / "x", LIMITS)
        assert refusal.value.code == "bad_zip"
        shutil.rmtree(tmp_path / "x", ignore_errors=True)
    for flag in (0x20, 0x40):  # a patch, and strong encryption: Python knows neither
        odd = bytearray(good)
        odd[good.index(b"PK\x01\x02") + 8] |= flag
        with pytest.raises(RequestError, match="is damaged"):
            unpack(bytes(odd), tmp_path / f"flag-{flag}", LIMITS)
    secret = bytearray(good)
    for at in (good.index(b"PK\x03\x04") + 6, good.index(b"PK\x01\x02") + 8):
        secret[at] |= 1
    lzma = io.BytesIO()
    with zipfile.ZipFile(lzma, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("lumos/0.wav", CLIP)
    for name, other in (("secret", bytes(secret)), ("lzma", lzma.getvalue())):
        with pytest.raises(RequestError, match="in a way that is not read"):
            unpack(other, tmp_path / name, LIMITS)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_name_at_all(tmp_path: Path) -> None:
    nameless = zipped({"qqq": CLIP}).replace(b"qqq", b"\0qq")  # a name ends before NUL
    with pytest.raises(RequestError, match="is no clip of a word") as refusal:
        unpack(nameless, tmp_path / "in", LIMITS)
    assert refusal.value.code == "bad_zip"


def test_twice_the_same_name(tmp_path: Path) -> None:
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("lumos/0.wav", CLIP)
        archive.writestr("lumos/0.wav", CLIP)
    with pytest.raises(RequestError, match="twice"):
        unpack(twice.getvalue(), tmp_path, LIMITS)


def test_names_of_models() -> None:
    assert name_for(["lumos"], []) == "lumos"
    assert name_for(["turn on", "it's"], []) == "turn-on-it-s"
    assert name_for(["lumos"], ["lumos", "lumos-2"]) == "lumos-3"
    assert name_for(["ja"] * 100, []) == "-".join(["ja"] * 18) + "-j"
    assert len(takes("a")) < 40_000
