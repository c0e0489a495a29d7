"""What libsndfile gets to see of a file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Bytes of our own, or from where to where in the file.
Part: TypeAlias = bytes | tuple[int, int]

_BLOCK = 1 << 20


class FileView(io.RawIOBase):
    """A file as a decoder shall see it: some stretches of its bytes, and bytes that stand in for others.

    `peek` and `stretches` look at the file itself; all else is what the decoder sees.

    Attributes:
        end: Where the file ends.
        size: How many bytes the decoder sees.
        claimed_size: How many it is told that there are.
        announced: How many samples a header that it does not see speaks of; 0 where none does.
        unbounded: Where sound begins of which no header says where it ends; None for all other.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._at = 0
        self._begin = 0
        self.end = file.seek(0, io.SEEK_END)
        self.announced = 0
        self.unbounded: int | None = None
        self.show((0, self.end))

    def show(self, *parts: Part) -> None:
        """Let the decoder see these, one after the other."""
        self._parts: list[tuple[int, int, Part]] = []
        end = 0
        for part in parts:
            begin, end = end, end + _length(part)
            self._parts.append((begin, end, part))
        self.size = self.claimed_size = end

    def drop(self, count: int) -> None:
        """Take a file for one that begins `count` bytes later."""
        self._begin += min(count, self.end)
        self.end -= min(count, self.end)
        self.show((0, self.end))

    def seekable(self) -> bool:
        """Whether the decoder may seek."""
        return True

    def readable(self) -> bool:
        """Whether the decoder may read."""
        return True

    def tell(self) -> int:
        """Where the decoder stands."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position; before the first byte there is none."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.claimed_size}[whence]
        self._at = max(0, base + offset)  # an exception would not get through libsndfile
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer, across the borders of stretches: libsndfile takes less for the end."""
        view = memoryview(buffer)
        got = 0
        if self._at < self.size:
            for begin, end, part in self._parts:
                at = self._at + got
                wanted = min(len(view) - got, end - at)
                if at < begin or wanted <= 0:
                    continue
                if isinstance(part, bytes):
                    view[got : got + wanted] = part[at - begin : at - begin + wanted]
                    got += wanted
                else:
                    self._file.seek(self._begin + part[0] + at - begin)
                    got += self._file.readinto(view[got : got + wanted])  # type: ignore[attr-defined]
        elif self._at >= self.claimed_size - 128:  # an MP3 decoder looks for a tag there before all else
            got = min(len(view), max(0, self.claimed_size - self._at))
            view[:got] = bytes(got)
        self._at += got
        return got

    def peek(self, position: int, count: int) -> bytes:
        """Up to `count` bytes of the file from `position`."""
        self._file.seek(self._begin + max(0, position))
        return self._file.read(count)

    def stretches(self, start: int, overlap: int = 0) -> Iterator[bytes]:
        """The file from `start` to its end, in pieces that share `overlap` bytes."""
        while start < self.end:
            yield self.peek(start, _BLOCK + overlap)
            start += _BLOCK


def _length(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else max(0, part[1] - part[0])
