"""Compiles the C++ files of this folder on this machine, once, and loads it.

The compiler is `$CXX`, or the first of c++, g++ and clang++. The library lies in the user's cache, in a
folder that nobody else may write to, under a name made of the source, the compiler, its flags and the
processor. A machine without a compiler takes the library from the folder `$SNN_VOICE_KERNELS`, see `ready`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snn_voice_hub.user_cache import CACHE_VARIABLE, user_cache
from snn_voice_hub.writing import replacing

SOURCES = tuple(Path(__file__).with_name(name) for name in ("events.cpp", "frames.cpp", "lif.cpp"))
_HEADERS = tuple(Path(__file__).with_name(name) for name in ("parts.h", "spikes.h"))
SWITCH_VARIABLE = "SNN_VOICE_NATIVE"

_ABI = 3
_SECONDS = 120
# Without contraction a membrane is rounded as PyTorch rounds it.
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-pthread")
# The first that the compiler takes; the last is for compilers that do not know the processor they run on.
_TUNING = ("-march=native", "-mcpu=native", "")


class BuildError(Exception):
    """The kernels can't be built or loaded here; the message is one line."""


@dataclass(frozen=True)
class Kernels:
    """The loaded library.

    Attributes:
        library: What ctypes loaded.
        path: Where it lies.
        compiler: What built it; of a ready one, for which processors.
        seconds: How long that took; 0 where it was there already.
    """

    library: ctypes.CDLL
    path: Path
    compiler: str
    seconds: float


def build_here() -> Kernels:
    """The library for this very processor, from the user's cache, or built into it.

    Raises:
        BuildError: No compiler, or the build or the load fails.
    """
    compiler = find_compiler()
    folder = cache_folder()
    version = _run([*compiler, "--version"]).partition("\n")[0]
    mark = hashlib.sha256(
        "\0".join([*source_texts(), version, *compiler, *FLAGS, _processor()]).encode()
    ).hexdigest()[:20]
    path = folder / f"kernels-{mark}.so"
    if is_whole(path):
        return Kernels(open_library(path), path, version, 0.0)
    began = time.perf_counter()
    compile_into(path, compiler, _TUNING)
    return Kernels(open_library(path), path, version, time.perf_counter() - began)


def source_texts() -> list[str]:
    """All that the compiler reads of ours."""
    return [path.read_text() for path in (*SOURCES, *_HEADERS)]


def find_compiler() -> list[str]:
    """The C++ compiler's command.

    Raises:
        BuildError: There is none.
    """
    if os.environ.get("CXX"):
        return shlex.split(os.environ["CXX"])
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return [found]
    raise BuildError("no C++ compiler (install g++ or clang++, or name one in CXX)")


def cache_folder() -> Path:
    """Where compiled code is kept: `$SNN_VOICE_CACHE`, else the user's cache folder.

    Raises:
        BuildError: The folder can't be made, or others may write to it: they could put their code there.
    """
    try:
        folder = user_cache() / "native"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        raise BuildError(f"no cache folder ({CACHE_VARIABLE} names another): {error}") from error
    check_owner(folder, CACHE_VARIABLE)
    return folder


def check_owner(folder: Path, variable: str, *others: int) -> None:
    """Nobody else may put code there.

    Args:
        folder: Where code lies.
        variable: What names another folder, for the message.
        *others: Users besides this one who may own it.

    Raises:
        BuildError: Another user may write to it.
    """
    facts = folder.stat()
    if hasattr(os, "getuid") and (
        facts.st_uid not in (os.getuid(), *others) or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise BuildError(f"{folder} may be written by others ({variable} names another)")


def compile_into(path: Path, compiler: list[str], tunings: Sequence[str]) -> None:
    """Compile into a file of our own, then put it in its place at once: other processes may build too.

    Args:
        path: The library.
        compiler: The compiler's command.
        tunings: Flags for the processor; the first that the compiler takes.

    Raises:
        BuildError: It takes none, what it makes can't be loaded, or the folder can't be written.
    """
    reason = ""
    for tuning in tunings:
        try:
            with replacing(path) as part:
                _run([*compiler, *FLAGS, *filter(None, [tuning]), *map(str, SOURCES), "-o", str(part)])
                open_library(part)
                _checksum_of(path).write_text(_digest(part))
            return
        except BuildError as error:
            reason = reason or str(error)
        except OSError as error:
            raise BuildError(f"{path.parent} can't be written: {error.strerror or error}") from error
    raise BuildError(reason)


def is_whole(path: Path) -> bool:
    """Whether the library is there as it was built: loading one that was cut off ends the process."""
    try:
        return _checksum_of(path).read_text() == _digest(path)
    except OSError:
        return False


def _checksum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def open_library(path: Path) -> ctypes.CDLL:
    """Load the library.

    Raises:
        BuildError: It can't be loaded here.
    """
    try:
        library = ctypes.CDLL(str(path))
        library.snn_abi.restype = ctypes.c_int64
        if library.snn_abi() != _ABI:
            raise BuildError(f"{path} is of another release")
    except (OSError, AttributeError) as error:
        raise BuildError(f"{path} can't be loaded: {error}") from error
    library.snn_run.restype = None
    for function in (library.snn_lif_forward, library.snn_lif_backward, library.snn_frames):
        function.restype = ctypes.c_int
    place, number = ctypes.c_void_p, ctypes.c_int64
    library.snn_frames.argtypes = [*([place] * 2), *([number] * 6), *([place] * 4), *([number] * 2)]
    return library


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} can't be run: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise BuildError(f"{command[0]} fails: {next((x for x in lines if 'error' in x), 'no message')}")
    return done.stdout


def _processor() -> str:
    """What `-march=native` depends on: a home folder may be shared by unlike machines."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        lines = [
            x for x in text.partition("\n\n")[0].splitlines() if x.startswith(("flags", "Features", "model"))
        ]
        return "\n".join(lines)
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.platform()}"
