"""Files whose lengths are not true: streamed, cut off, damaged, without a count."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from snn_voice_hub import audio
from tests.audio.helpers import LOSSY, PCM, encode, fails, flac_with_total, junk, noise, recording, tone


def with_sizes(data: bytes, whole: int, samples: int) -> bytes:
    """Change the two lengths in the header of a WAV."""
    at = data.index(b"data")
    changed = bytearray(data)
    struct.pack_into("<I", changed, 4, whole)
    struct.pack_into("<I", changed, at + 4, samples)
    return bytes(changed)


@pytest.mark.parametrize(
    ("whole", "samples"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
        (0x7FFFF024, 0x7FFFF000),  # sox, espeak-ng
        (0x7FFFFFFF, 0x7FFFFFFF),
        (0x80000024, 0x80000000),
        (0xFFFFFFFF, 0xFFFFFFFF - 36),
        (0, 0),
        (36, 0),
        (0xFFFFFFFF, 0),
    ],
)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_streamed_wav(whole: int, samples: int, subtype: str, tmp_path: Path) -> None:
    true = encode(noise(16_000, 3), 16_000, subtype=subtype)
    path = tmp_path / "streamed.wav"
    path.write_bytes(with_sizes(true, whole, samples))
    for source in (path.read_bytes(), path):
        assert torch.equal(audio.load(source), audio.load(true))


def test_streamed_wav_with_an_odd_chunk_before_its_samples() -> None:
    true = encode(noise(16_000, 1), 16_000)
    odd = b"note\x05\0\0\0hello\0"
    data = true[:36] + odd + true[36:]
    for changed in (with_sizes(data, 0, 0), with_sizes(data, len(data) - 8, 32_000)):
        assert torch.equal(audio.load(changed), audio.load(true))
    fails("truncated", with_sizes(data, len(data) - 6, 32_002))


def test_streamed_wav_without_samples() -> None:
    for size in (0, 0xFFFFFFFF):
        fails("no_samples", with_sizes(encode(np.zeros(0), 16_000), size, size))


def test_wav_that_promises_less() -> None:
    """What it does not speak of is no other chunk, so it is not left out without a word."""
    data = encode(noise(16_000, 1), 16_000)
    assert "31000 bytes follow" in fails("truncated", with_sizes(data, 1036, 1000)).message
    assert "45 bytes follow" in fails("truncated", with_sizes(data, len(data) - 8, 32_000 - 45)).message


@pytest.mark.parametrize("more", [1, 2, 1000, 10**9])
def test_wav_that_promises_more(more: int) -> None:
    data = encode(noise(16_000, 1), 16_000)
    error = fails("truncated", with_sizes(data, len(data) - 8 + more, 32_000 + more))
    assert f"32000 of {32_000 + more} bytes" in error.message


@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(("fmt", "subtype"), [*PCM, *LOSSY[:2]])
def test_cut(fmt: str, subtype: str, part: float, tmp_path: Path) -> None:
    data = recording(fmt, subtype)
    assert len(audio.load(data)) == 64_000
    path = tmp_path / "part.bin"
    path.write_bytes(data[: int(part * len(data))])
    for source in (path, path.read_bytes(), data[:-1]):
        assert "cut off" in fails("truncated", source).message


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])  # a whole frame has to be left, and a whole one missing
def test_cut_mp3(part: float, capfd: pytest.CaptureFixture[str]) -> None:
    data = recording("MP3", "MPEG_LAYER_III")
    assert len(audio.load(data)) == 64_000
    assert "of 64000 samples" in fails("truncated", data[: int(part * len(data))]).message


@pytest.mark.parametrize(
    ("fmt", "subtype"),
    [("WAV", "PCM_16"), ("WAVEX", "PCM_24"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16"), LOSSY[0]],
)
def test_cut_anywhere_in_the_header(fmt: str, subtype: str) -> None:
    data = recording(fmt, subtype)
    magic = 35 if fmt == "OGG" else 4 if fmt == "FLAC" else 12
    for count in range(1, 120):
        fails("truncated" if count >= magic else "not_audio", data[:count])


def test_aiff_lengths() -> None:
    true = encode(noise(16_000, 1), 16_000, "AIFF")
    form, frames, samples = 4, true.index(b"COMM") + 10, true.index(b"SSND") + 4

    def changed(*values: tuple[int, int]) -> bytes:
        data = bytearray(true)
        for at, value in values:
            struct.pack_into(">I", data, at, value)
        return bytes(data)

    ffmpeg = changed((form, 0), (frames, 0), (samples, 0))
    sox = changed((form, 0x7F000050), (frames, 0x1FC00000), (samples, 0x7F000008))
    for data in (ffmpeg, sox, changed((frames, 2**31))):
        assert torch.equal(audio.load(data), audio.load(true))
    assert torch.equal(
        audio.load(changed((samples, 32_010))), audio.load(true)
    )  # FORM says that all is there
    fails("truncated", changed((form, len(true) - 6), (samples, 32_010)))
    fails("truncated", changed((samples, 33_000)))


def test_flac_lengths() -> None:
    true = encode(noise(16_000, 20), 16_000, "FLAC")  # more than one block
    expected = audio.load(true)
    streamed = flac_with_total(true, 0)
    assert torch.equal(audio.load(streamed), expected)
    fails("truncated", streamed[: len(streamed) // 2])
    for total in (320_001, 2**31, 2**36 - 1):
        fails("truncated", flac_with_total(true, total))
    assert "announces 1000 samples" in fails("truncated", flac_with_total(true, 1000)).message
    assert torch.equal(audio.load(true + b"TAG" + bytes(125)), expected)  # ID3 tag at the end


def test_flac_damaged_in_the_middle() -> None:
    data = bytearray(encode(noise(16_000, 5), 16_000, "FLAC"))
    data[len(data) // 2 : len(data) // 2 + 20] = bytes(20)
    error = fails("truncated", bytes(data))
    assert isinstance(error.__cause__, sf.SoundFileError)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_damaged_in_the_middle(subtype: str) -> None:
    data = bytearray(encode(noise(16_000, 10), 16_000, "OGG", subtype))
    data[len(data) // 2] ^= 1  # the page's checksum is wrong now, and the decoder skips it without a word
    assert "of 160000 samples" in fails("truncated", bytes(data)).message


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_that_begins_late(subtype: str) -> None:
    data = encode(noise(16_000, 10), 16_000, "OGG", subtype)
    starts = [i for i in range(len(data)) if data.startswith(b"OggS", i)]
    first = (
        2 if subtype == "OPUS" else next(k for k, i in enumerate(starts) if data[i + 6 : i + 14] != bytes(8))
    )
    late = data[: starts[first]] + data[starts[first + 3] :]
    assert 80_000 < len(audio.load(late)) < 150_000


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_without_an_end_mark_is_a_live_recording(subtype: str) -> None:
    data = recording("OGG", subtype)
    last = data.rindex(b"OggS")
    assert data[last + 5] & 4
    wave = audio.load(data[:last])
    assert 32_000 < len(wave) < 64_000
    assert torch.equal(wave, audio.load(data)[: len(wave)])
    fails("truncated", data[: last + 4])


def test_ogg_streams_one_after_the_other() -> None:
    first, second = (encode(tone(16_000, freq=f), 16_000, "OGG", "VORBIS") for f in (440, 880))
    changed = second.replace(second[14:18], bytes(b ^ 1 for b in second[14:18]))
    assert "several" in fails("not_audio", first + changed).message


def mp3_frame(data: bytes, at: int) -> int:
    """Length of an MPEG-2 layer III frame, as 16 kHz needs it."""
    kbits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[data[at + 2] >> 4]
    return 72 * kbits * 1000 // 16_000 + (data[at + 2] >> 1 & 1)


def headless_mp3() -> tuple[bytes, bytes]:
    """MP3 of rising bitrate with its Xing frame, and without it as an encoder writes it into a pipe."""
    x = np.concatenate([np.zeros(80_000, np.float32), noise(16_000, 10)])
    data = encode(x, 16_000, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.2)
    assert data[0] == 0xFF
    assert b"Xing" in data[:64]
    return data, data[mp3_frame(data, 0) :]


def test_mp3_without_a_frame_count_is_read_to_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    whole, headless = headless_mp3()
    assert len(audio.load(whole)) == 240_000
    # Back to front the size would promise too little: the first frames are the largest then.
    frames = []
    at = 0
    while at + 4 < len(headless):
        frames.append(headless[at : at + mp3_frame(headless, at)])
        at += len(frames[-1])
    assert len(audio.load(headless)) == 576 * len(frames)
    assert max(map(len, frames)) > 3 * min(map(len, frames))
    backwards = b"".join(reversed(frames[:-6]))  # the last ones only flush the encoder
    with sf.SoundFile(io.BytesIO(backwards)) as guess:
        assert guess.frames < 576 * len(frames) * 0.8
    # The bit reservoir does not survive this, so single frames may fall out.
    assert len(audio.load(backwards)) > 576 * len(frames) * 0.95


def test_mp3_without_a_frame_count_cut(capfd: pytest.CaptureFixture[str]) -> None:
    _, headless = headless_mp3()
    fails("truncated", headless[: len(headless) // 2])
    fails("truncated", headless[:-1])


def test_mp3_that_changes_its_rate(capfd: pytest.CaptureFixture[str]) -> None:
    _, headless = headless_mp3()
    other = encode(noise(24_000, 2), 24_000, "MP3", "MPEG_LAYER_III")
    assert "several" in fails("not_audio", headless + other).message
    uncounted = other.replace(b"Xing", bytes(4)).replace(b"Info", bytes(4))
    assert "decoding stops" in fails("truncated", headless + uncounted).message


def test_mp3_tag_and_then_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    data = b"ID3\3\0\0" + bytes([0, 0, 2, 0]) + bytes(256)
    fails("truncated", data)
    fails("truncated", data + junk(0, 5000))


def test_mp3_tags(capfd: pytest.CaptureFixture[str]) -> None:
    whole, headless = headless_mp3()
    id3v2 = b"ID3\3\0\0" + bytes([0, 0, 2, 0]) + bytes(256)
    id3v1 = b"TAG" + bytes(125)
    item = struct.pack("<II", 3000, 0) + b"Comment\0" + bytes(3000)
    ape_header, ape_footer = (
        struct.pack("<8sIIII8x", b"APETAGEX", 2000, len(item) + 32, 1, flags)
        for flags in (0xA0000000, 0x80000000)
    )
    for data in (whole, headless):
        expected = audio.load(data)
        tagged = id3v2 + data + ape_header + item + ape_footer + id3v1
        assert torch.equal(audio.load(tagged), expected)
        assert torch.equal(audio.load(data + id3v1), expected)


@pytest.mark.parametrize(("fmt", "subtype"), LOSSY)
def test_blocks_decode_like_one_read(fmt: str, subtype: str) -> None:
    data = encode(noise(16_000, 17), 16_000, fmt, subtype)
    samples, _ = sf.read(io.BytesIO(data), dtype="float32")
    np.testing.assert_allclose(audio.load(data), samples, atol=1e-6)
