"""Text of files that people write: UTF-8, or UTF-16 and UTF-32 as other programs save them."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

# The longer marks first: that of UTF-32 begins like that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded_text(data: bytes, errors: str = "strict") -> str:
    """Text without its byte-order mark.

    Without a mark it is UTF-8, unless a zero byte beside the first character, which UTF-8 has nowhere in
    text, says otherwise. So JSON, YAML and CSV are read, which begin with an ASCII character.

    Args:
        data: The bytes of the text.
        errors: What to do where it is none of UTF-8, UTF-16 and UTF-32, as `bytes.decode` has it.

    Raises:
        UnicodeDecodeError: It is none, with "strict".
    """
    name = next((name for mark, name in _MARKS if data.startswith(mark)), "") or _unmarked(data)
    return data.decode(name, errors)


def read_text(path: Path) -> str:
    """The text of a file; see `decoded_text`.

    Raises:
        OSError: It can't be read.
        UnicodeDecodeError: It is none of UTF-8, UTF-16 and UTF-32.
    """
    return decoded_text(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")


def _unmarked(data: bytes) -> str:
    empty = [byte == 0 for byte in data[:4].ljust(4, b"-")]
    if empty[:3] == [True] * 3:
        return "utf-32-be"
    if empty == [False, True, True, True]:
        return "utf-32-le"
    if empty[0] and not empty[1]:
        return "utf-16-be"
    return "utf-16-le" if not empty[0] and empty[1] else "utf-8"
