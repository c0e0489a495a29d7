"""`config.json`: `VoiceConfig.load`."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from snn_voice_lite.errors import ConfigError

from snn_voice_hub.config import VoiceConfig
from tests.places import ROOT
from tests.robustness.contract import told

JSON: Final = True


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="robustness-")) / "config.json"


def run(data: bytes) -> str:
    """Read it; what was read comes back as it is."""
    path = _place()
    path.write_bytes(data)
    try:
        config = VoiceConfig.load(path)
    except ConfigError as error:
        return told(error)
    path.write_text(config.to_json(), encoding="utf-8")
    assert VoiceConfig.load(path) == config
    return "configuration"


def seeds() -> list[bytes]:
    """Those of the bundled checkpoints, with their figures and without, and two that are none."""
    found = [b"{}", b"{"]
    for path in sorted((ROOT / "snn_voice_hub" / "weights").glob("*/config.json")):
        config = VoiceConfig.load(path)
        found.append(path.read_bytes())
        config.metrics.clear()
        config.training.clear()
        config.data.clear()
        found.append(config.to_json().encode())
    return found
