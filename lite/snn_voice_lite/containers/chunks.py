"""Files that are made of chunks (WAV, RF64, W64, AIFF, CAF), and AU: where their samples begin and end.

Headers are written by programs that could not know the length, count their own header as sound, leave out a
pad byte, or were cut off. The decoder therefore gets to see a header of our own, with a length that is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from snn_voice_lite.containers.faults import cut, several
from snn_voice_lite.containers.marks import Marks, begins
from snn_voice_lite.containers.view import FileView

_MAX_CHUNKS = 1000  # a crafted file may consist of nothing but empty chunks
_MAX_FACTS = 1 << 16  # bytes; the largest that a decoder asks for, a codec's tables, are some hundred
_UNKNOWN = 0x7F00_0000  # from here on, a 32-bit size may be a writer's "unknown" and no length
_UNKNOWN_64 = 1 << 62
_LIMIT = 1 << 32
_ID = re.compile(rb"[A-Za-z][\w \-]{3}|\(c\) |\.snd|dns\.")
# Chunks that are known by their names even where their size can't be right.
_KNOWN = (
    *(b"fmt ", b"data", b"fact", b"LIST", b"PEAK", b"bext", b"iXML", b"id3 ", b"ID3 ", b"JUNK", b"cue "),
    *(b"smpl", b"COMM", b"SSND", b"FVER", b"MARK", b"INST", b"NAME", b"ANNO", b"APPL", b"desc", b"free"),
)
# Those that writers put behind samples of a length that they don't know.
_TRAILERS = (
    *(b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"JUNK", b"cue ", b"smpl", b"PEAK"),
    *(b"MARK", b"INST", b"NAME", b"ANNO", b"APPL"),
)
_BEHIND = Marks(_TRAILERS)
_SEARCHED = 1 << 18  # bytes before the end of the file
_FILES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff", b"caff", b".snd", b"dns.", b"fLaC", b"OggS")
_TAGS = (b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN")


@dataclass(frozen=True)
class _ChunkLayout:
    """How a kind of file is made of chunks; lengths in bytes.

    Attributes:
        ident: Length of a chunk's name.
        size: Length of its size.
        order: Of the bytes of that.
        align: To what chunks are padded.
        facts: Name of the chunk that says how samples are coded.
        sound: Name of the chunk with the samples.
        first: Where the first chunk begins.
    """

    ident: int
    size: int
    order: Literal["little", "big"]
    align: int
    facts: bytes
    sound: bytes
    first: int = 12

    @property
    def header(self) -> int:
        return self.ident + self.size

    @property
    def unknown(self) -> int:
        return _UNKNOWN if self.size == 4 else _UNKNOWN_64


_RIFF: Final = _ChunkLayout(4, 4, "little", 2, b"fmt ", b"data")
_LAYOUTS: Final = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _ChunkLayout(4, 4, "big", 2, b"fmt ", b"data"),
    b"FORM": _ChunkLayout(4, 4, "big", 2, b"COMM", b"SSND"),
    b"riff": _ChunkLayout(16, 8, "little", 8, b"fmt ", b"data", 40),
    b"caff": _ChunkLayout(4, 8, "big", 1, b"desc", b"data", 8),
}


class _Chunk(NamedTuple):
    """A chunk: its name, where its content begins, and how long that is said to be."""

    name: bytes
    body: int
    size: int


def arrange_chunks(view: FileView, head: bytes, label: str) -> bool:
    """Let the decoder see the samples that are there, behind a header that is true.

    Args:
        view: The file.
        head: Its first bytes, at least 12 of them.
        label: What to call it.

    Returns:
        Whether there is a chunk of samples. Without one the file is shown as it is.

    Raises:
        AudioError: Samples are missing, or there is more than one file or chunk of them.
    """
    magic = head[:4]
    layout = _LAYOUTS[magic]
    big = _ds64(view) if magic in (b"RF64", b"BW64") else None
    facts = sound = None
    for chunk in _chunks(view, layout, layout.first):
        if chunk.name == layout.facts and facts is None:
            facts = chunk
        if chunk.name == layout.sound:
            sound = chunk
            break
    whole = _whole(view, head, layout, big)
    if sound is None:
        if whole is not None and whole > view.end:
            raise cut(label, "it ends before its samples begin")
        return False
    size = sound.size
    if big is not None and size == _LIMIT - 1:
        size = big[1] or _UNKNOWN_64  # 0 is what a pipe leaves there
    there = view.end - sound.body
    # A 0 may mean "unknown", unless the length of the whole file is right: then other chunks follow.
    empty = whole is not None and abs(whole - view.end) <= 1
    limit = _UNKNOWN_64 if big else layout.unknown
    unknown = (layout.size == 4 and size == _LIMIT - 1) or there < size >= limit
    if size < 0 or (size == 0 and not empty) or unknown:
        view.unbounded = sound.body
        end = _before_chunks(view, layout, sound.body)
    else:
        end = _end(view, sound.body, size, whole, label)
    if view.unbounded is None and end < view.end:
        end, later = _behind(view, layout, sound, end, label)
        facts = facts or later
    _show(view, layout, magic, facts, sound, end, label)
    return True


def arrange_au(view: FileView, head: bytes, label: str) -> None:
    """The same for AU, which is a header and samples.

    Raises:
        AudioError: Samples are missing, or something that is no sound follows them.
    """
    order: Literal["little", "big"] = "big" if head[:4] == b".snd" else "little"
    start, size = (int.from_bytes(head[at : at + 4], order) for at in (4, 8))
    if len(head) < 24 or start < 24 or start > view.end:
        raise cut(label, "its AU header can't be read to the end")
    unknown = size in (0, _LIMIT - 1) or view.end - start < size >= _UNKNOWN
    if unknown:
        view.unbounded = start
    end = view.end if unknown else _end(view, start, size, None, label)
    if end < view.end:
        end = _rest(view, start, end, label)
    if end - start >= _LIMIT:
        raise cut(label, "AU of more than 4 GiB has no length that is true")
    header = head[:4] + (24).to_bytes(4, order) + (end - start).to_bytes(4, order) + head[12:24]
    view.show(header, (start, end))


# --- walking --------------------------------------------------------------------------------------


def _chunks(view: FileView, layout: _ChunkLayout, at: int) -> Iterator[_Chunk]:
    for _ in range(_MAX_CHUNKS):
        chunk = _chunk(view, layout, at)
        if chunk is None:
            return
        yield chunk
        at = _next(view, layout, chunk.body + max(0, chunk.size), chunk.size)


def _chunk(view: FileView, layout: _ChunkLayout, at: int) -> _Chunk | None:
    header = view.peek(at, layout.header)
    if len(header) < layout.header:
        return None
    signed = layout.sound == b"data" and layout.size == 8
    size = int.from_bytes(header[layout.ident :], layout.order, signed=signed)
    if layout.ident == 16:
        # W64 counts a chunk's header as part of it; -1 is what a pipe leaves there.
        size = size - layout.header if size > 0 else -1
    return _Chunk(header[:4], at + layout.header, size)


def _next(view: FileView, layout: _ChunkLayout, end: int, size: int) -> int:
    """Where the next chunk begins: behind a pad byte, unless the writer forgot that."""
    padded = end + -size % layout.align
    if padded == end or view.peek(end, 1) == b"\0" or _plausible(view, layout, end) is None:
        return padded
    return end


def _plausible(view: FileView, layout: _ChunkLayout, at: int) -> _Chunk | None:
    """The chunk that begins there, if it is one by its name and size."""
    chunk = _chunk(view, layout, at)
    if chunk is None or not _ID.match(chunk.name):
        return None
    fits = chunk.size >= 0 and chunk.body + chunk.size <= view.end
    return chunk if fits or chunk.name in _KNOWN or chunk.name in _FILES else None


# --- lengths --------------------------------------------------------------------------------------


def _ds64(view: FileView) -> tuple[int, int]:
    """The true sizes of an RF64 file and its samples; 0 where its writer could not know them."""
    chunk = view.peek(12, 36)
    known = chunk[:4] == b"ds64" and len(chunk) == 36
    sizes = [int.from_bytes(chunk[at : at + 8], "little") for at in (8, 16)] if known else [0, 0]
    return sizes[0], 0 if sizes[1] >= _UNKNOWN_64 else sizes[1]


def _whole(view: FileView, head: bytes, layout: _ChunkLayout, big: tuple[int, int] | None) -> int | None:
    """Where the file ends, as its header says; None where it does not say."""
    if layout.first == 8:
        return None
    if layout.ident == 16:
        return int.from_bytes(view.peek(16, 8), "little")
    if big is not None:
        return big[0] + 8
    return int.from_bytes(head[4:8], layout.order) + 8


def _end(view: FileView, start: int, size: int, whole: int | None, label: str) -> int:
    """Where samples end that begin at `start` and are said to be `size` bytes.

    Recorders are known to announce the size of the file, or of what follows its first 8 bytes, some for a
    header of 44 bytes whatever theirs is. A file whose own length is right has lost nothing either, where
    less than a header seems to be missing.
    """
    missing = start + size - view.end
    if missing <= 0:
        return start + size
    complete = whole is not None and whole <= view.end
    if missing <= start and (complete or missing in (36, 44, start - 8, start)):
        return view.end
    raise cut(label, f"{max(0, view.end - start)} of {size} bytes of samples are there")


def _behind(
    view: FileView, layout: _ChunkLayout, sound: _Chunk, end: int, label: str
) -> tuple[int, _Chunk | None]:
    """Look at what follows the samples; a header that announces too little would hide some of them.

    Returns:
        Where the samples end, and the chunk that says how they are coded, if it stands there.
    """
    at = _next(view, layout, end, end - sound.body)
    facts = None
    first = at
    for _ in range(_MAX_CHUNKS):
        chunk = _plausible(view, layout, at)
        if chunk is None:
            break
        if chunk.name in _FILES:
            raise several(label, "sound files")
        if chunk.name == layout.sound and chunk.size:
            raise several(label, "chunks of samples")
        if chunk.name == layout.facts:
            facts = chunk
        at = _next(view, layout, chunk.body + max(0, chunk.size), chunk.size)
    if at > first and begins(view, at):
        raise several(label, "sound files")
    # Where a chunk follows, the samples end; whatever is behind that is none.
    return _rest(view, sound.body, end, label) if at == first < view.end else end, facts


def _before_chunks(view: FileView, layout: _ChunkLayout, start: int) -> int:
    """Where samples of unknown length end: before chunks that end exactly where the file does."""
    base = max(start, view.end - _SEARCHED)
    data = view.peek(base, _SEARCHED)
    end = len(data)
    for at, _ in sorted(_BEHIND.places(data), reverse=True):
        chunk = _chunk(view, layout, base + at)
        if chunk is not None and chunk.size >= 0:
            stop = chunk.body + chunk.size - base
            if end in (stop, stop + chunk.size % layout.align):
                end = at
    return base + end


def _rest(view: FileView, start: int, end: int, label: str) -> int:
    """Where samples from `start` really end, if what follows their announced `end` is no chunk."""
    rest = view.peek(end, 16)
    if rest.startswith(_FILES) or begins(view, end):
        raise several(label, "sound files")
    if rest.startswith(_TAGS) or not any(block.strip(b"\0") for block in view.stretches(end)):
        return end
    if view.end - end <= start:
        return view.end
    raise cut(label, f"{view.end - end} bytes follow that its header does not speak of")


# --- what the decoder sees ------------------------------------------------------------------------


def _show(
    view: FileView,
    layout: _ChunkLayout,
    magic: bytes,
    facts: _Chunk | None,
    sound: _Chunk,
    end: int,
    label: str,
) -> None:
    size = end - sound.body
    if magic == b"caff":
        # Packet tables may stand before the samples or behind them, so all stays where it is.
        at = sound.body - layout.size
        view.show((0, at), size.to_bytes(8, "big"), (sound.body, view.end))
        return
    told = b"" if facts is None else view.peek(facts.body, min(facts.size, _MAX_FACTS))
    told += bytes(len(told) % 2)
    order = layout.order
    if magic == b"FORM":
        form, names = b"FORM", view.peek(8, 4)
    else:
        form, names = b"RIFX" if magic == b"RIFX" else b"RIFF", b"WAVE"
    told = layout.facts + len(told).to_bytes(4, order) + told if facts is not None else b""
    total = 4 + len(told) + 8 + size
    if total < _LIMIT:
        header = form + total.to_bytes(4, order) + names + told
        header += layout.sound + size.to_bytes(4, order)
    elif form == b"RIFF":
        sizes = b"".join(value.to_bytes(8, "little") for value in (total + 36, size, 0)) + bytes(4)
        header = b"RF64\xff\xff\xff\xffWAVEds64" + len(sizes).to_bytes(4, "little") + sizes + told
        header += b"data\xff\xff\xff\xff"
    else:
        raise cut(label, f"{form.decode()} of more than 4 GiB has no length that is true")
    view.show(header, (sound.body, end))
