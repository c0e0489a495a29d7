"""Whatever goes into `audio.load`, a sound waveform comes out, or an `AudioError`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snn_voice_hub import audio
from snn_voice_hub.errors import AudioError
from tests.quiet import quietly

# Decoders in C write their notes to the terminal, where they are of no use here.
pytestmark = pytest.mark.usefixtures("quiet")

CODES = {
    "not_found",
    "is_directory",
    "unreadable",
    "empty",
    "not_audio",
    "truncated",
    "no_samples",
    "not_finite",
    "bad_shape",
    "bad_dtype",
    "too_long",
    "bad_sample_rate",
    "no_sample_rate",
    "bad_type",
}
OF_BYTES = {"empty", "not_audio", "truncated", "no_samples", "not_finite", "too_long", "bad_sample_rate"}
FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAVEX", "PCM_24"),
    ("WAV", "IMA_ADPCM"),
    ("FLAC", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "FLOAT"),
    ("CAF", "PCM_16"),
    ("AU", "ULAW"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]
MAGIC = [
    b"",
    b"RIFF\xff\xff\xff\xffWAVE",
    b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80>\0\0\0}\0\0\2\0\x10\0data\0\0\0\0",
    b"RIFX\0\0\0\0WAVE",
    b"FORM\0\0\0\0AIFFCOMM",
    b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0",
    b"riff.\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\0\0" + bytes(8) + b"wave\xf3\xac\xd3\x11" + bytes(8),
    b"caff\0\1\0\0desc\0\0\0\0\0\0\0\x20",
    b".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\3",
    b"fLaC\0\0\0\x22",
    b"OggS\0\2" + bytes(20) + b"\1\x1e\1vorbis",
    b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead",
    b"ID3\4\0\0\0\0\0\0",
    b"\xff\xfb\x90\x64",
]
rates = st.sampled_from([4000, 8000, 11_025, 16_000, 44_100, 44_101, 48_000, 192_000])


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    with quietly():
        yield


@cache
def recording(fmt: str, subtype: str) -> bytes:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (16_000, 1 if fmt == "MP3" else 2))
    file = io.BytesIO()
    sf.write(file, samples, 16_000, subtype, format=fmt)
    return file.getvalue()


def load(source: Any, codes: set[str], **kwargs: Any) -> torch.Tensor | None:
    """Load, and check whatever comes of it; None where it is a legal error."""
    try:
        wave = audio.load(source, **kwargs)
    except AudioError as caught:
        error = caught
    else:
        assert wave.dtype == torch.float32
        assert wave.ndim == 1
        assert len(wave) >= 1
        assert wave.is_contiguous()
        assert torch.isfinite(wave).all()
        return wave
    assert error.code in codes
    assert error.message
    assert "\n" not in str(error)
    assert "object at" not in str(error)
    return None


@settings(max_examples=80, deadline=None)
@given(data=st.data(), rate=rates, target=rates, as_tensor=st.booleans())
def test_any_array(data: st.DataObject, rate: int, target: int, as_tensor: bool) -> None:
    dtype = data.draw(
        st.sampled_from(["uint8", "int8", "int16", "int32", "float16", "float32", "float64", "bool"])
    )
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=300) | st.just((2, 3000)))
    elements = hnp.from_dtype(np.dtype(dtype))
    array = data.draw(hnp.arrays(dtype, shape, elements=elements, fill=elements))
    source = torch.from_numpy(array) if as_tensor else array
    wave = load(
        source, {"bad_dtype", "bad_shape", "no_samples", "not_finite"}, sample_rate=rate, target_rate=target
    )

    sound = len(shape) == 1 or (len(shape) == 2 and shape[0] <= min(64, shape[1]))
    if dtype == "bool" or not sound or not array.size:
        assert wave is None
        return
    if dtype in ("uint8", "int8", "int16", "int32", "float16") and np.isfinite(array).all():
        assert wave is not None
    if wave is None:
        return
    assert abs(len(wave) - shape[-1] * target / rate) <= 1
    if rate == target:
        x = array.astype(np.float64)
        if array.dtype.kind != "f":
            bits = 8 * array.dtype.itemsize
            x = (x - (128 if dtype == "uint8" else 0)) / 2.0 ** (bits - 1)
        with np.errstate(over="ignore"):
            expected = np.atleast_2d(x).mean(axis=0)
        np.testing.assert_allclose(wave, expected, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(x).max()))


@settings(max_examples=60, deadline=None)
@given(
    frames=hnp.arrays(np.int16, st.tuples(st.integers(1, 2000), st.integers(1, 8))),
    rate=rates,
    fmt=st.sampled_from(
        [("WAV", "PCM_16"), ("WAVEX", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("WAV", "PCM_32")]
    ),
)
def test_file_equals_array(frames: np.ndarray, rate: int, fmt: tuple[str, str]) -> None:
    file = io.BytesIO()
    sf.write(file, frames, rate, fmt[1], format=fmt[0])
    wave = load(file.getvalue(), set())
    assert wave is not None
    if rate == 16_000:
        expected = (frames.astype(np.float64) / 32_768).mean(axis=1).astype(np.float32)
        assert np.array_equal(wave, expected)
    if frames.shape[1] <= len(frames):
        assert torch.equal(wave, audio.load(frames.T, sample_rate=rate))


@settings(max_examples=200, deadline=None)
@given(magic=st.sampled_from(MAGIC), junk=st.binary(max_size=3000), as_file=st.booleans())
def test_any_bytes(magic: bytes, junk: bytes, as_file: bool) -> None:
    wave = load(io.BytesIO(magic + junk) if as_file else magic + junk, OF_BYTES)
    if not magic:
        assert wave is None


@settings(max_examples=200, deadline=None)
@given(
    fmt=st.sampled_from(FORMATS),
    where=st.lists(st.floats(0, 1, exclude_max=True), max_size=4),
    header=st.lists(st.integers(0, 99), max_size=3),
    values=st.lists(st.integers(0, 255), min_size=7, max_size=7),
    cut=st.none() | st.floats(0, 1),
)
def test_mutated_and_cut_files(
    fmt: tuple[str, str], where: list[float], header: list[int], values: list[int], cut: float | None
) -> None:
    data = bytearray(recording(*fmt))
    for at, value in zip([int(w * len(data)) for w in where] + header, values, strict=False):
        data[at] = value
    if cut is not None:
        data = data[: int(cut * len(data))]
    wave = load(bytes(data), OF_BYTES, max_seconds=30)
    if wave is not None:
        assert len(wave) <= 30 * 16_000 + 1
    if bytes(data) == recording(*fmt):
        assert wave is not None


@settings(max_examples=120, deadline=None)
@given(fmt=st.sampled_from(FORMATS[:-1]), cut=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_never_taken_for_a_whole_one(fmt: tuple[str, str], cut: float) -> None:
    data = recording(*fmt)
    at = int(cut * len(data))
    if at == 0 or not data.startswith(b"OggS", at):  # between two pages of Ogg nothing tells a cut
        assert load(data[:at], {"truncated", "empty", "not_audio"}) is None


@settings(max_examples=60, deadline=None)
@given(
    source=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.lists(st.floats())
    | st.text(max_size=20)
    | st.binary(max_size=20),
    sample_rate=st.none() | st.integers() | st.floats() | st.text(max_size=3),
    target_rate=st.integers() | st.floats() | st.none() | st.just(16_000),
    max_seconds=st.floats() | st.integers() | st.text(max_size=3) | st.just(1),
)
def test_any_arguments(source: Any, sample_rate: Any, target_rate: Any, max_seconds: Any) -> None:
    wave = load(source, CODES, sample_rate=sample_rate, target_rate=target_rate, max_seconds=max_seconds)
    assert wave is None
    array = np.ones(100, np.float32)
    load(array, CODES, sample_rate=sample_rate, target_rate=target_rate, max_seconds=max_seconds)
