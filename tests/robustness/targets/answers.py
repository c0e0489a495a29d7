"""Files of a teacher's answers: `Answers.read`.

The first byte says what follows: a whole file, or the arrays of one, one after the other.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from snn_voice_lite.errors import SnnVoiceError

from snn_voice_hub.training.fitting.answers import Answers, write_answers
from tests.robustness.contract import told

_FILE, _ARRAYS, _PACKED = range(3)
_BETWEEN: Final = b"\0\xff\0"
WORDS: Final = (
    *(
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"\x93NUMPY\x01\0",
        b"\x93NUMPY\x02\0",
        b"{'descr': '<f2', ",
    ),
    *(
        b"'fortran_order': True, ",
        b"'shape': (2, 2), }",
        b"'shape': (1099511627776,), }",
        b"'|O'",
        b"'<U9'",
        b"'<m8'",
    ),
    *(_BETWEEN, b"names", b"labels", b"log_probs", b"teacher", b"(1,)", b"()", b"<f8", b">f4", b"-1", b"("),
)
_NAMES: Final = ("names", "labels", "log_probs", "teacher")


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="robustness-")) / "x.npz"


def run(data: bytes) -> str:
    """Read them."""
    kind, content = (data[0] % 3, data[1:]) if data else (_FILE, b"")
    if kind != _FILE:
        file = io.BytesIO()
        method = zipfile.ZIP_STORED if kind == _ARRAYS else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, array in zip(_NAMES, content.split(_BETWEEN), strict=False):
                archive.writestr(f"{name}.npy", array)
        content = file.getvalue()
    _place().write_bytes(content)
    try:
        found = Answers.read(_place())
    except SnnVoiceError as error:
        return told(error)
    assert found.log_probs.shape == (len(found.names), len(found.labels))
    return "answers"


def seeds() -> list[bytes]:
    """Those of two clips."""
    write_answers(_place(), "a teacher", ["a/b", "c/d"], ["a", "c"], np.log(np.full((2, 2), 0.5)))
    arrays = [np.array(["a/b"]), np.array(["a", "b"]), np.full((1, 2), -1, ">f8"), np.array("x")]
    parts = []
    for array in arrays:
        file = io.BytesIO()
        np.save(file, array)
        parts.append(file.getvalue())
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    joined = _BETWEEN.join(parts)
    return [
        bytes([_FILE]) + _place().read_bytes(),
        bytes([_FILE]) + file.getvalue(),
        bytes([_ARRAYS]) + joined,
        bytes([_PACKED]) + joined,
    ]
