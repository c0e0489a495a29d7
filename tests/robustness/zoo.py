"""A zoo of sound files: all encodings that libsndfile writes, whole, cut, and with headers that lie.

`python -m tests.robustness.zoo` counts them. A file is made when it is asked for.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile as sf
from snn_voice_lite import audio

RATES: Final = (
    4_000,
    8_000,
    11_025,
    12_000,
    16_000,
    22_050,
    24_000,
    32_000,
    44_100,
    48_000,
    88_200,
    96_000,
    192_000,
)
CHANNELS: Final = range(1, 9)
# What `audio.load` decodes; the others of libsndfile are refused as what they are.
DECODED: Final = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC", "OGG", "MP3")
# The largest error, root mean square, as a share of the sound; 1e-3 where nothing is lost but the last bit.
_LOSS: Final = {
    **dict.fromkeys(("PCM_S8", "PCM_U8", "ULAW", "ALAW"), 0.08),
    **dict.fromkeys(("IMA_ADPCM", "MS_ADPCM", "G721_32", "G723_24", "G723_40"), 0.2),
    **dict.fromkeys(("NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32", "GSM610"), 0.2),
    **dict.fromkeys(("VORBIS", "OPUS", "MPEG_LAYER_III"), 0.2),
}
# Samples of the file's own rate that an encoding in blocks may leave behind: IMA's has that many at 44.1 kHz.
_BLOCK: Final = 4_089
_SECONDS: Final = 0.2
# 13 and 16 kbit/s at 8 kHz: what is left of a word may be another one.
COARSE: Final = ("GSM610", "NMS_ADPCM_16")
# Bytes by which a length may be off: recorders count their own header in. The longest is that of W64.
HEADER: Final = 136
_LIES: Final = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FF0000000000000)

Wave = npt.NDArray[np.float32]


class Whole(NamedTuple):
    """A file that says what it is."""

    fmt: str
    subtype: str
    rate: int
    channels: int

    def sound(self) -> Wave:
        """What is in it, `[samples, channels]`: a tone, softer from channel to channel."""
        time = np.arange(round(self.rate * _SECONDS)) / self.rate
        tone = np.sin(2 * math.pi * 440 * time)
        return np.stack([tone * (0.4 / (1 + c)) for c in range(self.channels)], axis=1).astype(np.float32)

    def data(self) -> bytes | None:
        """The file; None where libsndfile does not write such a one."""
        return encoded(self.sound(), self.rate, self.fmt, self.subtype)

    def wrong(self, found: Wave) -> str:
        """What is wrong with the waveform that was read; "" where nothing is."""
        expected = audio.load(self.sound().T, sample_rate=self.rate)
        more = len(found) - len(expected)
        if not 0 <= more <= _BLOCK * 16_000 // self.rate + 1:
            return f"{more} samples too many"
        off = math.sqrt(np.mean(np.square(found[: len(expected)] - expected)) / np.mean(np.square(expected)))
        return "" if off <= _LOSS.get(self.subtype, 1e-3) else f"off by {off:.3f}"


class Part(NamedTuple):
    """A file that was cut off."""

    fmt: str
    subtype: str
    size: int

    def data(self) -> bytes:
        """What is left of it."""
        return small(self.fmt, self.subtype)[: self.size]


class Lie(NamedTuple):
    """A file with another number at some place of its header."""

    fmt: str
    subtype: str
    place: int
    number: int
    form: str

    def data(self) -> bytes:
        """With the number in it."""
        whole = bytearray(small(self.fmt, self.subtype))
        number = self.number if self.form in "<q>q" else min(self.number, 0xFFFFFFFF)
        part = struct.pack(self.form, number)
        whole[self.place : self.place + len(part)] = part
        return bytes(whole)


def encoded(sound: Wave, rate: int, fmt: str, subtype: str) -> bytes | None:
    """Sound `[samples, channels]` as a file; None where libsndfile does not write it."""
    file = io.BytesIO()
    if subtype == "VOX_ADPCM":  # two samples a byte, and libsndfile says that it has written one fewer
        sound = sound[: len(sound) // 2 * 2]
    try:
        with sf.SoundFile(file, "w", rate, sound.shape[1], subtype, format=fmt) as written:
            written.write(sound)
    except sf.SoundFileError:
        return None
    return file.getvalue()


def encodings() -> list[tuple[str, str]]:
    """Every container with every encoding that it may have.

    But for Sound Designer II, of which libsndfile writes a part into the current folder, as `._`; where such
    a file is, it can't read MP3 any more.
    """
    formats = [fmt for fmt in sf.available_formats() if fmt != "SD2"]
    return [(fmt, subtype) for fmt in formats for subtype in sf.available_subtypes(fmt)]


def wholes(every: int = 1) -> Iterator[Whole]:
    """All of them, or each of so many; the first of an encoding is always there."""
    count = 0
    for fmt, subtype in encodings():
        for rate in RATES:
            for channels in CHANNELS:
                count += 1
                if count % every == 0 or (rate, channels) == (16_000, 1):
                    yield Whole(fmt, subtype, rate, channels)


@cache
def small(fmt: str, subtype: str) -> bytes:
    """A file of some milliseconds; b"" where libsndfile does not write it."""
    sound = (0.5 * np.sin(np.arange(240) / 5)).astype(np.float32)[:, np.newaxis]
    return encoded(sound, 16_000, fmt, subtype) or b""


def parts(every: int = 1, step: int = 10) -> Iterator[Part]:
    """Each file cut at each `step`-th byte, or each of so many of these."""
    count = 0
    for fmt, subtype in encodings():
        for size in range(step, len(small(fmt, subtype)), step):
            count += 1
            if count % every == 0:
                yield Part(fmt, subtype, size)


def lies(every: int = 1) -> Iterator[Lie]:
    """Each even place of each header with each number in both orders, or each of so many of these."""
    count = 0
    for fmt, subtype in encodings():
        for place in range(0, min(128, len(small(fmt, subtype)) - 8), 2):
            for number in _LIES:
                for form in ("<I", ">I") if number < 1 << 32 else ("<q", ">q"):
                    if number in (0, 0xFFFFFFFF) and form == ">I":
                        continue  # the same bytes
                    count += 1
                    if count % every == 0:
                        yield Lie(fmt, subtype, place, number, form)


if __name__ == "__main__":
    written = sum(whole.data() is not None for whole in wholes())
    rest = sum(1 for _ in parts()), sum(1 for _ in lies())
    kinds = sum(bool(small(*kind)) for kind in encodings())
    print(f"{kinds} encodings: {written} whole files, {rest[0]} cut ones, {rest[1]} with a lie")
