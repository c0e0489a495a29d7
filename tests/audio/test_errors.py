"""Sources of `audio.load` that are wrong, each with its error."""

from __future__ import annotations

import io
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.audio.helpers import encode, fails, junk, noise, tone


@pytest.mark.parametrize("source", [None, 5, 2.5, {}, object(), [0.1, 0.2], (1, 2), np.float32(1), iter([])])
def test_bad_type(source: Any) -> None:
    error = fails("bad_type", source)
    assert type(source).__name__ in error.message
    assert "path" in error.hint
    assert "NumPy" in error.hint


def test_text_file_object(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encode(tone(16_000), 16_000))
    with path.open() as file:
        error = fails("bad_type", file)
    assert '"rb"' in error.hint
    fails("bad_type", io.StringIO("RIFF"))

    class Text:
        def read(self, count: int) -> str:
            return "RIFF"

    assert "str" in fails("bad_type", Text()).message


@pytest.mark.parametrize("seconds", [0, -1, math.nan, True, "10", None])
def test_bad_max_seconds(seconds: Any) -> None:
    assert (
        "max_seconds"
        in fails("bad_type", np.ones(5, np.float32), sample_rate=8000, max_seconds=seconds).message
    )


def test_missing_path(tmp_path: Path) -> None:
    for source in (tmp_path / "no.wav", str(tmp_path / "no.wav")):
        error = fails("not_found", source)
        assert "no.wav" in error.message
        assert isinstance(error.__cause__, FileNotFoundError)
    (tmp_path / "file").write_bytes(b"x")
    fails("not_found", tmp_path / "file" / "below")
    for source in ("", "a\0b", "\udfff.wav" if os.name == "nt" else "c\0", "x" * 5000, "line\nbreak.wav"):
        fails("not_found", source)
    assert "download" in fails("not_found", "https://example.org/a.wav").hint


def test_directory(tmp_path: Path) -> None:
    assert tmp_path.name in fails("is_directory", tmp_path).message


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"x")

    def refuse(*args: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # a mode of 000 would not stop root
    error = fails("unreadable", path)
    assert "a.wav" in error.message
    assert "permission" in error.hint
    assert isinstance(error.__cause__, PermissionError)


def test_unreadable_streams(tmp_path: Path) -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    assert "closed" in fails("unreadable", closed).hint
    with (tmp_path / "out").open("wb") as file:
        fails("unreadable", file)

    class Broken:
        def read(self, count: int) -> bytes:
            raise OSError(5, "Input/output error")

    fails("unreadable", Broken())


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "nothing.wav"
    path.touch()
    for source in (b"", bytearray(), memoryview(b""), io.BytesIO(), path):
        error = fails("empty", source)
    assert "nothing.wav" in error.message


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"\x1aE\xdf\xa3" + junk(0, 5000), "WebM"),
        (b"\0\0\0\x20ftypM4A " + junk(0, 5000), "M4A"),
        (b"\xff\xf1\x50\x80" + junk(0, 5000), "AAC"),
        (b"\xff\xf9\x50\x80" + junk(0, 5000), "AAC"),
        (b"OggS\0\2" + bytes(20) + b"\1\x13\x7fFLAC" + junk(0, 500), "Ogg with another codec"),
        (b"RIFF\x88\x13\0\0AVI LIST" + junk(0, 5000), "RIFF"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"<HTML>not found</HTML>", "HTML"),
        (b'{"error": "no such file"}', "JSON"),
        (b"[1, 2, 3]", "JSON"),
        ("Grüße, das ist kein Ton.\n".encode() * 300, "text"),
        (b"\x89PNG\r\n\x1a\n" + junk(0, 5000), "PNG"),
        (b"%PDF-1.4\n" + junk(0, 5000), "PDF"),
        (b"PK\3\4" + junk(0, 5000), "ZIP"),
        (b"\x7fELF\2\1\1" + junk(0, 5000), ""),
        (bytes(5000), ""),
        (b"\xff" * 5000, ""),
        (b"\xff\xfb", ""),
        ("﻿text".encode("utf-16"), ""),
    ],
)
def test_not_audio(data: bytes, looks: str, tmp_path: Path) -> None:
    path = tmp_path / "upload.wav"
    path.write_bytes(data)
    for source in (data, path):
        error = fails("not_audio", source)
        assert looks in error.hint
        assert ("it looks like" in error.hint) == bool(looks)
        assert "ffmpeg -i in.m4a out.wav" in error.hint
        assert "FLAC" in error.hint
    assert "upload.wav" in error.message


def test_a_pointer_of_git_lfs() -> None:
    error = fails("not_audio", b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n")
    assert "Git LFS pointer" in error.message
    assert "git lfs pull" in error.hint


@pytest.mark.parametrize("prefix", [b"", b"\xff\xfb\x90\x64", b"\xff\xf3\x40\xc0", b"\xff\xfd\x90\x00"])
def test_random_bytes_are_not_audio(prefix: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    for seed in range(30 if not prefix else 6):
        fails("not_audio", prefix + junk(seed, 5000 * seed + 1))


def test_formats_of_libsndfile_that_are_not_ours() -> None:
    for fmt, looks in (("NIST", "NIST SPHERE"), ("VOC", "VOC"), ("IRCAM", "")):
        assert looks in fails("not_audio", encode(tone(16_000), 16_000, fmt)).hint


def test_wav_in_an_encoding_nobody_knows() -> None:
    data = bytearray(encode(tone(16_000), 16_000))
    struct.pack_into("<H", data, 20, 0x1234)
    error = fails("not_audio", bytes(data))
    assert "WAV in an unsupported encoding" in error.message
    assert isinstance(error.__cause__, sf.SoundFileError)


def test_mp3_inside_wav() -> None:
    mp3 = encode(noise(44_100, 1), 44_100, "MP3", "MPEG_LAYER_III")
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 44_100, 8000, 1, 0, 12, 1, 2, 417, 1, 1393)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(mp3)) + mp3
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    with sf.SoundFile(io.BytesIO(data)) as sound:
        assert sound.subtype == "MPEG_LAYER_III"
    assert "MPEG_LAYER_III in WAV" in fails("not_audio", data).message


@pytest.mark.parametrize("rate", [1, 3999, 192_001, 2**31 - 1])
def test_file_of_a_bad_rate(rate: int) -> None:
    data = bytearray(encode(tone(16_000), 16_000))
    struct.pack_into("<I", data, 24, rate)
    error = fails("bad_sample_rate", bytes(data))
    assert f"{rate} Hz" in error.message
    assert "4000 to 192000" in error.hint


@pytest.mark.parametrize(
    ("fmt", "subtype"), [("WAV", "PCM_16"), ("WAVEX", "FLOAT"), ("AIFF", "PCM_16"), ("OGG", "VORBIS")]
)
def test_no_samples(fmt: str, subtype: str) -> None:
    fails("no_samples", encode(np.zeros(0), 16_000, fmt, subtype))


def test_no_samples_but_other_chunks() -> None:
    data = encode(np.zeros(0), 16_000) + b"LIST" + struct.pack("<I", 400) + bytes(400)
    fails("no_samples", data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
