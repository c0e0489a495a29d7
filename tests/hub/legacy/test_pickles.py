"""Untrusted checkpoints: what a file wants to run is named and not run."""

from __future__ import annotations

import copyreg
import io
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.legacy.archives import read_torch_file
from snn_voice_hub.hub.legacy.pickles import unpickle
from snn_voice_hub.hub.legacy.stand_ins import TABLE, MalformedPickleError, Name, StandIn, TensorRef
from tests.hub.legacy.pickle_programs import as_first_pickle, as_legacy, as_zip, part, refused

CONTAINERS: dict[str, Callable[[Path, bytes], Path]] = {
    "zip": as_zip,
    "legacy": as_legacy,
    "first": as_first_pickle,
}

# {} stands for a shell command or Python expression that leaves a mark.
SHELL, PYTHON = "touch {mark}", "open({mark!r}, 'w')"
HOSTILE = {
    "os.system": (b"cos\nsystem\n(V{}\ntR.", SHELL, "os.system"),
    "posix.system": (b"\x80\x02cposix\nsystem\nV{}\n\x85R.", SHELL, "posix.system"),
    "eval": (b"c__builtin__\neval\n(V{}\ntR.", PYTHON, "__builtin__.eval"),
    "exec": (b"cbuiltins\nexec\n(V{}\ntR.", PYTHON, "builtins.exec"),
    "Popen": (b"csubprocess\nPopen\n((lV/bin/sh\naV-c\naV{}\natR.", SHELL, "subprocess.Popen"),
    "stack_global": (b"\x80\x04\x8c\x02os\x8c\x06system\x93V{}\n\x85R.", SHELL, "os.system"),
    "inst": (b"(V{}\nios\nsystem\n.", SHELL, "os.system"),
    "obj": (b"(cos\nsystem\nV{}\no.", SHELL, "os.system"),
    "run before a harmless end": (b"cos\nsystem\n(V{}\ntR0}.", SHELL, "os.system"),
    "inside allowed names": (
        b"ccollections\nOrderedDict\n(tR(Va\ncos\nsystem\n(V{}\ntRu.",
        SHELL,
        "os.system",
    ),
    "nested pickle": (
        b"cpickle\nloads\n(c_codecs\nencode\n(Vcos\\u000asystem\\u000a(V{}\\u000atR.\nVlatin-1\ntRtR.",
        SHELL,
        "pickle.loads",
    ),
    "getattr": (
        b"c__builtin__\ngetattr\n(c__builtin__\ngetattr\n(cos\nsystem\nV__call__\ntRV__call__\ntR(V{}\ntR.",
        SHELL,
        "os.system",
    ),
}


def hostile(name: str, mark: Path) -> bytes:
    program, template, _ = HOSTILE[name]
    return program.replace(b"{}", template.format(mark=str(mark)).encode())


@pytest.mark.parametrize("name", HOSTILE)
def test_the_hostile_programs_do_run_in_pythons_own_unpickler(name: str, tmp_path: Path) -> None:
    """Else the test below would show nothing."""
    mark = tmp_path / "mark"
    found = pickle.loads(hostile(name, mark))
    if isinstance(found, subprocess.Popen):
        found.wait()
    assert mark.exists()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_and_not_run(name: str, container: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    error = refused(CONTAINERS[container](tmp_path / "x.ckpt", hostile(name, mark)))
    time.sleep(0.01 * (name == "Popen"))
    assert not mark.exists()
    assert error.code == "unsafe_pickle"
    assert HOSTILE[name][2] in error.message
    assert "nothing of it was run" in error.message


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("torch.storage", "_load_from_bytes"),
        ("torch.hub", "load"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch.optim.adam", "Adam.step"),
        ("builtins", "getattr.__self__"),
        ("builtins", "type"),
        ("builtins", "__import__"),
        ("importlib", "import_module"),
        ("runpy", "run_path"),
        ("numpy.testing._private.utils", "runstring"),
        ("functools", "partial"),
        ("operator", "attrgetter"),
        ("snn_voice_hub.hub.legacy.pickles", "unpickle"),
        ("snn_voice.utils.time_step_replica", "other_replica"),
        ("", ""),
    ],
)
def test_names_outside_the_table_are_named(module: str, attribute: str, tmp_path: Path) -> None:
    name = b"\x80\x04" + part(module) + part(attribute) + b"\x93"
    for rest in (b".", b")R.", b")\x81.", b")}\x92.", b"(o."):
        error = refused(as_zip(tmp_path / "x.ckpt", name + rest))
        assert error.code == "unsafe_pickle"
        assert f"{module}.{attribute}" in error.message


