"""The files that `torch.save` writes: where a pickle and its storages lie, and a tensor of them on demand.

Both layouts are read from one private mapping of the file, so only the tensors that are asked for are read
from the disk: the zip archive of torch 1.6 and later, and the sequence of pickles before it. Every size and
offset in the file is checked against the file before it is used.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.legacy.pickles import shown, unpickle
from snn_voice_hub.hub.legacy.stand_ins import MalformedPickleError, TensorRef
from snn_voice_hub.hub.strangers import check_file

# The paper's largest has 16 kB; a pickle of this size is read in a few seconds.
_MAX_PICKLE = 4 * 2**20
_MAX_DIRECTORY = 8 * 2**20

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


class _DamagedError(ValueError):
    """The file is not what it should be; the text says where."""


@dataclass(frozen=True)
class Record:
    """A run of bytes of the file.

    Attributes:
        start: Its first byte.
        size: Number of bytes.
    """

    start: int
    size: int


class TorchFile:
    """What a checkpoint file holds.

    Attributes:
        path: The file.
        data: Its object: plain values, with `TensorRef` where tensors are.
    """

    def __init__(self, path: Path, view: mmap.mmap, data: object, storages: Mapping[str, Record]) -> None:
        self.path = path
        self.data = data
        self._view = view
        self._storages = storages

    def tensor(self, ref: TensorRef) -> Tensor:
        """One tensor, on the CPU whatever device the file names.

        Args:
            ref: A tensor of `data`.

        Returns:
            Its values, mapped from the file where the layout allows it: they are read when they are used.

        Raises:
            CheckpointError: The file has no such values, or fewer than the tensor's sizes and strides reach.
        """
        storage, shape = ref.storage, ref.shape
        record = self._storages.get(storage.key)
        if record is None:
            raise CheckpointError(f"{self.path} is damaged: it lacks the storage {shown(storage.key)}")
        if record.size != storage.numel * storage.dtype.itemsize:
            raise CheckpointError(
                f"{self.path} is damaged: the storage {shown(storage.key)} has {record.size} bytes, "
                f"{storage.numel} values of {storage.dtype} are announced"
            )
        numel = math.prod(shape)
        steps = zip(shape, ref.stride, strict=True)
        last = ref.offset + sum((size - 1) * stride for size, stride in steps)
        # The second test refuses a tensor that shows the same values many times, larger than the memory.
        if numel and (last >= storage.numel or numel > storage.numel):
            raise CheckpointError(
                f"{self.path} is damaged: a tensor reaches past the {storage.numel} values of its storage"
            )
        try:
            if not numel:
                return torch.empty(shape, dtype=storage.dtype, device="cpu")
            data: mmap.mmap | bytearray = self._view
            start = record.start
            if start % storage.dtype.itemsize:  # the older layout packs its storages without gaps
                data, start = bytearray(self._view[start : start + record.size]), 0
            flat = torch.frombuffer(data, dtype=storage.dtype, count=storage.numel, offset=start)
            return flat.as_strided(shape, ref.stride, ref.offset)
        except (RuntimeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{self.path} is damaged: a tensor has impossible sizes") from error


def read_torch_file(path: Path) -> TorchFile:
    """Read a file of `torch.save` without running anything in it, and without its tensors.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        CheckpointError: No such file, not a file of `torch.save`, damaged, or its pickle names what is not
            in the table of `hub.legacy.pickles` (code "unsafe_pickle").
    """
    try:
        if not path.is_file():  # opening a pipe or a device could block
            raise CheckpointError(f"no file {path}")
        check_file(path)
        with path.open("rb") as file:
            # A private mapping: torch wants memory that it could write to.
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror or error}") from error
    try:
        return _read_zip(path, view) if view[:4] == b"PK\x03\x04" else _read_legacy(path, view)
    except (_DamagedError, MalformedPickleError) as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint: {error}", hint="a file of torch.save; fetch it again"
        ) from error


# --- zip ------------------------------------------------------------------------------------------


def _read_zip(path: Path, view: mmap.mmap) -> TorchFile:
    records = _zip_records(view)
    pickles = [name for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise _DamagedError(f"its zip archive holds {len(pickles)} files data.pkl, not one")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in records:
        raise CheckpointError(f"{path} is a TorchScript program", hint="save the state dict by torch.save")
    order = records.get(f"{folder}byteorder")
    if order is not None and view[order.start : order.start + min(order.size, 16)] != sys.byteorder.encode():
        raise CheckpointError(f"{path} was saved on a machine of another byte order")
    program = records[pickles[0]]
    if program.size > _MAX_PICKLE:
        raise _DamagedError(f"its pickle has {program.size} bytes, up to {_MAX_PICKLE} are read")
    data = unpickle(io.BytesIO(view[program.start : program.start + program.size]), str(path))
    prefix = f"{folder}data/"
    storages = {
        name.removeprefix(prefix): record for name, record in records.items() if name.startswith(prefix)
    }
    return TorchFile(path, view, data, storages)


def _zip_records(view: mmap.mmap) -> dict[str, Record]:
    """Name -> bytes of every member; none may be compressed, as torch writes them."""
    size = len(view)
    tail = max(0, size - 65_557)  # the end record and the longest comment after it
    end = view.rfind(b"PK\x05\x06", tail)
    if end < 0 or end + 22 > size:
        raise _DamagedError("its zip archive has no end; it may be cut off")
    count, length, offset = struct.unpack_from("<10xHLL", view, end)
    if end >= 20 and view[end - 20 : end - 16] == b"PK\x06\x07":  # archives with 64-bit sizes
        (big_end,) = struct.unpack_from("<8xQ", view, end - 20)
        if big_end + 56 > end or view[big_end : big_end + 4] != b"PK\x06\x06":
            raise _DamagedError("the end of its zip archive is malformed")
        count, length, offset = struct.unpack_from("<32xQQQ", view, big_end)
    if offset + length > end or length > _MAX_DIRECTORY or 46 * count > length:
        raise _DamagedError("the directory of its zip archive is malformed")
    records: dict[str, Record] = {}
    at = offset
    for _ in range(count):
        if at + 46 > offset + length or view[at : at + 4] != b"PK\x01\x02":
            raise _DamagedError("the directory of its zip archive is malformed")
        fields = struct.unpack_from("<8xHH8xLLHHH8xL", view, at)
        flags, method, packed, plain, name_size, extra_size, comment_size, header = fields
        name = view[at + 46 : at + 46 + name_size].decode("utf-8", "replace")
        extra = view[at + 46 + name_size : at + 46 + name_size + extra_size]
        plain, packed, header = _wide(extra, plain, packed, header)
        if method or packed != plain or flags & 1:
            raise _DamagedError("its zip archive is compressed or encrypted, which torch.save never does")
        if name in records:
            raise _DamagedError(f"its zip archive holds {shown(name)} twice")
        if header + 30 > offset or view[header : header + 4] != b"PK\x03\x04":
            raise _DamagedError(f"{shown(name)} of its zip archive is not where it should be")
        # The member's own header may be padded otherwise than the directory's entry.
        start = header + 30 + sum(struct.unpack_from("<26xHH", view, header))
        if start + plain > offset:
            raise _DamagedError(f"{shown(name)} of its zip archive is cut off")
        records[name] = Record(start, plain)
        at += 46 + name_size + extra_size + comment_size
    return records


def _wide(extra: bytes, *values: int) -> list[int]:
    """Directory values, where an entry says "see the 64-bit field" replaced by it."""
    at = 0
    wide = b""
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + size]
        at += 4 + size
    found = []
    for value in values:
        if value == 0xFFFFFFFF:
            if len(wide) < 8:
                raise _DamagedError("the directory of its zip archive is malformed")
            value, wide = int.from_bytes(wide[:8], "little"), wide[8:]
        found.append(value)
    return found


# --- before zip -----------------------------------------------------------------------------------


def _read_legacy(path: Path, view: mmap.mmap) -> TorchFile:
    """Five pickles (magic number, version, machine, object, storage keys), then the storages' bytes."""
    if view[:23] == b"version https://git-lfs":
        raise CheckpointError(f"{path} is a Git LFS pointer, not the file itself", hint="git lfs pull")
    stream = io.BytesIO(view[:_MAX_PICKLE])
    source = str(path)
    try:
        magic = unpickle(stream, source)
    except MalformedPickleError:
        magic = None
    if magic != _LEGACY_MAGIC or unpickle(stream, source) != _LEGACY_PROTOCOL:
        raise _DamagedError("it does not begin as a file of torch.save does")
    machine = unpickle(stream, source)
    little = machine.get("little_endian") if isinstance(machine, dict) else None
    if little is not (sys.byteorder == "little"):
        raise CheckpointError(f"{path} was saved on a machine of another byte order")
    refs: dict[str, int] = {}
    data = unpickle(stream, source, lambda storage: refs.setdefault(storage.key, storage.dtype.itemsize))
    keys = unpickle(stream, source)
    if not isinstance(keys, list):
        raise _DamagedError("it has no list of storages")
    at = stream.tell()
    storages: dict[str, Record] = {}
    for key in keys:
        if not isinstance(key, str) or key not in refs or key in storages or at + 8 > len(view):
            raise _DamagedError("its list of storages is malformed, or it is cut off")
        size = int.from_bytes(view[at : at + 8], "little") * refs[key]
        if at + 8 + size > len(view):
            raise _DamagedError("it is cut off")
        storages[key] = Record(at + 8, size)
        at += 8 + size
    return TorchFile(path, view, data, storages)
