"""Every way into `audio.load`: formats, rates, channels, arrays, streams; and each of its errors."""

from __future__ import annotations

import io
import math
import os
import pickle
import struct
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr
import torch

from snn_voice_hub import audio, decoding
from snn_voice_hub.errors import AudioError

PCM = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAV", "ALAW"),
    ("WAVEX", "PCM_16"),
    ("WAVEX", "PCM_24"),
    ("WAVEX", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("AIFF", "PCM_S8"),
    ("AIFF", "PCM_16"),
    ("AIFF", "PCM_24"),
    ("AIFF", "FLOAT"),
]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
RATES = [4000, 8000, 11025, 16000, 22050, 44100, 44101, 48000, 96000, 192000]
LOSSY_RATES = {
    "VORBIS": [8000, 11025, 16000, 22050, 44100, 44101, 48000, 96000, 192000],
    "OPUS": [8000, 16000, 24000, 48000],
    "MPEG_LAYER_III": [8000, 11025, 16000, 22050, 44100, 48000],
}
# Largest error of a sample that the coding itself brings, at amplitude 0.5.
TOLERANCE = {"PCM_U8": 0.01, "PCM_S8": 0.01, "ULAW": 0.02, "ALAW": 0.02}
RAW_WORDS = (
    "BytesIO",
    "libsndfile",
    "LibsndfileError",
    "Error opening",
    "Format not",
    "malformed",
    "Errno",
    "0x",
)


def tone(rate: int, *, freq: float = 440.0, seconds: float = 0.4, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * freq * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def encode(
    samples: np.ndarray, rate: int, fmt: str = "WAV", subtype: str = "PCM_16", **options: Any
) -> bytes:
    """Encode `[samples]` or `[samples, channels]`."""
    file = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with sf.SoundFile(file, "w", rate, channels, subtype, format=fmt, **options) as sound:
        sound.write(samples)
    return file.getvalue()


def fit(wave: torch.Tensor, freq: float, rate: int = 16_000) -> tuple[float, float]:
    """Amplitude of the sine of `freq` in the middle of `wave`, and the RMS of all that is something else."""
    x = wave.numpy().astype(np.float64)
    x = x[len(x) // 5 : -len(x) // 5]
    angle = 2 * np.pi * freq * np.arange(len(x)) / rate
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    weights, *_ = np.linalg.lstsq(basis, x, rcond=None)
    return float(np.hypot(*weights)), float(np.sqrt(np.mean((x - basis @ weights) ** 2)))


def noise(rate: int, seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(rate * seconds)).astype(np.float32)


def fails(code: str, source: Any, **kwargs: Any) -> AudioError:
    """Load, and check what all errors have in common."""
    with pytest.raises(AudioError) as caught:
        audio.load(source, **kwargs)
    error = caught.value
    assert error.code == code, str(error)
    assert "\n" not in str(error)
    assert not [word for word in RAW_WORDS if word in str(error)]
    assert isinstance(error, ValueError)
    return error


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


# ---------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("uint8", [0, 64, 128, 255], [-1, -0.5, 0, 127 / 128]),
        ("int8", [-128, -64, 0, 127], [-1, -0.5, 0, 127 / 128]),
        ("int16", [-32768, -16384, 0, 32767], [-1, -0.5, 0, 32767 / 32768]),
        (">i2", [-32768, -16384, 0, 32767], [-1, -0.5, 0, 32767 / 32768]),
        ("int32", [-(2**31), -(2**30), 0, 2**30], [-1, -0.5, 0, 0.5]),
        ("float16", [-1, -0.5, 0, 2.5], [-1, -0.5, 0, 2.5]),
        ("float32", [-1, -0.5, 0, 2.5], [-1, -0.5, 0, 2.5]),
        ("float64", [-1, -0.5, 0, 2.5], [-1, -0.5, 0, 2.5]),
    ],
)
def test_dtypes_of_arrays(dtype: str, values: list[float], expected: list[float]) -> None:
    array = np.array(values, dtype)
    assert audio.load(array, sample_rate=16_000).tolist() == expected
    if not dtype.startswith(">"):
        assert audio.load(torch.from_numpy(array), sample_rate=16_000).tolist() == expected


@pytest.mark.parametrize("rate", [16_000, 16_000.0, np.int32(16_000), np.uint16(16_000), np.float32(16_000)])
def test_sample_rate_types(rate: Any) -> None:
    assert audio.load(np.ones(3, np.float32), sample_rate=rate, target_rate=rate).tolist() == [1, 1, 1]


