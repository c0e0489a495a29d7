"""Files whose containers are odd: wrong lengths, forgotten pad bytes, several files in one, rarer kinds."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from snn_voice_lite.containers.marks import Marks
from snn_voice_lite.decoding import open_decoder

from snn_voice_hub import audio
from tests.audio.helpers import encode, fails, noise, tone

X = noise(16_000, 1)
ID3 = b"ID3\3\0\0" + bytes([0, 0, 2, 0]) + bytes(256)


def wav(*chunks: tuple[bytes, bytes], size: int | None = None, magic: bytes = b"RIFF") -> bytes:
    """A WAV of chunks; `size` is what the header says of the whole."""
    order = ">" if magic == b"RIFX" else "<"
    body = b"WAVE"
    for name, content in chunks:
        body += name + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)
    return magic + struct.pack(f"{order}I", len(body) if size is None else size) + body


def changed(data: bytes, at: int, value: int, form: str = "<I") -> bytes:
    """The same bytes with another number in them."""
    out = bytearray(data)
    struct.pack_into(form, out, at, value)
    return bytes(out)


PCM16 = encode(X, 16_000)
FMT, SAMPLES = PCM16[20:36], PCM16[44:]
TRUE = audio.load(PCM16)


# --- lengths that are off by a header -------------------------------------------------------------


@pytest.mark.parametrize("off", [1, 2, 8, 20, 36, 43, 44, -2, -8, -20, -36, -44])
def test_a_length_that_is_off_by_up_to_a_header(off: int, tmp_path: Path) -> None:
    data = changed(PCM16, 40, len(SAMPLES) + off)
    assert torch.equal(audio.load(data), TRUE)
    path = tmp_path / "phone.wav"
    path.write_bytes(data)
    assert torch.equal(audio.load(path), TRUE)


def test_the_length_of_the_file_in_place_of_the_sound() -> None:
    """Recorders that count their own header in both lengths; the header may be a longer one."""
    for subtype, header in (("PCM_16", 44), ("FLOAT", 80), ("PCM_24", 44)):
        data = encode(X, 16_000, subtype=subtype)
        at = data.index(b"data") + 4
        length = int.from_bytes(data[at : at + 4], "little")
        assert at + 4 == header
        for off in (header, header - 8):
            off_by = changed(changed(data, 4, len(data) - 8 + off), at, length + off)
            assert torch.equal(audio.load(off_by), audio.load(data))
        short = changed(changed(data, 4, len(data) + 36), at, length + 44)  # for a header of 44 bytes
        assert torch.equal(audio.load(short), audio.load(data))
        # Where the whole file is said to be longer too, any other number means that something is missing.
        fails("truncated", changed(changed(data, 4, len(data)), at, length + 8))


@pytest.mark.parametrize("whole", [0, 36, 0xFFFFFFFF, 10**6])
def test_the_length_of_the_whole_may_be_anything(whole: int) -> None:
    assert torch.equal(audio.load(changed(PCM16, 4, whole)), TRUE)


def test_what_follows_the_samples() -> None:
    data = PCM16
    for more in (
        b"",
        b"\0",
        bytes(500),
        b"TAG" + bytes(125),
        ID3,
        b"LIST\x05\0\0\0hello\0",
        b"LIST\xff\0\0\0he",
    ):
        assert torch.equal(audio.load(data + more), TRUE), more[:8]
    assert "300 bytes follow" in fails("truncated", data + b"\x01\xff" * 150).message


# --- chunks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"LIST", b"note", b"id3 "])
def test_an_odd_chunk_without_its_pad_byte(name: bytes) -> None:
    odd = name + struct.pack("<I", 5) + b"hello"
    for before, after in ((odd, b""), (odd * 2, b""), (b"", odd)):
        data = PCM16[:36] + before + PCM16[36:] + after
        for size in (len(data) - 8, len(PCM16) - 8):
            assert torch.equal(audio.load(changed(data, 4, size)), TRUE)
    padded = PCM16[:36] + odd + b"\0" + PCM16[36:]
    assert torch.equal(audio.load(padded), TRUE)


def test_an_odd_number_of_samples_before_a_chunk() -> None:
    data = encode(X[:9999], 16_000, subtype="PCM_U8")
    bare = data[: 44 + 9999]
    for pad in (b"", b"\0"):
        follows = bare + pad + b"LIST\x04\0\0\0abcd"
        assert torch.equal(audio.load(follows), audio.load(data))


def test_an_odd_chunk_in_aiff() -> None:
    data = encode(X, 16_000, "AIFF")
    at = data.index(b"COMM")
    odd = data[:at] + b"NAME\0\0\0\x05hello" + data[at:]
    assert torch.equal(audio.load(odd), audio.load(data))


def test_several_chunks_of_samples_are_refused() -> None:
    half = len(SAMPLES) // 2
    data = wav((b"fmt ", FMT), (b"data", SAMPLES[:half]), (b"LIST", b"abcd"), (b"data", SAMPLES[half:]))
    assert "several chunks" in fails("not_audio", data).message


def test_samples_before_their_format() -> None:
    odd = wav((b"data", SAMPLES), (b"fmt ", FMT))
    assert torch.equal(audio.load(odd), TRUE)
    assert "unsupported" in fails("not_audio", wav((b"data", SAMPLES))).message
    fails("truncated", wav((b"fmt ", FMT)))


@pytest.mark.parametrize(
    ("fmt", "subtype"),
    [
        *(("WAV", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("CAF", "PCM_16"), ("AU", "PCM_16")),
        *(
            ("AIFF", "PCM_16"),
            ("FLAC", "PCM_16"),
            ("OGG", "VORBIS"),
            ("OGG", "OPUS"),
            ("MP3", "MPEG_LAYER_III"),
        ),
    ],
)
def test_two_files_one_behind_the_other(fmt: str, subtype: str) -> None:
    """The second was not heard, and nobody was told; Ogg streams have the same serial number here."""
    data = encode(X, 16_000, fmt, subtype)
    tagged = data + b"TAG" + bytes(125) + data
    for both in (data + data, tagged) if fmt == "MP3" else (data + data,):
        assert "several" in fails("not_audio", both).message


def padded(data: bytes) -> bytes:
    """A chunk's content, and what makes its length even."""
    return data + bytes(len(data) % 2)


