"""Ogg and FLAC: whether a file is one stream, and all of it."""

from __future__ import annotations

import re
from typing import Final

from snn_voice_hub.containers.faults import cut, several
from snn_voice_hub.containers.window import Window

_OGG_PAGE = 65_307  # bytes, at most
_FLAC_TOTAL = slice(18, 26)  # of the file; the lower 36 bits are the number of samples
# With what a stream begins, by libsndfile's name of the format.
_FIRST: Final = {
    "OGG": re.compile(rb"OggS\x00[\x02\x06]"),
    "FLAC": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
}
_MARK = 8  # bytes of the longer of the two


def arrange_ogg(window: Window, label: str) -> None:
    """See that the last page is complete and of the first stream: libsndfile drops what is not.

    That the last page is marked as such is not asked for, because recordings of live streams lack the mark.

    Raises:
        AudioError: It is cut off, or another stream stands behind the first.
    """
    tail = window.peek(window.end - _OGG_PAGE, _OGG_PAGE)
    page = tail[max(0, tail.rfind(b"OggS")) :].ljust(27, b"\xff")
    segments = page[27 : 27 + page[26]]
    if len(page) < 27 + page[26] + sum(segments):
        raise cut(label, "its last Ogg page is not complete")
    if page[14:18] != window.peek(14, 4):
        raise several(label, "Ogg streams")


def arrange_flac(window: Window) -> None:
    """Hide the number of samples from the decoder, so that what is behind them shows."""
    field = int.from_bytes(window.peek(0, 26)[_FLAC_TOTAL], "big")
    window.announced = field & (1 << 36) - 1
    hidden = (field >> 36 << 36).to_bytes(8, "big")
    window.show((0, 18), hidden, (26, window.end))


def check_alone(window: Window, form: str, label: str) -> None:
    """See that no other stream begins behind the first; in Ogg it may have the same number.

    All of the file is looked through, so this comes after its sound was found to be of a legal length.

    Args:
        window: The file.
        form: libsndfile's name of the format.
        label: What to call it.

    Raises:
        AudioError: Another one does.
    """
    first = _FIRST.get(form)
    if first is not None and any(first.search(data) for data in window.stretches(1, _MARK - 1)):
        raise several(label, f"{'Ogg' if form == 'OGG' else form} streams")
