"""Files of torch.save: what good ones hold, and what damaged ones are told."""

from __future__ import annotations

import argparse
import io
import os
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.legacy.archives import read_torch_file
from snn_voice_hub.hub.legacy.pickles import unpickle
from snn_voice_hub.hub.legacy.stand_ins import MalformedPickleError, StandIn, TensorRef, unwrap
from tests.hub.legacy.pickle_programs import as_legacy, as_zip, part, refused
from tests.hub.legacy.writer import Adam, AttributeDict, OneCycleLR, repeat_replica, save, written_as


@written_as("omegaconf.dictconfig")
class DictConfig:
    pass


@written_as("omegaconf.nodes")
class AnyNode:
    pass


@pytest.mark.parametrize("zipped", [True, False])
def test_plain_values_come_back(zipped: bool, tmp_path: Path) -> None:
    content = {
        "numbers": [1, -1, 2**40, -(2**80), 0.5, float("inf"), True, None],
        "texts": ["", "ä", b"\x00\xff", ("a", ("b",))],
        "ordered": OrderedDict(a=1, b=OrderedDict()),
        "default": defaultdict(list, {3: [4]}),
        "attributes": AttributeDict(lr=0.1),
        "numpy": [np.float64(0.25), np.float32(0.5), np.int64(-3), np.bool_(True)],
        "shared": [[]] * 2,
    }
    found = read_torch_file(save(content, tmp_path / "x.ckpt", zipped=zipped)).data
    assert isinstance(found, dict)
    shared = found.pop("shared")
    assert shared[0] is shared[1]
    bytes_of = found["texts"].pop(2)  # protocol 2 has no bytes
    assert isinstance(bytes_of, StandIn)
    content["texts"].pop(2)
    content.pop("shared")
    assert found == content


