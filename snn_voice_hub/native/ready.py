"""Libraries of the kernels for machines without a compiler, such as a container.

`python -m snn_voice_hub.native FOLDER` compiles one for each generation of this machine's kind of processor;
where `$SNN_VOICE_KERNELS` names that folder, the best one that the processor can run is taken. What is
compiled for the very processor of the machine that builds an image would end the process on an older one.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from snn_voice_hub.native.build import (
    FLAGS,
    BuildError,
    Kernels,
    check_owner,
    compile_into,
    find_compiler,
    is_whole,
    open_library,
    source_texts,
)

READY_VARIABLE = "SNN_VOICE_KERNELS"
# The levels of x86-64's ABI: what a processor of each must know, by its names in /proc/cpuinfo.
_SECOND = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
_THIRD = f"{_SECOND} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"
_FOURTH = f"{_THIRD} avx512f avx512bw avx512cd avx512dq avx512vl"
# The second gives the same kernels as the first.
_X86_64 = {"x86-64-v4": _FOURTH, "x86-64-v3": _THIRD, "x86-64": ""}
_CPU_INFO = Path("/proc/cpuinfo")


def levels() -> dict[str, str]:
    """The generations of this machine's kind of processor, the best first.

    Returns:
        Name for the compiler's `-march` ("" for what it takes by default) -> features that it needs.
    """
    return _X86_64 if platform.machine() in ("x86_64", "AMD64") else {"": ""}


def build_all(folder: Path) -> list[Path]:
    """Compile the library for each generation.

    Args:
        folder: Where they go; made if it is not there.

    Returns:
        The libraries, the best first.

    Raises:
        BuildError: There is no compiler, it fails, or the folder can't be written.
    """
    compiler = find_compiler()
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for level in levels():
            path = _path(folder, level)
            compile_into(path, compiler, [f"-march={level}" if level else ""])
            path.chmod(0o644)  # whoever runs the service reads it
            made.append(path)
    except OSError as error:
        raise BuildError(f"{folder} can't be written: {error.strerror}") from error
    return made


def find() -> Kernels | None:
    """The best ready library for this processor; None where `$SNN_VOICE_KERNELS` is not set.

    Raises:
        BuildError: The folder holds none that fits this processor and this release, or others may write
            to it.
    """
    named = os.environ.get(READY_VARIABLE)
    if not named:
        return None
    folder = Path(named).expanduser()
    features = _features()
    for level, needs in levels().items():
        path = _path(folder, level)
        if features.issuperset(needs.split()) and is_whole(path):
            for place in (folder, path):
                check_owner(place, READY_VARIABLE, 0)  # an image belongs to root
            return Kernels(open_library(path), path, f"ready for {level or platform.machine()}", 0.0)
    raise BuildError(f"{folder} ({READY_VARIABLE}) holds no kernels for this processor and release")


def _path(folder: Path, level: str) -> Path:
    """A library's place, with a mark of all that it is made of."""
    mark = hashlib.sha256("\0".join([*source_texts(), *FLAGS]).encode())
    return folder / f"kernels-{mark.hexdigest()[:20]}-{level or platform.machine()}.so"


def _features() -> set[str]:
    """What the first processor of this machine can do."""
    try:
        lines = _CPU_INFO.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.startswith("flags") for word in line.partition(":")[2].split()}
