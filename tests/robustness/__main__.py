"""`make fuzz`: all of the robustness tests, then every parser under a coverage-guided fuzzer.

`python -m tests.robustness [--minutes M] [--only TARGET]... [--keep]` gives each target M minutes of the
processor. What the fuzzer comes upon lies in `.fuzz/TARGET`, from where the next run goes on. It ends with 1
where something is wrong; the input stands in `.fuzz/found/`, and `--show FILE` runs it again.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.places import ROOT
from tests.robustness import contract, kept
from tests.robustness.fuzzing import TARGETS, module_of

_WORK: Final = ROOT / ".fuzz"
_FOUND: Final = _WORK / "found"
# For what never ends: `contract` is exact, this is patient.
_HANG: Final = 60
_LONGEST: Final = 20_000
_LARGEST_KEPT: Final = 3000


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="of the processor, for each target")
    parser.add_argument(
        "--only", action="append", choices=(*TARGETS, "tests"), help="one of these; may be repeated"
    )
    parser.add_argument(
        "--keep", action="store_true", help="write the smallest inputs that reach all beside the tests"
    )
    parser.add_argument("--show", type=Path, metavar="FILE", help="run one input, named TARGET-..., again")
    arguments = parser.parse_args()
    if arguments.show:
        target = arguments.show.name.partition("-")[0]
        print(contract.run(module_of(target).run, arguments.show.read_bytes()))
        return 0
    chosen = arguments.only or ["tests", *TARGETS]
    failed = "tests" in chosen and _tests() != 0
    for target in filter(TARGETS.__contains__, chosen):
        failed |= not _fuzz(target, arguments.minutes * 60)
        if arguments.keep:
            _keep(target)
    return int(failed)


def _tests() -> int:
    variables = {**os.environ, "SNN_VOICE_FUZZ": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "tests/robustness"]
    return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode


def _fuzz(target: str, seconds: float) -> bool:
    """Fuzz one target; whether nothing was found."""
    corpus = _WORK / target
    corpus.mkdir(parents=True, exist_ok=True)
    _FOUND.mkdir(exist_ok=True)
    module = module_of(target)
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in getattr(module, "WORDS", ())))
        begin = Path(folder) / "begin"
        begin.mkdir()
        for number, data in enumerate([*module.seeds(), *kept.read(target).values()]):
            (begin / str(number)).write_bytes(data)
        options = [
            *(f"-timeout={_HANG}", "-rss_limit_mb=4096", "-handle_usr1=1", "-print_final_stats=1"),
            *(f"-max_len={_LONGEST}", f"-artifact_prefix={_FOUND}/{target}-", "-reload=0"),
            *([f"-dict={words}"] if words.stat().st_size else []),
        ]
        began = time.monotonic()
        done = _libfuzzer(target, seconds, [*options, str(corpus), str(begin)])
    figures = dict(re.findall(r"^stat::(\w+):\s+(\d+)", done.stderr, re.MULTILINE))
    count, more = figures.get("number_of_executed_units", "?"), figures.get("new_units_added", "?")
    print(f"{target}: {count} inputs in {time.monotonic() - began:.0f} s, {more} of them new", flush=True)
    if done.returncode:
        print(done.stderr[-6000:], flush=True)
    return done.returncode == 0


def _libfuzzer(target: str, seconds: float, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.robustness.fuzzing",
        target,
        str(seconds),
        *options,
    ]
    return subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace", check=False)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _keep(target: str) -> None:
    """Keep the smallest inputs that reach all that any one has reached."""
    found = [path.read_bytes() for path in (_WORK / target).iterdir() if path.stat().st_size <= _LARGEST_KEPT]
    cases = kept.needed(module_of(target).run, [*found, *kept.read(target).values()])
    kept.write(target, cases)
    print(f"{target}: {len(cases)} cases are kept", flush=True)


if __name__ == "__main__":
    sys.exit(main())