def test_stand_ins_hold_what_they_stand_for(tmp_path: Path) -> None:
    node, config, scheduler = AnyNode(), DictConfig(), OneCycleLR()
    node.__dict__.update(_val=0.25, _metadata=None)
    config.__dict__.update(_content={"lr": node}, _parent=config)  # which refers to itself
    content = {
        "namespace": argparse.Namespace(lr=0.1),
        "path": pathlib.PurePosixPath("/a/b"),
        "omega": config,
        "function": repeat_replica,
        "adam": Adam(),
        "bound": scheduler._annealing_cos,
        "dtype": torch.float16,
        "array": np.zeros(3),
    }
    found = read_torch_file(save(content, tmp_path / "x.ckpt")).data
    assert isinstance(found, dict)
    assert unwrap(found["namespace"]) == {"lr": 0.1}
    omega = unwrap(found["omega"])
    assert isinstance(omega, dict)
    assert unwrap(omega["lr"]) == 0.25
    assert found["function"].name == "snn_voice.utils.time_step_replica.repeat_replica"
    assert unwrap(found["function"]) is found["function"]
    for key in ("path", "adam", "bound", "array"):
        assert isinstance(found[key], StandIn)


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32]
DTYPES += [torch.int16, torch.int8, torch.uint8, torch.bool]


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_come_back(zipped: bool, tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {str(dtype): torch.tensor([[0, 1], [1, 0]], dtype=dtype) for dtype in DTYPES}
    tensors |= {"base": base, "transposed": base.transpose(0, 2), "slice": base[1:, ::2], "row": base[1, 1]}
    tensors |= {
        "scalar": torch.tensor(3.0),
        "empty": torch.empty(0, 5),
        "parameter": torch.nn.Parameter(base),
    }
    tensors["attributes"] = torch.ones(2)
    tensors["attributes"].note = "x"  # type: ignore[attr-defined]
    file = read_torch_file(save(tensors, tmp_path / "x.ckpt", location="cuda:2", zipped=zipped))
    assert isinstance(file.data, dict)
    assert list(file.data) == list(tensors)
    for key, wanted in tensors.items():
        found = file.tensor(file.data[key])
        assert found.dtype == wanted.dtype
        assert found.device.type == "cpu"
        assert torch.equal(found, wanted.detach())
    # A mapping of its own: the file stays as it is.
    file.tensor(file.data["base"]).zero_()
    again = read_torch_file(tmp_path / "x.ckpt")
    assert torch.equal(again.tensor(file.data["base"]), base)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_lie_where_their_type_may_lie(zipped: bool, tmp_path: Path) -> None:
    for length in range(8):  # the older layout packs storages right behind a pickle of any length
        content = {"name" + "x" * length: 1, "tensor": torch.ones(3, dtype=torch.float64)}
        file = read_torch_file(save(content, tmp_path / "x.ckpt", zipped=zipped))
        assert isinstance(file.data, dict)
        assert file.tensor(file.data["tensor"]).data_ptr() % 8 == 0


# --- damage ---------------------------------------------------------------------------------------


def tensor_program(
    *,
    kind: bytes = b"torch\nFloatStorage",
    key: object = "0",
    numel: object = 4,
    offset: object = 0,
    size: object = (2, 2),
    stride: object = (2, 1),
    location: object = "cuda:2",
) -> bytes:
    reference = part("storage") + b"c" + kind + b"\n" + part(key) + part(location) + part(numel)
    rest = part(offset) + part(size) + part(stride) + part(False) + b"N"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + reference + b"tQ" + rest + b"tR."


def load_tensor(path: Path) -> torch.Tensor:
    file = read_torch_file(path)
    assert isinstance(file.data, TensorRef)
    return file.tensor(file.data)


VALUES = struct.pack("<4f", 1, 2, 3, 4)
BAD_TENSORS: dict[str, dict[str, Any]] = {
    "more values than bytes": {"numel": 5, "size": (5,), "stride": (1,)},
    "fewer values than bytes": {"numel": 3, "size": (3,), "stride": (1,)},
    "endless storage": {"numel": 2**62, "size": (2**61,), "stride": (1,)},
    "negative storage": {"numel": -4},
    "storage of True": {"numel": True, "size": (1,), "stride": (1,)},
    "no such storage": {"key": "1"},
    "key of a folder above": {"key": "../data.pkl"},
    "key that is a number": {"key": 0},
    "location that is a number": {"location": 2},
    "offset past the end": {"offset": 1},
    "negative offset": {"offset": -1},
    "huge offset": {"offset": 2**63},
    "stride past the end": {"stride": (3, 1)},
    "negative stride": {"stride": (-2, 1), "offset": 2},
    "strides that overflow": {"stride": (2**62, 2**62)},
    "sizes that overflow": {"size": (2**62, 2**62), "stride": (0, 0)},
    "the same value for ever": {"size": (2**40,), "stride": (0,)},
    "negative size": {"size": (-2, 2)},
    "empty of a huge size": {"size": (0, 2**63 - 1, 2**63 - 1), "stride": (1, 1, 1)},
    "fewer strides": {"stride": (1,)},
    "sizes that are no numbers": {"size": ("2", 2)},
    "sizes as a list": {"size": [2, 2]},
    "sizes without end": {"size": (1,) * 1000, "stride": (1,) * 1000},
    "offset that is no whole number": {"offset": 0.5},
    "another storage class": {"kind": b"collections\nOrderedDict"},
}


@pytest.mark.parametrize("container", [as_zip, as_legacy])
@pytest.mark.parametrize("name", BAD_TENSORS)
def test_bad_storages_are_errors(name: str, container: Callable[..., Path], tmp_path: Path) -> None:
    path = container(tmp_path / "x.ckpt", tensor_program(), _0=VALUES)
    assert load_tensor(path).tolist() == [[1, 2], [3, 4]]
    path = container(tmp_path / "y.ckpt", tensor_program(**BAD_TENSORS[name]), _0=VALUES)
    with pytest.raises(CheckpointError, match="damaged") as caught:
        load_tensor(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reference", [part("0"), part(("storage",)), part(("module", 1, 2, 3)), part([]), b"N"]
)
def test_malformed_references_are_errors(reference: bytes, tmp_path: Path) -> None:
    assert refused(as_zip(tmp_path / "x.ckpt", b"\x80\x02" + reference + b"Q.")).code == "bad_checkpoint"
    textual = refused(as_zip(tmp_path / "y.ckpt", b"Pstorage\n."))
    assert "PERSID" in textual.message


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_anywhere_is_an_error(zipped: bool, tmp_path: Path) -> None:
    whole = save({"a": torch.ones(50), "b": [1, "x"]}, tmp_path / "x.ckpt", zipped=zipped).read_bytes()
    path = tmp_path / "y.ckpt"
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        refused(path)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_a_pickle_with_wrong_bytes_is_an_error(tmp_path: Path) -> None:
    rng = random.Random(0)
    program = tensor_program()[:-1] + part({"a": [1, (2, 3)], "b": "text"}) + b"\x86."
    damaged = 0
    for _ in range(3000):
        broken = bytearray(program)
        for _ in range(rng.choice((1, 1, 2, 5))):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            unpickle(io.BytesIO(bytes(broken)), "x")
        except (MalformedPickleError, CheckpointError):
            damaged += 1
    assert damaged > 1000


def test_zip_headers_with_wrong_bytes_are_errors(tmp_path: Path) -> None:
    rng = random.Random(0)
    whole = as_zip(tmp_path / "x.ckpt", tensor_program(), _0=VALUES).read_bytes()
    directory = whole.index(b"PK\x01\x02")
    path = tmp_path / "y.ckpt"
    for _ in range(500):
        broken = bytearray(whole)
        for _ in range(rng.choice((1, 2, 4))):
            broken[rng.randrange(directory, len(broken))] = rng.choice((0, 1, 255, rng.randrange(256)))
        path.write_bytes(broken)
        try:
            load_tensor(path)
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_program())
        archive.writestr("archive/data/0", bytes(100_000_000))
    assert path.stat().st_size < 1_000_000
    assert "is compressed or encrypted" in refused(path).message


