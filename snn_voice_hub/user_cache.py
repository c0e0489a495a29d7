"""Where what can be made again is kept for this user: compiled code, recordings of other speech."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "SNN_VOICE_CACHE"


def user_cache() -> Path:
    """`$SNN_VOICE_CACHE`, else `snn-voice-hub` in the user's cache folder; it need not be there.

    Raises:
        RuntimeError: There is no home folder.
    """
    base = os.environ.get(CACHE_VARIABLE)
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "snn-voice-hub"
    return root.expanduser()
