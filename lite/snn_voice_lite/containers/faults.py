"""What is said of bytes that are no sound, or not all of it."""

from __future__ import annotations

import re
from typing import Final

from snn_voice_lite.errors import AudioError

_WAVES = ("WAV", "RF64", "W64")
SUPPORTED_FORMATS: Final = (*_WAVES, "FLAC", "OGG Vorbis", "OGG Opus", "MP3", "AIFF", "CAF", "AU")
CONVERT: Final = f"supported are {', '.join(SUPPORTED_FORMATS)}; convert with `ffmpeg -i in.m4a out.wav`"

_LOOKS = {
    b"\x1aE\xdf\xa3": "WebM or Matroska",
    b"\xff\xf1": "AAC",
    b"\xff\xf9": "AAC",
    b"OggS": "Ogg with another codec than Vorbis or Opus",
    b"#!AMR": "AMR",
    b"0&\xb2u": "WMA",
    b"NIST_1A": "NIST SPHERE",
    b"Creative Voice File": "VOC",
    b"RIFF": "a RIFF file that is not WAV",
    b"\x89PNG": "a PNG image",
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF": "PDF",
}
_POINTER = b"version https://git-lfs.github.com/spec/"


def audio_error(code: str, message: str, hint: str = "") -> AudioError:
    """An `AudioError` with its code."""
    return AudioError(message, hint=hint, code=code)


def cut(label: str, why: str) -> AudioError:
    """The error for sound that is not all there, or not what its header says."""
    return audio_error(
        "truncated", f"{label} is cut off or damaged: {why}", "was it written or sent to the end?"
    )


def several(label: str, what: str) -> AudioError:
    """The error for files that were written one behind the other, of which only the first would be heard."""
    hint = "split them, or make one of them: `ffmpeg -i in.ogg out.wav` joins streams of Ogg"
    return audio_error("not_audio", f"{label} holds several {what}, one after the other", hint)


def looks_like(head: bytes) -> str:
    """What the first bytes are of, where that is known to be no sound that is read; else ""."""
    if head[4:8] == b"ftyp":
        return "MP4 or M4A"
    return next((name for magic, name in _LOOKS.items() if head.startswith(magic)), "")


def not_audio(label: str, head: bytes) -> AudioError:
    """The error for bytes that begin like nothing that is read."""
    looks = looks_like(head)
    if not looks and not re.search(rb"[\x00-\x08\x0e-\x1f\xff]", head):
        text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        html = text.startswith((b"<!doctype html", b"<html"))
        looks = "HTML" if html else "JSON" if text.startswith((b"{", b"[")) else "text"
        if text.startswith(_POINTER):
            hint = "fetch it with `git lfs pull`"
            return audio_error("not_audio", f"{label} is a Git LFS pointer, not the file itself", hint)
    hint = f"it looks like {looks}; {CONVERT}" if looks else CONVERT
    return audio_error("not_audio", f"{label} is not sound in a known format", hint)