def test_odd_archives_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"

    def archive(*members: tuple[str, bytes]) -> Path:
        with zipfile.ZipFile(path, "w") as made:
            for name, data in members:
                made.writestr(name, data)
        return path

    assert "0 files data.pkl" in refused(archive(("a.txt", b"x"))).message
    assert "2 files data.pkl" in refused(archive(("a/data.pkl", b"N."), ("b/data.pkl", b"N."))).message
    assert "TorchScript" in refused(archive(("a/data.pkl", b"N."), ("a/constants.pkl", b"N."))).message
    assert "byte order" in refused(archive(("a/data.pkl", b"N."), ("a/byteorder", b"big"))).message
    with pytest.warns(UserWarning, match="Duplicate"):
        archive(("a/data.pkl", b"N."), ("a/data.pkl", b"N."))
    assert "twice" in refused(path).message
    assert "has 5000002 bytes" in refused(archive(("a/data.pkl", b"N" * 5_000_001 + b"."))).message
    # An entry that reaches into the directory, or past the file.
    whole = bytearray(as_zip(path, tensor_program(), _0=VALUES).read_bytes())
    entry = whole.rindex(b"PK\x01\x02")
    for size in (2**31, len(whole), 60):
        whole[entry + 20 : entry + 28] = struct.pack("<LL", size, size)
        path.write_bytes(whole)
        assert "cut off" in refused(path).message
    whole[entry + 42 : entry + 46] = struct.pack("<L", 2**31)
    path.write_bytes(whole)
    assert "not where it should be" in refused(path).message


def test_what_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    for content in (
        b"<html>not found</html>",
        b"\x00" * 100,
        b"hello",
        pickle.dumps({"a": 1}),
        b"PK\x03\x04",
    ):
        path.write_bytes(content)
        assert refused(path).code == "bad_checkpoint"
    path.write_bytes(b"")
    assert "is empty" in refused(path).message
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "Git LFS" in refused(path).message
    for missing in (tmp_path / "none.ckpt", tmp_path, tmp_path / ("x" * 300)):
        refused(missing)
    os.mkfifo(tmp_path / "pipe.ckpt")  # opening it would wait for ever
    assert "no file" in refused(tmp_path / "pipe.ckpt").message


ENDLESS = {
    "underflow": b"." * 10,
    "nested tuples": b"N" + b"\x85" * 300_000 + b".",
    "nested key": b"\x80\x02}N" + b"\x85" * 300_000 + b"Ns.",
    "list of itself": b"]" + b"2a" * 300_000 + b".",
    "nested lists": b"]" * 300_000 + b"a" * 299_999 + b".",
    "nested stand-ins": b"cbuiltins\nset\nq\x000" + b"(h\x00" * 300_000 + b"N" + b"o" * 300_000 + b".",
    "marks": b"(" * 300_000 + b".",
    "colliding keys": b"\x80\x02}("
    + b"".join(part(i * (2**61 - 1)) + b"N" for i in range(1, 150_000))
    + b"u.",
    "long number": b"I" + b"9" * 300_000 + b"\n.",
    "endless text": b"\x8d" + b"\xff" * 8 + b".",
    "endless number": b"\x8b\xff\xff\xff\x7f.",
    "far memo": b"r\xff\xff\xff\x7f.",
    "one text often": part("x" * 300_000) + b"r\0\0\0\0" + b"j\0\0\0\0" * 100_000 + b".",
}


@pytest.mark.slow
def test_no_pickle_crashes_hangs_or_fills_the_memory(tmp_path: Path) -> None:
    """In a process of its own: some of these end Python's own unpickler by a crash."""
    for name, program in ENDLESS.items():
        as_zip(tmp_path / name, program)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from snn_voice_hub.errors import CheckpointError\n"
        "from snn_voice_hub.hub.legacy.archives import read_torch_file\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    print(path.name, flush=True)\n"
        "    try: read_torch_file(path)\n"
        "    except CheckpointError: pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    *done, megabytes = ran.stdout.split("\n")[:-1] or [""]
    assert (ran.returncode, done) == (0, sorted(ENDLESS)), ran.stderr[-500:]
    assert int(megabytes) < 400
