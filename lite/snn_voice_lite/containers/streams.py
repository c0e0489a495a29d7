"""Ogg, FLAC and MP3: whether a file is one stream, and all of it."""

from __future__ import annotations

import re
from typing import Final

from snn_voice_lite.containers.faults import cut, several
from snn_voice_lite.containers.marks import another, begins
from snn_voice_lite.containers.mpeg import first_frame
from snn_voice_lite.containers.view import FileView

_OGG_PAGE = 65_307  # bytes, at most
_FLAC_TOTAL = slice(18, 26)  # of the file; the lower 36 bits are the number of samples
# With what a stream begins, by libsndfile's name of the format.
_FIRST: Final = {
    "OGG": re.compile(rb"OggS\x00[\x02\x06]"),
    "FLAC": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
}
_MARK = 8  # bytes of the longer of the two
_READ_AHEAD = 1 << 16  # bytes that a decoder may have taken beyond what it has decoded
_MAX_BLOCKS = 1000
_ENDLESS = 1 << 50  # bytes


def arrange_ogg(view: FileView, label: str) -> None:
    """See that the last page is complete and of the first stream: libsndfile drops what is not.

    That the last page is marked as such is not asked for, because recordings of live streams lack the mark.

    Raises:
        AudioError: It is cut off, or another stream stands behind the first.
    """
    last = _last_page(view)
    page = view.peek(last, _OGG_PAGE).ljust(27, b"\xff")
    end = last + 27 + page[26] + sum(page[27 : 27 + page[26]])
    if view.end < end:
        raise cut(label, "its last Ogg page is not complete")
    if page[14:18] != view.peek(14, 4):
        raise several(label, "Ogg streams")
    if begins(view, end):
        raise several(label, "sound files")
    if view.end - end > _OGG_PAGE:  # more than a tag: pages that are none any more
        raise cut(label, f"{view.end - end} bytes follow its last Ogg page")


def _last_page(view: FileView) -> int:
    """Where the last page begins; it is looked for from the end, and a file begins with one."""
    at = view.end
    while at > 0:
        at = max(0, at - _OGG_PAGE)
        found = view.peek(at, _OGG_PAGE + 3).rfind(b"OggS")
        if found >= 0:
            return at + found
    return 0


def arrange_flac(view: FileView) -> None:
    """Hide the number of samples from the decoder, so that what is behind them shows."""
    field = int.from_bytes(view.peek(0, 26)[_FLAC_TOTAL], "big")
    view.announced = field & (1 << 36) - 1
    hidden = (field >> 36 << 36).to_bytes(8, "big")
    view.show((0, 18), hidden, (26, view.end))


def arrange_mp3(view: FileView, start: int, label: str) -> None:
    """Make the decoder go from the first frame to the real end of an MP3 file.

    Without a frame count ("Xing" or "Info" frame) libsndfile guesses the length from the size of the file
    and the first frame, and drops what is longer. A file that claims to be endless makes it read on.

    Raises:
        AudioError: The count ends before the file does, and another file follows.
    """
    view.show((start, view.end))
    frame = view.peek(start, 64)
    info = max(frame.find(b"Xing"), frame.find(b"Info"))
    flags = frame[info + 7 : info + 8] if info >= 0 else b""
    if not flags or not flags[0] & 1:
        view.claimed_size = _ENDLESS
    elif flags[0] & 2:
        counted = int.from_bytes(frame[info + 12 : info + 16], "big")
        if counted and begins(view, start + counted):
            raise several(label, "sound files")


def check_alone(view: FileView, form: str, label: str) -> None:
    """See that nothing else begins behind the first sound; a stream of Ogg may have the same number.

    All of the file is looked through, so this comes after its sound was found to be of a legal length.

    Args:
        view: The file.
        form: libsndfile's name of the format.
        label: What to call it.

    Raises:
        AudioError: Another one does.
    """
    first = _FIRST.get(form)
    if first is not None and any(first.search(data) for data in view.stretches(1, _MARK - 1)):
        raise several(label, f"{'Ogg' if form == 'OGG' else form} streams")
    if view.unbounded is not None and another(view, view.unbounded):
        raise several(label, "sound files")


def check_behind(view: FileView, form: str, label: str, at: int) -> None:
    """See that where a decoder failed no other file begins.

    Args:
        view: The file.
        form: libsndfile's name of the format.
        label: What to call it.
        at: How far the decoder had read by then.

    Raises:
        AudioError: One does.
    """
    start = max(1, at - _READ_AHEAD)
    if form == "FLAC":
        start = max(start, _flac_frames(view))
    bare = form == "FLAC" and first_frame(view, _READ_AHEAD, start) is not None
    if bare or another(view, start):
        raise several(label, "sound files")


def _flac_frames(view: FileView) -> int:
    """Where metadata end; they may hold the header of the file that the sound once was in."""
    at = 4
    for _ in range(_MAX_BLOCKS):
        header = view.peek(at, 4).ljust(4, b"\x80")
        at += 4 + int.from_bytes(header[1:], "big")
        if header[0] & 0x80:
            break
    return at
