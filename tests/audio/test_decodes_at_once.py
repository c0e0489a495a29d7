"""Which files need no thread to be decoded."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile as sf

from snn_voice_hub.inference.decode import SHORT_BYTES, decodes_at_once


def encoded(kind: str, subtype: str, rate: int = 16_000, samples: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (samples, channels))
    sf.write(file, noise, rate, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_short_plain_wav(subtype: str, channels: int) -> None:
    assert decodes_at_once(encoded("WAV", subtype, channels=channels), 16_000)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        *(("WAV", subtype) for subtype in ("GSM610", "IMA_ADPCM", "MS_ADPCM", "ULAW")),
        *(("AIFF", "PCM_16"), ("RF64", "PCM_16"), ("FLAC", "PCM_16")),
        *(("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")),
    ],
)
def test_whatever_has_to_be_decoded(kind: str, subtype: str) -> None:
    assert not decodes_at_once(encoded(kind, subtype), 16_000)


@pytest.mark.parametrize("rate", [8_000, 15_999, 16_001, 44_100])
def test_another_rate_needs_a_filter(rate: int) -> None:
    data = encoded("WAV", "PCM_16", rate)
    assert not decodes_at_once(data, 16_000)
    assert decodes_at_once(data, rate)


def test_long_sound() -> None:
    header = len(encoded("WAV", "PCM_16", samples=1)) - 2
    longest = (SHORT_BYTES - header) // 2
    assert decodes_at_once(encoded("WAV", "PCM_16", samples=longest), 16_000)
    assert not decodes_at_once(encoded("WAV", "PCM_16", samples=longest + 1), 16_000)


def test_headers_that_are_cut_off() -> None:
    data = encoded("WAV", "PCM_16")
    assert not any(decodes_at_once(data[:length], 16_000) for length in range(26))
    assert not decodes_at_once(b"", 16_000)
    assert not decodes_at_once(bytes(100), 16_000)
