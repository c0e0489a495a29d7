"""MP3: where its frames begin, and where the tags end that taggers put before and behind any file."""

from __future__ import annotations

from typing import Final, NamedTuple

from snn_voice_lite.containers.view import FileView

_CHAIN = 4  # frames in a row that no other data has by chance
_LONGEST = 2881  # bytes of a frame
_MAX_TAGS = 8
_RATES: Final = (44_100, 48_000, 32_000)  # Hz, in MPEG-1
_LOWER: Final = {3: 1, 2: 2, 0: 4}  # by which the rates of MPEG-1, 2 and 2.5 are divided
_KBITS: Final = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class _Frame(NamedTuple):
    """A frame: what is equal in all frames of a stream, and its length in bytes."""

    stream: tuple[int, int, int]
    length: int


def tag_length(view: FileView, at: int) -> int:
    """Bytes of the ID3 tag that begins at `at`; 0 where none does."""
    head = view.peek(at, 10)
    if len(head) < 10 or not head.startswith(b"ID3"):
        return 0
    size = 0
    for byte in head[6:10]:  # seven bits each
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


def behind_tags(view: FileView, at: int) -> int:
    """Where the tags end that begin at `at`; `at` itself where none does."""
    for _ in range(_MAX_TAGS):
        head = view.peek(at, 16)
        if head.startswith(b"TAG"):
            at += 128
        elif head.startswith(b"APETAGEX"):
            at += 32 + int.from_bytes(head[12:16], "little")
        elif length := tag_length(view, at):
            at += length
        else:
            break
    return at


def first_frame(view: FileView, searched: int, start: int = 0) -> int | None:
    """Where in the `searched` bytes from `start` a row of frames begins, if it does.

    What is before it is left of a frame whose beginning was cut away, or room that a tagger has left. Two
    frames are enough for a file that consists of them, and too few behind other sound.
    """
    data = view.peek(start, searched + _CHAIN * _LONGEST)
    at = data.find(b"\xff", 0, searched)
    while at >= 0:
        if _row(data, at, len(data) == view.end):
            return start + at
        at = data.find(b"\xff", at + 1, searched)
    return None


def frames_begin(view: FileView, at: int) -> bool:
    """Whether a row of frames begins at `at`."""
    return _row(view.peek(at, _CHAIN * _LONGEST), 0, False)


def _frame(header: bytes) -> _Frame | None:
    """A frame by its first four bytes; None for what is no frame, or one whose length is not said."""
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    kbits, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 0 or kbits in (0, 15) or rate == 3:
        return None
    bits = _KBITS[version == 3, layer][kbits - 1] * 1000
    hertz = _RATES[rate] // _LOWER[version]
    padding = header[2] >> 1 & 1
    if layer == 3:
        return _Frame((version, layer, rate), (12 * bits // hertz + padding) * 4)
    slots = 72 if layer == 1 and version != 3 else 144
    return _Frame((version, layer, rate), slots * bits // hertz + padding)


def _row(data: bytes, at: int, to_the_end: bool) -> bool:
    """Whether frames of one stream follow each other from `at`; two are enough if the file ends with them."""
    stream = None
    for count in range(_CHAIN):
        if to_the_end and count > 1 and (at >= len(data) or data.startswith((b"TAG", b"APETAGEX"), at)):
            return True
        frame = _frame(data[at : at + 4])
        if frame is None or (stream is not None and frame.stream != stream):
            return False
        stream = frame.stream
        at += frame.length
    return True
