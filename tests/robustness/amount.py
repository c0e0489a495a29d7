"""How much is tried: a slice in `make test`, all in `make fuzz`."""

from __future__ import annotations

import os
from typing import Final

EVERYTHING: Final = os.environ.get("SNN_VOICE_FUZZ") == "1"


def amount(little: int, much: int) -> int:
    """The first number in `make test`, the second in `make fuzz`."""
    return much if EVERYTHING else little
