"""Encoded sound: `audio.load`."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import soundfile as sf
from snn_voice_lite import audio
from snn_voice_lite.errors import AudioError

from tests.robustness.contract import told

# What the containers call their parts.
WORDS: Final = (
    *(
        b"RIFF",
        b"RIFX",
        b"RF64",
        b"BW64",
        b"WAVE",
        b"fmt ",
        b"data",
        b"ds64",
        b"LIST",
        b"fact",
        b"junk",
        b"wave",
    ),
    *(
        b"FORM",
        b"AIFF",
        b"AIFC",
        b"COMM",
        b"SSND",
        b"NONE",
        b"sowt",
        b"fl32",
        b"caff",
        b"desc",
        b"pakt",
        b"kuki",
    ),
    *(
        b"chan",
        b"free",
        b".snd",
        b"dns.",
        b"fLaC",
        b"OggS",
        b"\x01vorbis",
        b"OpusHead",
        b"OpusTags",
        b"ID3",
        b"TAG",
    ),
    *(b"APETAGEX", b"Xing", b"Info", b"VBRI", b"\xff\xfb\x90\x64", b"\xff\xf3\x48\xc4", b"riff.\x91\xcf\x11"),
    *(b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\x01\0", b"\xfe\xff"),
)
_KINDS: Final = (
    *(("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM")),
    *(("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("CAF", "PCM_16")),
    *(("CAF", "ALAC_16"), ("AU", "PCM_16"), ("AU", "ULAW"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24")),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
)


def run(data: bytes) -> str:
    """Load them."""
    try:
        wave = audio.load(data, max_seconds=30)
    except AudioError as error:
        return told(error)
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert 1 <= len(wave) <= 30 * 16_000 + 1
    assert np.isfinite(wave).all()
    return "sound"


def seeds() -> list[bytes]:
    """A few milliseconds in each container."""
    wave = 0.5 * np.sin(np.arange(240) / 5)
    found = []
    for fmt, subtype in _KINDS:
        file = io.BytesIO()
        sf.write(file, wave, 8_000, subtype, format=fmt)
        found.append(file.getvalue())
    return found
