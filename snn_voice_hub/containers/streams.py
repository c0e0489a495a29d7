"""Ogg and FLAC: whether a file is one stream, and all of it."""

from __future__ import annotations

import re

from snn_voice_hub.containers.faults import audio_error, cut, several
from snn_voice_hub.containers.window import Window

_OGG_PAGE = 65_307  # bytes, at most
_OGG_FIRST = re.compile(rb"OggS\x00[\x02\x06]")  # a page that begins a stream
_FLAC_FIRST = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_FLAC_TOTAL = slice(18, 26)  # of the file; the lower 36 bits are the number of samples
_MARK = 8  # bytes of the longer of the two marks


def arrange_ogg(window: Window, label: str) -> None:
    """See that the last page is complete and that there is one stream: libsndfile drops what is not.

    That the last page is marked as such is not asked for, because recordings of live streams lack the mark.

    Raises:
        AudioError: It is cut off, or another stream begins behind the first, perhaps with its number.
    """
    tail = window.peek(window.end - _OGG_PAGE, _OGG_PAGE)
    page = tail[max(0, tail.rfind(b"OggS")) :].ljust(27, b"\xff")
    segments = page[27 : 27 + page[26]]
    if len(page) < 27 + page[26] + sum(segments):
        raise cut(label, "its last Ogg page is not complete")
    if page[14:18] != window.peek(14, 4) or _again(window, _OGG_FIRST):
        hint = "join them with `ffmpeg -i in.ogg out.wav`"
        raise audio_error("not_audio", f"{label} holds several Ogg streams", hint)


def arrange_flac(window: Window, label: str) -> None:
    """Hide the number of samples from the decoder, so that what is behind them shows.

    Raises:
        AudioError: Another FLAC stream begins behind the first.
    """
    if _again(window, _FLAC_FIRST):
        raise several(label, "FLAC streams")
    field = int.from_bytes(window.peek(0, 26)[_FLAC_TOTAL], "big")
    window.announced = field & (1 << 36) - 1
    hidden = (field >> 36 << 36).to_bytes(8, "big")
    window.show((0, 18), hidden, (26, window.end))


def _again(window: Window, mark: re.Pattern[bytes]) -> bool:
    """Whether a mark stands anywhere behind the first byte."""
    return any(mark.search(data) for data in window.stretches(1, _MARK - 1))