def test_channels_come_first() -> None:
    array = np.array([[0.5, 1.0, -0.5], [0.5, -1.0, 0.0]], np.float32)
    assert audio.load(array, sample_rate=16_000).tolist() == [0.5, 0.0, -0.25]
    assert audio.load(array[:1], sample_rate=16_000).tolist() == [0.5, 1.0, -0.5]
    wide = np.zeros((64, 64), np.int16)
    wide[3] = 64
    assert audio.load(wide, sample_rate=16_000).tolist() == [1 / 32768] * 64


def test_array_layouts() -> None:
    x = noise(16_000, 0.1)
    assert np.array_equal(audio.load(np.repeat(x, 2)[::2], sample_rate=16_000), x)
    assert np.array_equal(audio.load(x[::-1], sample_rate=16_000), x[::-1])
    assert np.array_equal(audio.load(np.stack([x, x], axis=1).T, sample_rate=16_000), x)
    frozen = x.copy()
    frozen.flags.writeable = False
    assert np.array_equal(audio.load(frozen, sample_rate=16_000), x)


def test_tensors() -> None:
    x = torch.from_numpy(noise(16_000, 0.1))
    wave = audio.load(x.clone().requires_grad_(), sample_rate=16_000)
    assert torch.equal(wave, x)
    assert not wave.requires_grad
    assert torch.equal(audio.load(torch.nn.Parameter(x), sample_rate=16_000), x)
    assert torch.equal(audio.load(torch.complex(x, -x).conj().imag, sample_rate=16_000), x)
    if torch.cuda.is_available():
        assert torch.equal(audio.load(x.cuda(), sample_rate=16_000), x)


def test_stereo_file_equals_stereo_array() -> None:
    frames = np.random.default_rng(0).integers(-32768, 32767, (300_000, 2), np.int16)
    file = audio.load(encode(frames, 44_100))
    assert torch.equal(file, audio.load(frames.T, sample_rate=44_100))
    assert torch.equal(file, audio.load(np.ascontiguousarray(frames.T), sample_rate=44_100))


def test_long_array_takes_little_memory() -> None:
    array = np.zeros((2, 192_000 * 60), np.int16)  # 46 MB; as float64, 184 MB
    tracemalloc.start()
    try:
        assert len(audio.load(array, sample_rate=192_000)) == 60 * 16_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize("shape", [(), (2, 3, 4), (1, 1, 1)])
def test_bad_number_of_dimensions(shape: tuple[int, ...]) -> None:
    error = fails("bad_shape", np.ones(shape, np.float32), sample_rate=16_000)
    assert "[channels, samples]" in error.hint


@pytest.mark.parametrize("shape", [(16_000, 2), (16_000, 1), (65, 100), (2, 1)])
def test_transposed(shape: tuple[int, int]) -> None:
    for array in (np.ones(shape, np.float32), torch.ones(shape)):
        error = fails("bad_shape", array, sample_rate=16_000)
        assert "transposed" in error.hint
        assert f"{shape[0]} channels" in error.message


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 5), (0, 0)])
def test_empty_array(shape: tuple[int, ...]) -> None:
    fails("no_samples", np.ones(shape, np.float32), sample_rate=16_000)
    fails("no_samples", torch.ones(shape), sample_rate=16_000)


@pytest.mark.parametrize(
    "array",
    [
        np.ones(4, bool),
        np.ones(4, np.complex64),
        np.ones(4, np.uint16),
        np.ones(4, np.int64),
        np.ones(4, object),
        np.array(["a", "b"]),
        np.zeros(4, [("x", "f4")]),
        np.zeros(4, "datetime64[s]"),
        torch.ones(4, dtype=torch.bool),
        torch.ones(4, dtype=torch.complex64),
        torch.ones(4, dtype=torch.complex64).conj(),
        torch.ones(4, dtype=torch.int64),
        torch.ones(4, dtype=torch.bfloat16),
        torch.ones(4).to_sparse(),
        torch.ones(4, device="meta"),
    ],
    ids=lambda a: f"{type(a).__name__}-{a.dtype}",
)
def test_bad_dtype(array: Any) -> None:
    error = fails("bad_dtype", array, sample_rate=16_000)
    assert "int16" in error.hint
    assert "float32" in error.hint


def test_array_without_sample_rate() -> None:
    error = fails("no_sample_rate", np.ones(10, np.float32))
    assert "sample_rate=" in error.hint
    fails("no_sample_rate", torch.ones(10))


