"""The kernels, built with AddressSanitizer and UBSan, under what the generators draw.

`python -m tests.native.sanitize [COUNT] [SEED]` builds them into a folder of its own by g++, and runs COUNT
plans of `tests.inference.engines.generated_networks` and as many cases of `generated_frames` beside it and of
`tests.native.generated_lif`. It ends with 1 where a sanitizer speaks, or where an answer is not PyTorch's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

GENERATORS = (
    "tests.inference.engines.generated_networks",
    "tests.inference.engines.generated_frames",
    "tests.native.generated_lif",
)
# What is undefined ends the process, as what AddressSanitizer finds does. PyTorch is built without them, so
# its leaks and its containers are none of ours.
_FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"
_ASAN = "detect_leaks=0:detect_odr_violation=0:detect_container_overflow=0:allocator_may_return_null=1"
# Before all else, and with patience: with sanitizers the compiler takes a minute of its own.
_BUILD = "from snn_voice_hub.native import build; build._SECONDS = 1800; build.build_here()"


def environment(cache: str, compiler: str) -> dict[str, str]:
    """The variables under which this Python builds and loads kernels with sanitizers."""
    libraries = []
    for name in ("libasan.so", "libubsan.so", "libstdc++.so.6"):
        found = subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if not Path(found).is_absolute():
            raise SystemExit(f"{compiler} has no {name}; on Debian or Ubuntu, apt-get install g++")
        libraries.append(found)
    kept = {name: value for name, value in os.environ.items() if name != "SNN_VOICE_KERNELS"}
    return kept | {
        # Without the libraries: the compiler itself would run under them, for minutes.
        "CXX": f"env -u LD_PRELOAD {compiler} {_FLAGS}",
        "SNN_VOICE_CACHE": cache,
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": _ASAN,
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "OMP_NUM_THREADS": "1",
    }


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    arguments = parser.parse_args()
    compiler = shutil.which("g++")
    if compiler is None:
        raise SystemExit("no g++, whose sanitizers this uses; on Debian or Ubuntu, apt-get install g++")
    failed = 0
    with tempfile.TemporaryDirectory() as cache:
        variables = environment(cache, compiler)
        print("building the kernels", flush=True)
        subprocess.run([sys.executable, "-c", _BUILD], env=variables, check=True)
        for generator in GENERATORS:
            print(generator, flush=True)
            command = [sys.executable, "-W", "ignore", "-m", generator]
            done = subprocess.run(
                [*command, str(arguments.count), str(arguments.seed)], env=variables, check=False
            )
            failed += done.returncode != 0
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
