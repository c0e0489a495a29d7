"""What the tests of model cards share."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import yaml
from huggingface_hub import ModelCard

import snn_voice_hub as sv
from snn_voice_hub.hub.bundled import bundled_root


def bundled(name: str, **changes: Any) -> sv.VoiceConfig:
    config = sv.VoiceConfig.load(bundled_root() / name / "config.json")
    return dataclasses.replace(config, **changes)


def metadata(text: str) -> dict[str, Any]:
    """The front matter, by the Hub's own expression."""
    match = re.match(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))", text)
    assert match
    found = yaml.safe_load(match[2])
    assert isinstance(found, dict)
    return found


def results(card: ModelCard) -> dict[str, Any]:
    index = metadata(str(card)).get("model-index", [])
    return {m.get("name"): m["value"] for entry in index for r in entry["results"] for m in r["metrics"]}
