"""Files around a pickle that was written instruction by instruction."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import pytest

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.legacy.archives import read_torch_file

MAGIC = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})


def part(value: object) -> bytes:
    """The instructions that make a plain value, without those around them."""
    return pickle.dumps(value, 2)[2:-1]


def as_zip(path: Path, program: bytes, **records: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for key, data in records.items():
            archive.writestr(f"archive/data/{key.removeprefix('_')}", data)
    return path


def as_legacy(path: Path, program: bytes, **records: bytes) -> Path:
    head = b"".join(pickle.dumps(value, 2) for value in MAGIC)
    keys = [key.removeprefix("_") for key in records]
    raw = b"".join(struct.pack("<q", len(data) // 4) + data for data in records.values())
    path.write_bytes(head + program + pickle.dumps(keys, 2) + raw)
    return path


def as_first_pickle(path: Path, program: bytes) -> Path:
    path.write_bytes(program)
    return path


def refused(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read_torch_file(path)
    assert "\n" not in str(caught.value)
    return caught.value
