"""Every way into `audio.load`: formats, rates, sources, limits."""

from __future__ import annotations

import io
import math
import os
import pickle
import struct
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr
import torch
from snn_voice_lite.containers.view import FileView

from snn_voice_hub import audio
from tests.audio.helpers import (
    LOSSY,
    LOSSY_RATES,
    PCM,
    RATES,
    TOLERANCE,
    encode,
    fails,
    fit,
    flac_with_total,
    noise,
    tone,
)

# --------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("fmt", "subtype"), PCM)
def test_pcm_keeps_pitch_and_amplitude(fmt: str, subtype: str, rate: int) -> None:
    wave = audio.load(encode(tone(rate), rate, fmt, subtype))
    assert wave.dtype == torch.float32
    assert wave.device.type == "cpu"
    assert wave.is_contiguous()
    assert wave.ndim == 1
    assert abs(len(wave) - 6400) <= 1
    amplitude, rest = fit(wave, 440)
    tolerance = TOLERANCE.get(subtype, 1e-3)
    assert amplitude == pytest.approx(0.5, abs=tolerance)
    assert rest < tolerance


@pytest.mark.parametrize(
    ("fmt", "subtype", "rate"), [(f, s, r) for f, s in LOSSY for r in LOSSY_RATES[s]], ids=lambda v: str(v)
)
def test_lossy_keeps_pitch_and_amplitude(fmt: str, subtype: str, rate: int) -> None:
    wave = audio.load(encode(tone(rate), rate, fmt, subtype))
    assert wave.dtype == torch.float32
    assert abs(len(wave) - 6400) <= 1
    amplitude, rest = fit(wave, 440)
    assert amplitude == pytest.approx(0.5, rel=0.06)
    assert rest < 0.04


@pytest.mark.parametrize(("fmt", "subtype"), PCM + LOSSY)
def test_stereo_averages(fmt: str, subtype: str) -> None:
    x = tone(16_000)
    left_only = audio.load(encode(np.stack([x, 0 * x], axis=1), 16_000, fmt, subtype))
    amplitude, _ = fit(left_only, 440)
    assert amplitude == pytest.approx(0.25, rel=0.08)
    opposite = audio.load(encode(np.stack([x, -x], axis=1), 16_000, fmt, subtype))
    assert opposite.abs().max() <= 0.02
    if subtype in ("PCM_24", "FLOAT", "DOUBLE"):
        assert opposite.abs().max() <= 1e-6


@pytest.mark.parametrize(("fmt", "subtype"), [p for p in PCM + LOSSY if p[0] != "MP3"])
def test_six_channels_average(fmt: str, subtype: str) -> None:
    x = tone(48_000)
    frames = np.stack([x, 0.5 * x, 0 * x, x, 0.5 * x, 0 * x], axis=1)
    amplitude, _ = fit(audio.load(encode(frames, 48_000, fmt, subtype)), 440)
    assert amplitude == pytest.approx(0.25, rel=0.15 if fmt == "OGG" else 0.05)


def test_many_channels() -> None:
    frames = np.zeros((500, 300), np.int16)
    frames[:, 7] = 30_000
    wave = audio.load(encode(frames, 16_000))
    np.testing.assert_allclose(wave, 100 / 32768, rtol=1e-6)