def test_nothing_is_imported(tmp_path: Path) -> None:
    (tmp_path / "legacy_trap.py").write_text("raise SystemExit('imported')")
    sys.path.insert(0, str(tmp_path))
    try:
        error = refused(as_zip(tmp_path / "x.ckpt", b"clegacy_trap\nThing\n."))
        # An allowed name of a package that is not installed, and one of a module that torch loads lazily.
        for name in (b"snn_voice.utils.time_step_replica\nrate_replica", b"omegaconf.dictconfig\nDictConfig"):
            found = read_torch_file(as_zip(tmp_path / "y.ckpt", b"c" + name + b"\n.")).data
            assert isinstance(found, Name)
    finally:
        sys.path.remove(str(tmp_path))
    assert "legacy_trap.Thing" in error.message
    assert not {"legacy_trap", "snn_voice", "omegaconf"} & set(sys.modules)


def test_a_name_can_not_break_out_of_its_line(tmp_path: Path) -> None:
    program = b"\x80\x04" + part("a\nb\x1b[31m" + "x" * 10_000) + part("c") + b"\x93."
    error = refused(as_zip(tmp_path / "x.ckpt", program))
    assert error.code == "unsafe_pickle"
    assert "\x1b" not in error.message
    assert len(error.message) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_extension_codes_are_refused(size: int, tmp_path: Path) -> None:
    code = {1: 250, 2: 65_000, 4: 2**30}[size]
    mark = tmp_path / "mark"
    call = part(f"touch {mark}") + b"\x85R."
    program = {1: b"\x82", 2: b"\x83", 4: b"\x84"}[size] + code.to_bytes(size, "little") + call
    copyreg.add_extension("os", "system", code)
    try:
        pickle.loads(program)  # from now on the code is in the unpicklers' cache too
        assert mark.exists()
        mark.unlink()
        error = refused(as_zip(tmp_path / "x.ckpt", program))
    finally:
        copyreg.remove_extension("os", "system", code)
    assert error.code == "unsafe_pickle"
    assert f"EXT{size}" in error.message
    assert not mark.exists()


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_allowed_name_is_inert(name: str) -> None:
    """Called with whatever arguments, each makes plain data or refuses."""
    module, _, attribute = name.rpartition(".")
    plain = (dict, int, float, bool, Name, StandIn, TensorRef, type(None))
    for arguments in ((), ("touch /tmp/x",), ("os", "system"), ({}, ["a"]), (1, 2, 3, 4)):
        for instruction in (b"R", b"\x81"):
            program = b"\x80\x02c%s\n%s\n" % (module.encode(), attribute.encode()) + part(arguments)
            try:
                found = unpickle(io.BytesIO(program + instruction + b"."), "x")
            except MalformedPickleError:
                continue
            assert isinstance(found, plain)
            assert type(found).__module__.split(".")[0] in ("builtins", "snn_voice_hub")


def test_what_getattr_makes_can_not_be_called() -> None:
    made = b"c__builtin__\ngetattr\n(ctorch.optim.adam\nAdam\n(tRVstep\ntR"
    found = unpickle(io.BytesIO(made + b"."), "x")
    assert isinstance(found, StandIn)
    assert found.name == "__builtin__.getattr"
    with pytest.raises(CheckpointError, match="a callable that it made itself"):
        unpickle(io.BytesIO(made + b"(tR."), "x")


@pytest.mark.parametrize(
    "target", ["torch._utils\n_rebuild_tensor_v2", "torch\nFloatStorage", "collections\nOrderedDict"]
)
@pytest.mark.parametrize("state", [{"__doc__": "mine"}, (None, {"__doc__": "mine"})])
def test_attributes_of_real_things_are_not_set(target: str, state: object) -> None:
    before = torch._utils._rebuild_tensor_v2.__doc__, torch.FloatStorage.__doc__
    with pytest.raises(MalformedPickleError, match="attributes"):
        unpickle(io.BytesIO(b"\x80\x02c" + target.encode() + b"\n" + part(state) + b"b."), "x")
    assert (torch._utils._rebuild_tensor_v2.__doc__, torch.FloatStorage.__doc__) == before
