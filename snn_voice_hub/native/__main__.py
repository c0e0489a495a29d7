"""`python -m snn_voice_hub.native FOLDER`: kernels for machines without a compiler; see `ready`."""

from __future__ import annotations

import sys
from pathlib import Path

from snn_voice_hub.native.build import BuildError
from snn_voice_hub.native.ready import READY_VARIABLE, build_all


def main(arguments: list[str]) -> int:
    """Compile them and say where they are.

    Args:
        arguments: The folder.

    Returns:
        The exit code.
    """
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m snn_voice_hub.native FOLDER", file=sys.stderr)
        return 2
    try:
        made = build_all(Path(arguments[0]))
    except BuildError as error:
        print(f"snn-voice: error: {error}", file=sys.stderr)
        return 2
    for path in made:
        print(path)
    print(f"where they are to be used: {READY_VARIABLE}={arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