@pytest.mark.parametrize(("fmt", "subtype"), [("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("AIFF", "ULAW")])
def test_compressed_wav_and_aifc(fmt: str, subtype: str) -> None:
    amplitude, rest = fit(audio.load(encode(tone(16_000, seconds=1.0), 16_000, fmt, subtype)), 440)
    assert amplitude == pytest.approx(0.5, abs=0.03)
    assert rest < 0.03


def test_big_endian_wav() -> None:
    data = encode(tone(16_000), 16_000, endian="BIG")
    assert data.startswith(b"RIFX")
    assert torch.equal(audio.load(data), audio.load(encode(tone(16_000), 16_000)))
    fails("truncated", data[:-2])


def test_frequencies_above_the_new_half_rate_vanish() -> None:
    wave = audio.load(encode(tone(48_000, freq=12_000), 48_000, subtype="FLOAT"))
    assert wave[800:-800].abs().max() < 1e-3


def test_rate_of_the_result_can_be_chosen() -> None:
    wave = audio.load(encode(tone(16_000), 16_000, subtype="FLOAT"), target_rate=22_050)
    assert len(wave) == round(0.4 * 22_050)
    amplitude, rest = fit(wave, 440, 22_050)
    assert amplitude == pytest.approx(0.5, abs=1e-3)
    assert rest < 1e-3


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 44100, 44101, 48000, 192000])
def test_blocks_resample_like_one_call(rate: int) -> None:
    x = noise(rate, 300_001 / rate)  # more than one block
    expected = soxr.resample(x, rate, 16_000, quality="HQ")
    for wave in (audio.load(encode(x, rate, subtype="FLOAT")), audio.load(x, sample_rate=rate)):
        assert len(wave) == len(expected)
        np.testing.assert_allclose(wave, expected, atol=1e-6)


def test_same_rate_leaves_samples_alone() -> None:
    x = (3 * noise(16_000, 20)).astype(np.float32)
    assert np.array_equal(audio.load(encode(x, 16_000, subtype="FLOAT")), x)


def test_float_files_are_not_clipped() -> None:
    wave = audio.load(encode(np.array([2.5, -3.0, 0.25], np.float32), 16_000, subtype="FLOAT"))
    assert wave.tolist() == [2.5, -3.0, 0.25]


@pytest.mark.parametrize("rate", [16_000, 44_100, 192_000])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_samples_give_at_least_one(rate: int, count: int) -> None:
    x = np.full(count, 0.5, np.float32)
    for wave in (audio.load(x, sample_rate=rate), audio.load(encode(x, rate))):
        assert len(wave) == max(1, round(count * 16_000 / rate))
        assert torch.isfinite(wave).all()


# --------------------------------------------------------------------------------------------- sources


def test_all_kinds_of_source_agree(tmp_path: Path) -> None:
    data = encode(noise(44_100, 1), 44_100)
    path = tmp_path / "päth with spaces.wav"
    path.write_bytes(data)

    class BytesPath:
        def __fspath__(self) -> bytes:
            return os.fsencode(path)

    expected = audio.load(data)
    for source in (path, str(path), BytesPath(), bytearray(data), memoryview(data), io.BytesIO(data)):
        assert torch.equal(audio.load(source), expected), source
    assert torch.equal(audio.load(memoryview(np.frombuffer(data, np.uint8).repeat(2))[::2]), expected)
    for buffering in (-1, 0):
        with path.open("rb", buffering=buffering) as file:
            assert torch.equal(audio.load(file), expected)
            assert not file.closed


def test_result_owns_its_memory() -> None:
    x = np.ones(10, np.float32)
    wave = audio.load(x, sample_rate=16_000)
    wave[:] = 0
    assert x.sum() == 10


def test_file_object_is_read_from_where_it_stands() -> None:
    data = encode(tone(16_000), 16_000)
    file = io.BytesIO(b"junk" + data)
    file.seek(4)
    assert len(audio.load(file)) == 6400
    error = fails("empty", file)
    assert "0 bytes" in str(error)


def test_pipe(tmp_path: Path) -> None:
    data = encode(tone(16_000), 16_000, "FLAC")

    def feed(handle: int) -> None:
        with os.fdopen(handle, "wb") as pipe:
            pipe.write(data)

    read_end, write_end = os.pipe()
    thread = threading.Thread(target=feed, args=(write_end,))
    thread.start()
    with os.fdopen(read_end, "rb") as pipe:
        wave = audio.load(pipe)
    thread.join()
    assert torch.equal(wave, audio.load(data))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_path_of_a_named_pipe(tmp_path: Path) -> None:
    data = encode(tone(16_000), 16_000)
    os.mkfifo(tmp_path / "fifo")
    thread = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(data,))
    thread.start()
    wave = audio.load(tmp_path / "fifo")
    thread.join()
    assert torch.equal(wave, audio.load(data))