@pytest.mark.parametrize("name", ["sample_rate", "target_rate"])
@pytest.mark.parametrize(
    "rate",
    [
        0,
        -16_000,
        3999,
        192_001,
        10**400,
        16_000.5,
        math.nan,
        math.inf,
        True,
        "16000",
        np.bool_(True),
        [16_000],
        1j,
    ],
    ids=lambda v: repr(v)[:10],
)
def test_bad_sample_rate(name: str, rate: Any) -> None:
    error = fails("bad_sample_rate", np.ones(10, np.float32), **{"sample_rate": 16_000, name: rate})
    assert name in error.message
    assert "4000 to 192000" in error.message


def test_bounds_of_sample_rate_are_legal() -> None:
    for rate in (4000, 192_000):
        assert len(audio.load(np.ones(192_000, np.float32), sample_rate=rate)) == 192_000 * 16_000 // rate


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite(value: float) -> None:
    x = noise(44_100, 1)
    x[12_345] = value
    fails("not_finite", x, sample_rate=44_100)
    fails("not_finite", np.stack([x, -x]), sample_rate=16_000)
    fails("not_finite", torch.from_numpy(x), sample_rate=16_000)
    fails("not_finite", encode(x, 16_000, subtype="FLOAT"))
    fails("not_finite", np.array([value], np.float32), sample_rate=192_000)  # too short to be resampled


def test_too_large_for_float32() -> None:
    x = np.full(1000, 1e300)
    fails("not_finite", x, sample_rate=16_000)
    fails("not_finite", encode(x, 16_000, subtype="DOUBLE"))
    edge = np.full(1000, 3.4e38, np.float32)
    edge[::7] *= -1
    fails("not_finite", edge, sample_rate=11_025)  # finite itself; resampling overshoots


# ---------------------------------------------------------------------------------- sources that are wrong


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


def junk(seed: int, count: int) -> bytes:
    return np.random.default_rng(seed).bytes(count)


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
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n", "text"),
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


@pytest.mark.parametrize("prefix", [b"", b"\xff\xfb\x90\x64", b"\xff\xf3\x40\xc0", b"\xff\xfd\x90\x00"])
def test_random_bytes_are_not_audio(prefix: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    for seed in range(30 if not prefix else 6):
        fails("not_audio", prefix + junk(seed, 5000 * seed + 1))


def test_formats_of_libsndfile_that_are_not_ours() -> None:
    for fmt, looks in (("AU", "AU"), ("CAF", "CAF"), ("RF64", "RF64")):
        assert looks in fails("not_audio", encode(tone(16_000), 16_000, fmt)).hint
    fails("not_audio", encode(tone(16_000), 16_000, "W64"))


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


# ------------------------------------------------------------------------------- lengths that are not true


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
    x = noise(16_000, 1)
    wave = audio.load(with_sizes(encode(x, 16_000), 1036, 1000))
    assert torch.equal(wave, audio.load(encode(x, 16_000))[:500])


@pytest.mark.parametrize("more", [1, 2, 1000, 10**9])
def test_wav_that_promises_more(more: int) -> None:
    data = encode(noise(16_000, 1), 16_000)
    error = fails("truncated", with_sizes(data, len(data) - 8 + more, 32_000 + more))
    assert f"32000 of {32_000 + more} bytes" in error.message


@cache
def recording(fmt: str, subtype: str) -> bytes:
    return encode(noise(16_000, 4), 16_000, fmt, subtype)


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
    fails("truncated", changed((samples, 32_010)))


def flac_with_total(data: bytes, total: int) -> bytes:
    field = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    return data[:18] + field.to_bytes(8, "big") + data[26:]


def test_flac_lengths() -> None:
    true = encode(noise(16_000, 20), 16_000, "FLAC")  # more than one block
    expected = audio.load(true)
    streamed = flac_with_total(true, 0)
    assert torch.equal(audio.load(streamed), expected)
    fails("truncated", streamed[: len(streamed) // 2])
    for total in (320_001, 2**31, 2**36 - 1):
        fails("truncated", flac_with_total(true, total))
    assert torch.equal(audio.load(flac_with_total(true, 1000)), expected[:1000])
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
    assert "decoding stops" in fails("truncated", headless + other).message


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
    monkeypatch.setattr(audio, "MAX_ENCODED_BYTES", 3 << 20)

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
    peek = decoding._Window.peek
    monkeypatch.setattr(decoding._Window, "peek", lambda *args: calls.append(args) or peek(*args))
    fails("truncated", b"RIFF" + struct.pack("<I", 160_004) + b"WAVE" + b"junk\0\0\0\0" * 20_000)
    assert 0 < len(calls) < 1100


def test_errors_survive_pickling() -> None:
    error = fails("not_found", "no.wav")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.message, copy.hint) == (error.code, error.message, error.hint)
