"""Checkpoints of PyTorch Lightning, which are pickles that nothing runs: `read_lightning`.

The first byte says what follows: a whole file, or a pickle around which a file is made, since nobody finds by
chance the places that a zip tells of.
"""

from __future__ import annotations

import io
import pickle
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Final

from snn_voice_lite.errors import SnnVoiceError

from snn_voice_hub.hub.legacy import lightning, stand_ins
from snn_voice_hub.hub.paper import LAYOUTS
from tests.hub.legacy import writer
from tests.robustness.contract import told

_FILE, _PICKLE, _OLD = range(3)
WORDS: Final = (
    *(f"{name.rpartition('.')[0]}\n{name.rpartition('.')[2]}\n".encode() for name in stand_ins.TABLE),
    *(
        b"state_dict",
        b"hyper_parameters",
        b"n_steps",
        b"n_classes",
        b"learn_beta",
        b"learn_thres",
        b"storage",
    ),
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"data.pkl", b"byteorder"),
    *(
        b"\x80\x02",
        b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
        b"\xff\xff\xff\xff",
        b"\x85R",
        b"}q\x00(",
    ),
)


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="robustness-")) / "x.ckpt"


def run(data: bytes) -> str:
    """Read them as a file."""
    kind, content = (data[0] % 3, data[1:]) if data else (_FILE, b"")
    path = _place()
    path.write_bytes({_FILE: lambda c: c, _PICKLE: _around, _OLD: _older}[kind](content))
    try:
        config, weights = lightning.read_lightning(path, num_steps=1 if kind == _OLD else None)
    except SnnVoiceError as error:
        return told(error)
    config.to_json()
    assert sum(tensor.numel() for tensor in weights.values()) < 1 << 26
    return "checkpoint"


def _around(program: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", program)
        archive.writestr("x/byteorder", "little")
        archive.writestr("x/data/0", bytes(64))
        archive.writestr("x/version", "3")
    return file.getvalue()


def _older(program: bytes) -> bytes:
    head = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    parts = [*(pickle.dumps(part, protocol=2) for part in head), program, pickle.dumps(["0"], protocol=2)]
    return b"".join(parts) + (16).to_bytes(8, "little") + bytes(64)


def seeds() -> list[bytes]:
    """The pickles of small and of real checkpoints, and whole files."""
    found = [bytes([_FILE]), bytes([_FILE]) + _around(pickle.dumps({"state_dict": {}}, protocol=2))]
    smallest = min(
        writer.ARCHITECTURES, key=lambda name: sum(p.numel() for p in writer.network(name).parameters())
    )
    for name in {smallest, LAYOUTS[0].architecture}:
        made = writer.network(name)
        for zipped in (True, False):
            path = writer.write(made, _place(), moments=False, zipped=zipped)
            if zipped:
                with zipfile.ZipFile(path) as archive:
                    program = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                    found += [bytes([kind]) + archive.read(program) for kind in (_PICKLE, _OLD)]
            elif name == smallest and path.stat().st_size < 1 << 20:
                found.append(bytes([_FILE]) + path.read_bytes())
    plain = {
        "state_dict": {"a": [1, 2.5, None, True, "x", b"y", (1, (2,))]},
        "hyper_parameters": {"n_steps": 2},
    }
    found += [bytes([kind]) + pickle.dumps(plain, protocol=p) for kind in (_PICKLE, _OLD) for p in (0, 2, 4)]
    return found
