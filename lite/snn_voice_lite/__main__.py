"""Where `snn-voice-lite` begins; `python -m snn_voice_lite` is the same."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `snn-voice-lite` program."""
    try:
        # Inside, because Ctrl-C may come while it is imported.
        from snn_voice_lite.shell.program import main as program

        program()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
