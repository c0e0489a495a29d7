"""What a folder of words by synthesisers says of itself, so that cards say it too."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

RECORD = "synthesis.json"
LICENCE = "made by a synthesiser"


def described(engines: Iterable[str]) -> str:
    """Where words by some synthesisers come from."""
    return f"synthetic words by {', '.join(sorted(engines))}"


def facts_of_folder(folder: Path) -> dict[str, str]:
    """Name and licence of the clips in a folder, for the checkpoint's configuration.

    Args:
        folder: A folder of clips. One that no synthesiser wrote, or whose record can't be read, has no facts.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        engines = {clip["engine"] for word in record["words"].values() for clip in word["clips"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    if not engines or not all(isinstance(engine, str) for engine in engines):
        return {}
    return {"name": described(engines), "license": LICENCE}