KINDS = {
    name: encode(X, 16_000, fmt, subtype)
    for name, fmt, subtype in (
        *((name, name, "PCM_16") for name in ("WAV", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC")),
        ("Vorbis", "OGG", "VORBIS"),
        ("Opus", "OGG", "OPUS"),
        ("MP3", "MP3", "MPEG_LAYER_III"),
    )
}
LONG = encode(noise(100_000, 2), 16_000)  # longer than a page of Ogg
MANY = {**KINDS, "tagged": ID3 + KINDS["MP3"], "long": LONG}


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", MANY)
def test_files_of_two_kinds_one_behind_the_other(first: str, second: str) -> None:
    for between in (b"", b"TAG" + bytes(125)):
        message = fails("not_audio", KINDS[first] + between + MANY[second]).message
        assert "several" in message


def test_a_file_behind_a_chunk() -> None:
    for second in ("FLAC", "MP3", "tagged"):
        assert "several" in fails("not_audio", PCM16 + b"LIST\4\0\0\0abcd" + MANY[second]).message


def test_mp3_without_its_encoder_s_frame_before_another_kind(capfd: pytest.CaptureFixture[str]) -> None:
    start = KINDS["MP3"].index(b"\xff", 4)
    while KINDS["MP3"][start : start + 2] != KINDS["MP3"][:2]:
        start = KINDS["MP3"].index(b"\xff", start + 1)
    bare = KINDS["MP3"][start:]
    assert len(audio.load(bare)) > 16_000
    for second in ("WAV", "FLAC", "AU"):
        assert "several" in fails("not_audio", bare + KINDS[second]).message


PIPED = {
    "zero": changed(changed(PCM16, 4, 0), 40, 0),
    "all ones": changed(changed(PCM16, 4, 0xFFFFFFFF), 40, 0xFFFFFFFF),
    "AU": changed(KINDS["AU"], 8, 0xFFFFFFFF, ">I"),
    "FLAC": changed(KINDS["FLAC"], 18, int.from_bytes(KINDS["FLAC"][18:26], "big") >> 36 << 36, ">Q"),
}


@pytest.mark.parametrize("first", PIPED)
@pytest.mark.parametrize("second", MANY)
def test_a_file_behind_sound_of_unknown_length(first: str, second: str) -> None:
    """It was heard as noise."""
    expected = audio.load(KINDS["FLAC"]) if first == "FLAC" else TRUE
    assert torch.equal(audio.load(PIPED[first]), expected)
    assert "several" in fails("not_audio", PIPED[first] + MANY[second]).message


@pytest.mark.parametrize("first", ["zero", "all ones"])
@pytest.mark.parametrize("name", [b"LIST", b"id3 ", b"bext"])
def test_chunks_behind_sound_of_unknown_length(first: str, name: bytes) -> None:
    """They were heard as a click."""
    for content in (b"INFOISFT\4\0\0\0pipe", b"odd", bytes(100_000)):
        chunk = name + struct.pack("<I", len(content))
        for more in (chunk + content, chunk + padded(content), (chunk + padded(content)) * 2):
            assert torch.equal(audio.load(PIPED[first] + more), TRUE)


def test_letters_that_stand_in_samples_by_chance() -> None:
    """Nothing is cut off and nothing refused for four letters, or for headers that can't be true."""
    letters = (b"RIFF", b"WAVE", b"fLaC", b"OggS\0\2", b"ID3\3", b"LIST", b"FORM", b".snd\0\0", b"Info")
    middle = b"".join(name + bytes(60) + b"\xff\xfb\x90\x64" for name in letters) * 50
    samples = SAMPLES + middle + b"LIST\x05\0\0\0" + SAMPLES
    for size in (0, len(samples), 0xFFFFFFFF):
        loaded = audio.load(changed(PCM16[:44], 40, size) + samples)
        assert len(loaded) == len(samples) // 2


def test_marks_are_found_wherever_they_are() -> None:
    marks = (b"RIFF", b"fLaC\0", b"FLAC")
    for length in range(20):
        for at in range(length):
            data = (bytes(at) + marks[at % 3] + b"RIFL")[:length]
            expected = [(i, mark) for i in range(length) for mark in marks if data[i:].startswith(mark)]
            assert list(Marks(marks).places(data)) == expected
    assert list(Marks(marks).places(b"")) == []


def test_tags_behind_other_kinds() -> None:
    """No file follows them, so nothing is missing."""
    ape = b"APETAGEX" + struct.pack("<III", 2000, 32, 0) + bytes(12)
    for name, data in KINDS.items():
        for tag in (b"TAG" + b"title".ljust(125), ape, ID3, b"\0" * 300):
            assert torch.equal(audio.load(data + tag), audio.load(data)), (name, tag[:4])


def test_pages_of_ogg_that_became_zeros() -> None:
    data = encode(noise(48_000 * 4, 3).reshape(-1, 2), 48_000, "OGG", "VORBIS", compression_level=0.0)
    half = len(data) // 2
    assert half > 1 << 16
    assert "cut off" in fails("truncated", data[: data.index(b"OggS", half)] + bytes(half)).message


def test_flac_keeps_the_header_of_another_file_among_its_metadata() -> None:
    data = KINDS["FLAC"]
    block = b"riffRIFF" + struct.pack("<I", 32_036) + b"WAVE"
    kept = data[:42] + b"\2" + len(block).to_bytes(3, "big") + block + data[42:]
    for tag in (b"", b"TAG" + bytes(125)):
        assert torch.equal(audio.load(kept + tag), audio.load(data))


# --- rarer kinds ----------------------------------------------------------------------------------


def sized(fmt: str, value: int) -> bytes:
    """A file of a kind that says `value` for the length of its samples."""
    data = encode(X, 16_000, fmt)
    if fmt == "RF64":
        return changed(data, 28, value, "<q")
    if fmt == "W64":
        return changed(data, data.index(b"data\xf3\xac") + 16, value, "<q")
    at = 4 if fmt == "AU" else data.index(b"data")
    return (
        changed(data, at + 4, value % (1 << 32), ">I") if fmt == "AU" else changed(data, at + 4, value, ">q")
    )


@pytest.mark.parametrize("fmt", ["RF64", "W64", "CAF", "AU"])
def test_rarer_kinds(fmt: str) -> None:
    for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "ALAW"):
        data = encode(np.stack([X, X], axis=1), 48_000, fmt, subtype)
        expected = audio.load(encode(np.stack([X, X], axis=1), 48_000, "WAV", subtype))
        assert torch.equal(audio.load(data), expected)
    assert torch.equal(audio.load(sized(fmt, -1)), TRUE)  # written into a pipe
    assert "of samples are there" in fails("truncated", sized(fmt, 10**6)).message
    assert "follow" in fails("truncated", sized(fmt, 1000)).message


def test_au_backwards_and_with_a_comment() -> None:
    swapped = np.frombuffer(SAMPLES, "<i2").astype(">i2").tobytes()
    for order, magic, samples in ((">", b".snd", swapped), ("<", b"dns.", SAMPLES)):
        numbers = struct.pack(f"{order}5I", 324, len(samples), 3, 16_000, 1)
        header = magic + numbers + b"spoken".ljust(300, b"\0")
        assert torch.equal(audio.load(header + samples), TRUE)
        assert len(audio.load(header + samples[:-324])) == len(TRUE) - 162  # its own header, counted as sound
        fails("truncated", header + samples[:-323])
        fails("truncated", header[:200])


def test_rf64_by_its_other_name_and_big_endian_wav() -> None:
    assert torch.equal(audio.load(b"BW64" + encode(X, 16_000, "RF64")[4:]), TRUE)
    swapped = np.frombuffer(SAMPLES, "<i2").astype(">i2").tobytes()
    fmt = struct.pack(">HHIIHH", *struct.unpack("<HHIIHH", FMT))
    assert torch.equal(audio.load(wav((b"fmt ", fmt), (b"data", swapped), magic=b"RIFX")), TRUE)


def test_more_than_four_gigabytes(tmp_path: Path) -> None:
    """A 32-bit length can't say it; the decoder is told all of it nevertheless."""
    path = tmp_path / "long.wav"
    size = 5 << 30
    for header in (
        changed(PCM16[:44], 40, 0xFFFFFFFF),
        changed(encode(X[:0], 16_000, "RF64")[:104], 28, size, "<q"),
    ):
        with path.open("wb") as file:
            file.write(header)
            file.truncate(len(header) + size)  # a hole: it takes no room
        with path.open("rb") as file, open_decoder(file, "long") as sound:
            assert sound.frames == size // 2


def test_a_file_is_what_its_bytes_are(tmp_path: Path) -> None:
    for fmt, subtype, name in (
        ("FLAC", "PCM_16", "a.wav"),
        ("OGG", "VORBIS", "b.flac"),
        ("CAF", "PCM_16", "c.mp3"),
    ):
        (tmp_path / name).write_bytes(encode(X, 16_000, fmt, subtype))
        assert len(audio.load(tmp_path / name)) == 16_000


# --- MP3 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("start", [1, 3, 50, 1441])
def test_mp3_that_begins_inside_a_frame(rate: int, start: int, capfd: pytest.CaptureFixture[str]) -> None:
    data = encode(tone(rate, seconds=3), rate, "MP3", "MPEG_LAYER_III")
    whole, part = audio.load(data), audio.load(data[start:])
    frame = 16_000 * 1152 // rate
    lost = start * len(whole) / len(data) + 4 * frame  # and the encoder's delay, which the first frame tells
    assert len(whole) - lost < len(part) < len(whole) + 3 * frame
    assert abs(float(part[frame * 8 : -frame * 8].abs().max()) - 0.5) < 0.02


def test_mp3_behind_zeros_and_tags(capfd: pytest.CaptureFixture[str]) -> None:
    data = encode(X, 16_000, "MP3", "MPEG_LAYER_III")
    expected = audio.load(data)
    for before in (bytes(2000), ID3, ID3 * 2, ID3 + bytes(9000)):
        assert torch.equal(audio.load(before + data), expected)


@pytest.mark.parametrize(("fmt", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16")])
def test_other_kinds_behind_an_id3_tag(fmt: str, subtype: str) -> None:
    data = encode(X, 16_000, fmt, subtype)
    assert torch.equal(audio.load(ID3 + data), audio.load(data))
    fails("truncated", ID3 + data[:-2000])
