"""Lists of clips: `read_manifest`. The first byte says which ending the file has."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from snn_voice_lite.errors import SnnVoiceError

from snn_voice_hub.training.clips.manifest import read_manifest
from snn_voice_hub.training.clips.tables import SUFFIXES
from tests.robustness.contract import told

WORDS: Final = (
    *(
        b"path",
        b"label",
        b"split",
        b"speaker",
        b"offset",
        b"text",
        b"file_name",
        b"train",
        b"test",
        b"a.wav",
        b"sep=;\n",
    ),
    *(
        b'"',
        b"\n",
        b";",
        b"\t",
        b"|",
        b"\\ud800",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"../",
        b"\0",
        b"1" * 310,
        b"NaN",
    ),
)


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="robustness-"))
    (folder / "a.wav").touch()
    return folder


def run(data: bytes) -> str:
    """Read them as a list."""
    suffix = SUFFIXES[data[0] % len(SUFFIXES)] if data else ".csv"
    path = _folder() / f"list{suffix}"
    path.write_bytes(data[1:])
    try:
        rows, skipped = read_manifest(path)
    except SnnVoiceError as error:
        return told(error)
    finally:
        path.unlink()
    assert rows
    return "a list" if not skipped else "a list, in part"


def seeds() -> list[bytes]:
    """One in each form, and one that is none."""
    rows = [
        {"path": "a.wav", "label": "yes", "split": "train"},
        {"path": "b.wav", "label": "no", "split": "test"},
    ]
    lines = "\n".join(map(json.dumps, rows))
    return [
        b"\0path\n",
        b"\0path,label,split\na.wav,yes,train\nb.wav,no,test\n",
        b'\0sep=;\npath;label;speaker\n"a.wav";"y""es";anna\n',
        b"\1file_name\ttext\na.wav\tyes\n",
        b"\2" + lines.encode(),
        b"\3" + lines.encode("utf-16"),
        b"\4" + json.dumps(rows).encode(),
        b"\4" + json.dumps([{"audio": {"path": "a.wav"}, "label": 3, "offset": 0.0}]).encode(),
    ]
