"""libsndfile's decoder, with the checks that it lacks: sound files become blocks of mono float32.

libsndfile is lenient where silence would be wrong: it takes a file that was cut off for a short one. The
checks of this module make that an error, and let pass the headers of programs that wrote into a pipe and
could not know the length.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile as sf

from snn_voice_hub.errors import AudioError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Samples: TypeAlias = npt.NDArray[np.float32]

SUPPORTED_FORMATS: Final = ("WAV", "FLAC", "OGG Vorbis", "OGG Opus", "MP3", "AIFF")
MIN_SAMPLE_RATE: Final = 4_000  # Hz
MAX_SAMPLE_RATE: Final = 192_000  # Hz

BLOCK_VALUES: Final = 1 << 18  # samples × channels that are converted at a time
_MAX_CHUNKS = 1000  # a crafted file may consist of nothing but empty chunks
_STREAMED_SIZE = 0x7F00_0000  # from here on, a size field is a writer's "unknown" and no length
_OGG_PAGE = 65_307  # bytes, at most
_ENDLESS = 1 << 50  # bytes
# Samples that may be missing: encoders disagree on what an MP3's count includes, and Opus may skip silence.
_SLACK = {"MP3": 1152, "OGG": 8192}
_CONVERT = f"supported are {', '.join(SUPPORTED_FORMATS)}; convert with `ffmpeg -i in.m4a out.wav`"
_LOOKS = {
    b"\x1aE\xdf\xa3": "WebM or Matroska",
    b"\xff\xf1": "AAC",
    b"\xff\xf9": "AAC",
    b"OggS": "Ogg with another codec than Vorbis or Opus",
    b"#!AMR": "AMR",
    b"0&\xb2u": "WMA",
    b"caff": "Core Audio (CAF)",
    b".snd": "AU",
    b"RF64": "RF64",
    b"RIFF": "a RIFF file that is not WAV",
    b"\x89PNG": "a PNG image",
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF": "PDF",
}


def audio_error(code: str, message: str, hint: str = "") -> AudioError:
    """An `AudioError` with its code."""
    return AudioError(message, hint=hint, code=code)


def downmix(frames: npt.NDArray[Any]) -> Samples:
    """Average float32 frames `[n, channels]` to `[n]`, alike for files and arrays."""
    if frames.shape[1] == 1:
        return np.ascontiguousarray(frames[:, 0])
    with np.errstate(invalid="ignore", over="ignore"):  # whatever is not finite is told afterwards
        mono: Samples = frames.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mono


class _Window(io.RawIOBase):
    """What libsndfile gets to see of a file.

    Attributes:
        end: Where the bytes end.
        claimed_end: Where they are said to end.
        patch: A position, and bytes that are shown there in place of the file's own.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._at = 0
        self.end = self.claimed_end = file.seek(0, io.SEEK_END)
        self.patch = (0, b"")

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.claimed_end}[whence]
        self._at = max(0, base + offset)  # an exception would not get through libsndfile
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        got = 0
        if self._at < self.end:
            self._file.seek(self._at)
            got = self._file.readinto(view[: self.end - self._at])  # type: ignore[attr-defined]
            start, new = self.patch
            low, high = max(start, self._at), min(start + len(new), self._at + got)
            if low < high:
                view[low - self._at : high - self._at] = new[low - start : high - start]
        elif self._at >= self.claimed_end - 128:  # an MP3 decoder looks for a tag there before all else
            got = min(len(view), max(0, self.claimed_end - self._at))
            view[:got] = bytes(got)
        self._at += got
        return got

    def peek(self, position: int, count: int) -> bytes:
        """Return up to `count` bytes from `position`."""
        self.seek(position)
        return self.read(count) or b""


class _Decoder(sf.SoundFile):  # type: ignore[misc]  # soundfile has no type information
    """A sound file that is only read forwards.

    After each block `soundfile` would seek to where it is anyway, and in FLAC of unknown length that fails.
    """

    def __init__(self, window: _Window) -> None:
        super().__init__(window)
        self.window = window

    def seekable(self) -> bool:
        return False


def open_decoder(file: BinaryIO, label: str) -> _Decoder:
    """See what the bytes are and whether they are complete, and open a decoder on them."""
    window = _Window(file)
    head = window.peek(0, 4096)
    if not head:
        raise audio_error("empty", f"{label} is empty (0 bytes)")
    kind = _kind(head)
    chunks = kind in ("WAV", "AIFF") and _check_chunks(window, kind == "WAV", head, label)
    if kind == "OGG":
        _check_ogg(window, label)
    elif kind == "MP3":
        _prepare_mp3(window, head)
    elif kind is None:
        raise _not_audio(label, head)
    window.seek(0)
    try:
        return _Decoder(window)
    except sf.SoundFileError as error:
        if kind == "MP3" and not head.startswith(b"ID3"):  # anything may begin with a sync word by chance
            raise _not_audio(label, head) from error
        if chunks:
            raise audio_error(
                "not_audio", f"{label} is {kind} in an unsupported encoding", _CONVERT
            ) from error
        raise _cut(label, f"its {kind} header can't be read to the end") from error


def _kind(head: bytes) -> Literal["WAV", "AIFF", "FLAC", "OGG", "MP3"] | None:
    magic, form = head[:4], head[8:12]
    if magic in (b"RIFF", b"RIFX") and form == b"WAVE":
        return "WAV"
    if magic == b"FORM" and form in (b"AIFF", b"AIFC"):
        return "AIFF"
    if magic == b"fLaC":
        return "FLAC"
    if magic == b"OggS" and head[28:].startswith((b"\x01vorbis", b"OpusHead")):
        return "OGG"
    sync = (
        magic[:1] == b"\xff" and magic[1:2] >= b"\xe0"
    )  # eleven bits: a guess that the decoder has to confirm
    return "MP3" if sync or magic.startswith(b"ID3") else None


