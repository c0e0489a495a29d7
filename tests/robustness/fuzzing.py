"""Coverage-guided fuzzing of one target, by atheris (libFuzzer with Python's branches as its coverage).

`python -m tests.robustness.fuzzing TARGET SECONDS [OPTIONS OF LIBFUZZER] [FOLDERS]` is what `python -m
tests.robustness` starts for each target: a process that finds a fault ends.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from tests.robustness import contract, mutating

TARGETS: Final = tuple(
    sorted(p.stem for p in (Path(__file__).parent / "targets").glob("*.py") if p.stem != "__init__")
)
# Whose branches are looked at, besides our own.
_LOOKED_AT: Final = (
    "snn_voice_lite",
    "snn_voice_hub",
    "snn_voice_server",
    "pickletools",
    "zipfile",
    "python_multipart",
)


def module_of(target: str) -> ModuleType:
    """The module of a target: `run`, `seeds`, and perhaps `WORDS` for the fuzzer and `JSON`."""
    return importlib.import_module(f"tests.robustness.targets.{target}")


def main(arguments: list[str]) -> None:
    """Fuzz until something is found, or the processor has worked for so many seconds."""
    import atheris

    name, seconds, *options = arguments
    with atheris.instrument_imports(include=list(_LOOKED_AT)):
        target = module_of(name)
    end = float(seconds)
    asked = False

    def one(data: bytes) -> None:
        nonlocal asked
        contract.run(target.run, data)
        if time.process_time() > end and not asked:
            asked = True
            os.kill(os.getpid(), signal.SIGUSR1)  # libFuzzer ends, and tells its figures

    def change(data: bytes, size: int, seed: int) -> bytes:
        r = random.Random(seed)
        found = mutating.mutated(data, r) if r.random() < 0.7 else None
        return (atheris.Mutate(data, size) if found is None else found)[:size]

    more: dict[str, Any] = {"custom_mutator": change} if getattr(target, "JSON", False) else {}
    atheris.Setup([sys.argv[0], *options], one, **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
