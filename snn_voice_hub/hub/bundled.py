"""Which checkpoints are bundled; imports nothing heavy, so that the shell can complete their names."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from snn_voice_hub.hub.choice import CONFIG_FILE

DEFAULT_MODEL = "resmel-snn"


def bundled_root() -> Path:
    """The folder of the bundled checkpoints."""
    return Path(str(resources.files("snn_voice_hub") / "weights"))


def bundled_names() -> list[str]:
    """Names of the bundled checkpoints, sorted, the default first."""
    root = bundled_root()
    names = sorted(path.parent.name for path in root.glob(f"*/{CONFIG_FILE}")) if root.is_dir() else []
    return sorted(names, key=lambda name: (name != DEFAULT_MODEL, name))
