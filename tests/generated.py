"""Cases that are drawn, run and counted."""

from __future__ import annotations

import argparse
import collections
import random
from collections.abc import Callable


def generate(run: Callable[[random.Random], str], count: int, seed: int) -> collections.Counter[str]:
    """Draw and run cases, and count what became of them."""
    r = random.Random(seed)
    return collections.Counter(run(r) for _ in range(count))


def main(doc: str | None, run: Callable[[random.Random], str], needed: str = "") -> int:
    """Run as many as the command line says, and print what became of them.

    Args:
        doc: Of the module.
        run: Draws and runs one; what is wrong begins with "WRONG".
        needed: What must have become of one at least.

    Returns:
        1 where something is wrong.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    arguments = parser.parse_args()
    found = generate(run, arguments.count, arguments.seed)
    for what, times in found.most_common():
        print(f"{times:7} {what}")
    if needed and not found[needed]:
        print(f"not one {needed}: is there a C++ compiler?")
        return 1
    return int(any(what.startswith("WRONG") for what in found))
