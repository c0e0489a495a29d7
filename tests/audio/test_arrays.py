"""Arrays as a source of `audio.load`, and the errors of those it refuses."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch

from snn_voice_hub import audio
from tests.audio.helpers import encode, fails, noise


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
