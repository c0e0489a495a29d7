"""Zips of clips that are sent to be learned from: `unpack`.

The first byte says what follows: a whole zip, or a list of names and clips of which one is made.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import soundfile as sf
from snn_voice_server.failures import RequestError
from snn_voice_server.teaching.lessons import TeachLimits
from snn_voice_server.teaching.unpacking import unpack

from tests.robustness.contract import BrokenContractError, told

_FILE, _LIST, _PACKED = range(3)
_BETWEEN: Final = b"\0\xff\0"
WORDS: Final = (
    *(
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"PK\x06\x07",
        b"PK\x07\x08",
        b"\x01\0",
        b"\x99\x09",
    ),
    *(
        b"../",
        b"/",
        b"\\",
        b"__MACOSX/",
        b".DS_Store",
        b"yes/a.wav",
        b"a/yes/b.wav",
        b".wav",
        _BETWEEN,
        b"C:",
        b".",
    ),
    *("\u00e4".encode(), "\U0001f600".encode() * 80, b"\x20\0", b"\x40\0", b"\x0c\0", b"\x0e\0", b"con"),
)


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="robustness-"))


def run(data: bytes) -> str:
    """Unpack them; nothing lies beside the folder afterwards."""
    kind, content = (data[0] % 3, data[1:]) if data else (_FILE, b"")
    if kind != _FILE:
        content = _zipped(content, zipfile.ZIP_STORED if kind == _LIST else zipfile.ZIP_DEFLATED)
    folder = _place() / "clips"
    try:
        counts = unpack(content, folder, TeachLimits(clips=8, words=4, max_bytes=1 << 20))
        found = sum(path.is_file() for path in folder.rglob("*"))
        if found != counts.total():
            raise BrokenContractError(f"{found} clips are there, {counts.total()} are told of")
    except RequestError as error:
        return told(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if beside := list(_place().iterdir()):
            raise BrokenContractError(f"{beside} lies beside the folder")
    return "clips"


def _zipped(content: bytes, method: int) -> bytes:
    parts = content.split(_BETWEEN)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, clip in zip(parts[::2], parts[1::2], strict=False):
            if text := name.decode("utf-8", "replace").partition("\0")[0]:
                archive.writestr(text, clip or _clip())
    return file.getvalue()


@cache
def _clip() -> bytes:
    file = io.BytesIO()
    sf.write(file, np.sin(np.arange(80) / 5) / 2, 8_000, format="WAV")
    return file.getvalue()


def seeds() -> list[bytes]:
    """A few clips of two words."""
    names = (b"yes/a.wav", b"yes/b.wav", b"no/a.wav", b"__MACOSX/._a.wav")
    listed = _BETWEEN.join(part for name in names for part in (name, b""))
    inside = _BETWEEN.join(part for name in names[:3] for part in (b"all/" + name, b""))
    found = [bytes([kind]) + text for kind in (_LIST, _PACKED) for text in (listed, inside)]
    return [*found, *(bytes([_FILE]) + _zipped(text, zipfile.ZIP_DEFLATED) for text in (listed, inside)), b""]
