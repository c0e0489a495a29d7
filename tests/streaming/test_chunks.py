"""Chunks as callers have them -> float32 samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from snn_voice_lite.streaming.chunks import ChunkReader

import snn_voice_hub as sv

WAVE = np.linspace(-0.9, 0.9, 101, dtype=np.float32)
PCM = np.round(WAVE * 32768).astype("<i2")


@pytest.mark.parametrize(
    "chunk",
    [WAVE, WAVE.astype(np.float64), torch.from_numpy(WAVE), torch.tensor(WAVE, requires_grad=True)],
    ids=["float32", "float64", "tensor", "learning"],
)
def test_floats_are_kept(chunk: object) -> None:
    assert np.array_equal(ChunkReader().read(chunk), WAVE)


@pytest.mark.parametrize(
    "chunk",
    [PCM, torch.from_numpy(PCM), PCM.astype(">i2"), PCM.tobytes(), bytearray(PCM.tobytes()), memoryview(PCM)],
    ids=["int16", "tensor", "big-endian", "bytes", "bytearray", "memoryview"],
)
def test_whole_numbers_are_scaled(chunk: object) -> None:
    read = ChunkReader().read(chunk)
    assert read.dtype == np.float32
    assert np.array_equal(read, PCM.astype(np.float32) / 32768)


@pytest.mark.parametrize("sizes", [[1] * 202, [3, 5, 0, 7, 200], [201, 1]])
@pytest.mark.parametrize("encoding", ["pcm16", "float32"])
def test_a_sample_may_be_cut_in_two(sizes: list[int], encoding: str) -> None:
    data = PCM.tobytes() if encoding == "pcm16" else WAVE.tobytes()
    reader, parts, at = ChunkReader(encoding), [], 0
    for size in [*sizes, len(data)]:
        parts.append(reader.read(data[at : at + size]))
        at += size
    expected = PCM.astype(np.float32) / 32768 if encoding == "pcm16" else WAVE
    assert np.array_equal(np.concatenate(parts), expected)


def test_nothing_is_left_over_after_a_reset() -> None:
    reader = ChunkReader()
    reader.read(b"\x01")
    reader.reset()
    assert reader.read(b"\x00\x40").tolist() == [0.5]


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        (np.zeros((2, 10)), "bad_shape"),
        (np.float32(1.0), "bad_type"),
        (np.zeros(10, dtype=np.int32), "bad_dtype"),
        (np.zeros(10, dtype=bool), "bad_dtype"),
        (torch.zeros(10, dtype=torch.bfloat16), "bad_dtype"),
        (np.array([0.0, np.nan]), "not_finite"),
        (np.array([0.0, -np.inf]), "not_finite"),
        (np.array([0.0, 1e300]), "not_finite"),
        (np.array([0.0, 1e13]), "not_finite"),
        ([0.0, 1.0], "bad_type"),
        ("sound.wav", "bad_type"),
        (None, "bad_type"),
    ],
)
def test_what_is_no_sound_is_refused(chunk: Any, code: str) -> None:
    reader = ChunkReader()
    reader.read(b"\x00")
    with pytest.raises(sv.AudioError) as refused:
        reader.read(chunk)
    assert refused.value.code == code
    assert reader.read(b"\x40").tolist() == [0.5], "what came before is kept"
