"""Where `snn-voice` begins; `python -m snn_voice_hub` is the same."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `snn-voice` program."""
    try:
        # Inside, because Ctrl-C may come while the commands are imported.
        from snn_voice_hub.cli import main as program

        program()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