def test_reader_that_returns_a_few_bytes_at_a_time() -> None:
    class Slow:
        def __init__(self, data: bytes) -> None:
            self.file = io.BytesIO(data)

        def read(self, count: int) -> bytearray:
            return bytearray(self.file.read(min(count, 7)))

    data = encode(tone(16_000), 16_000)
    assert torch.equal(audio.load(Slow(data)), audio.load(data))


def test_sample_rate_of_the_header_wins() -> None:
    data = encode(tone(8000), 8000)
    assert torch.equal(audio.load(data, sample_rate=44_100), audio.load(data))


def test_threads_do_not_disturb_each_other() -> None:
    sources = [encode(noise(rate, 2), rate, fmt) for rate in (8000, 44_100) for fmt in ("WAV", "FLAC")]
    expected = [audio.load(source) for source in sources]
    with ThreadPoolExecutor(8) as pool:
        for i, wave in enumerate(pool.map(audio.load, sources * 8)):
            assert torch.equal(wave, expected[i % 4])


# ------------------------------------------------------------------------------------------------- limits


def test_max_seconds() -> None:
    x = noise(8000, 2)
    for source in (x, encode(x, 8000), encode(x, 8000, "FLAC")):
        assert len(audio.load(source, sample_rate=8000, max_seconds=2)) == 32_000
        assert len(audio.load(source, sample_rate=8000, max_seconds=np.float32(2.5))) == 32_000
        assert len(audio.load(source, sample_rate=8000, max_seconds=math.inf)) == 32_000
        error = fails("too_long", source, sample_rate=8000, max_seconds=1.999)
        assert "1.999 s" in error.message
        assert "max_seconds=" in error.hint


def test_default_limit_is_ten_minutes() -> None:
    x = np.zeros(4000 * 600 + 1, np.int16)
    assert len(audio.load(x[1:], sample_rate=4000)) == 600 * 16_000
    assert "600 s" in fails("too_long", x, sample_rate=4000).message


@pytest.mark.parametrize("total", [None, 0, 2**36 - 1])
def test_hours_of_silence_stop_early(total: int | None, tmp_path: Path) -> None:
    path = tmp_path / "silence.flac"
    with sf.SoundFile(path, "w", 4000, 1, "PCM_16", format="FLAC", compression_level=0) as sound:
        for _ in range(120):
            sound.write(np.zeros(60 * 4000, np.int16))
    data = path.read_bytes()
    assert len(data) < 1_000_000  # two hours
    if total is not None:
        path.write_bytes(flac_with_total(data, total))
    tracemalloc.start()
    try:
        fails("too_long", path, max_seconds=10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8e6  # two hours would be 115 MB


def test_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snn_voice_lite.audio.MAX_ENCODED_BYTES", 3 << 20)

    class Endless:
        count = 0

        def read(self, count: int) -> bytes:
            self.count += count
            return bytes(count)

    stream = Endless()
    assert "3 MiB" in fails("too_long", stream).message
    assert stream.count <= 5 << 20


def test_thousands_of_chunks_are_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    peek = FileView.peek
    monkeypatch.setattr(FileView, "peek", lambda *args: calls.append(args) or peek(*args))
    fails("truncated", b"RIFF" + struct.pack("<I", 160_004) + b"WAVE" + b"junk\0\0\0\0" * 20_000)
    assert 0 < len(calls) < 1100


def test_errors_survive_pickling() -> None:
    error = fails("not_found", "no.wav")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.message, copy.hint) == (error.code, error.message, error.hint)