def _cut(label: str, why: str) -> AudioError:
    return audio_error(
        "truncated", f"{label} is cut off or damaged: {why}", "was it written or sent to the end?"
    )


def _not_audio(label: str, head: bytes) -> AudioError:
    looks = next((name for magic, name in _LOOKS.items() if head.startswith(magic)), "")
    if head[4:8] == b"ftyp":
        looks = "MP4 or M4A"
    if not looks and not re.search(rb"[\x00-\x08\x0e-\x1f\xff]", head):
        text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        html = text.startswith((b"<!doctype html", b"<html"))
        looks = "HTML" if html else "JSON" if text.startswith((b"{", b"[")) else "text"
    hint = f"it looks like {looks}; {_CONVERT}" if looks else _CONVERT
    return audio_error("not_audio", f"{label} is not sound in a known format", hint)


def _check_chunks(window: _Window, wav: bool, head: bytes, label: str) -> bool:
    """Hold the sample chunk of WAV or AIFF against the bytes there are; tell whether there is one."""
    order: Literal["little", "big"] = "little" if head.startswith(b"RIFF") else "big"
    at = 12
    for _ in range(_MAX_CHUNKS):
        header = window.peek(at, 8)
        size = int.from_bytes(header[4:], order)
        if len(header) < 8 or header[:4] == (b"data" if wav else b"SSND"):
            break
        at += 8 + size + size % 2
    there = window.end - at - 8
    if header[:4] not in (b"data", b"SSND"):
        return False
    if there < 0 or there < size < _STREAMED_SIZE:
        raise _cut(label, f"{max(0, there)} of {size} bytes of samples are there")
    # A 0 may mean "unknown", unless the length of the whole file is right: then other chunks follow.
    whole = int.from_bytes(head[4:8], order)
    if wav and size == 0 and abs(whole + 8 - window.end) > 1:
        window.patch = (at + 4, min(there, 0xFFFF_FFFF).to_bytes(4, order))
    return True


def _check_ogg(window: _Window, label: str) -> None:
    """See that the last page is complete and of the first page's stream: libsndfile drops what is not.

    That it is marked as the last one is not asked for, because recordings of live streams lack the mark.
    """
    tail = window.peek(window.end - _OGG_PAGE, _OGG_PAGE)
    page = tail[max(0, tail.rfind(b"OggS")) :].ljust(27, b"\xff")
    segments = page[27 : 27 + page[26]]
    if len(page) < 27 + page[26] + sum(segments):
        raise _cut(label, "its last Ogg page is not complete")
    if page[14:18] != window.peek(14, 4):
        hint = "join them with `ffmpeg -i in.ogg out.wav`"
        raise audio_error("not_audio", f"{label} holds several Ogg streams", hint)


def _prepare_mp3(window: _Window, head: bytes) -> None:
    """Make the decoder go to the real end of an MP3 file.

    Without a frame count ("Xing" or "Info" frame) libsndfile guesses the length from the size of the file
    and the first frame, and drops what is longer. A file that claims to be endless makes it read on.
    """
    start = 0
    if head.startswith(b"ID3"):
        for byte in head[6:10]:  # seven bits each
            start = start << 7 | byte & 0x7F
        start += 10
    frame = window.peek(start, 64)
    info = max(frame.find(b"Xing"), frame.find(b"Info"))
    if info < 0 or not frame[info + 7 : info + 8] or not frame[info + 7] & 1:
        window.claimed_end = _ENDLESS


def check_decoder(sound: Any, label: str) -> None:
    """Raise `AudioError` for an encoding or a rate that is not supported."""
    # The length of MP3 inside WAV is a guess that can be too small, and sound would be dropped.
    mpeg = sound.subtype.startswith("MPEG")
    if sound.format not in ("WAV", "WAVEX", "AIFF", "FLAC", "OGG", "MP3") or mpeg != (sound.format == "MP3"):
        what = f"{sound.subtype} in {sound.format}"
        raise audio_error("not_audio", f"{label} is {what}, which is not supported", _CONVERT)
    if not MIN_SAMPLE_RATE <= sound.samplerate <= MAX_SAMPLE_RATE:
        hint = f"supported are {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
        raise audio_error("bad_sample_rate", f"{label} has a sample rate of {sound.samplerate} Hz", hint)


def decoded_blocks(sound: Any, label: str) -> Iterator[Samples]:
    """Decode to mono blocks; complain where the sound ends before it should."""
    step = max(1, BLOCK_VALUES // sound.channels)
    done = 0
    try:
        # Asking for more than the header promises can run the decoder into tags behind the sound.
        while (count := min(step, sound.frames - done)) > 0:
            block = sound.read(count, dtype="float32", always_2d=True)
            if not len(block):
                break
            done += len(block)
            yield downmix(block)
    except sf.SoundFileError as error:
        raise _cut(label, f"decoding fails after {done / sound.samplerate:.2f} s") from error
    if sound.frames > 1 << 40:  # the length was left open, or is our own claim
        if sound.window.tell() < sound.window.end:
            raise _cut(label, f"decoding stops after {done / sound.samplerate:.2f} s")
    elif done < sound.frames - _SLACK.get(sound.format, 0):
        raise _cut(label, f"{done} of {sound.frames} samples are there")
