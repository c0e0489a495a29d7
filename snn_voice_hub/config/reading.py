"""A JSON file of somebody else's -> plain values, in bounded time and memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from snn_voice_lite.config.values import shown
from snn_voice_lite.visible import visible

from snn_voice_hub.errors import ConfigError

# 20,000 labels and all figures take a tenth of it.
MAX_BYTES = 4 << 20
# Longer ones are no whole numbers of ours; Python itself refuses to read those of more than 4,300 digits.
_MAX_DIGITS = 30


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ConfigError: It is no valid JSON, too long, or says something twice.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"it is longer than {MAX_BYTES >> 20} MiB", hint="a configuration takes a few KB")
    try:
        return json.loads(content, object_pairs_hook=_object, parse_int=_int)
    except RecursionError as error:
        raise ConfigError("it is nested too deeply") from error
    except ConfigError:
        raise
    except ValueError as error:  # of JSON, of its encoding
        raise ConfigError("it is not valid JSON", hint=visible(error)) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict[str, Any]()
    for name, value in pairs:
        if name in found:
            raise ConfigError(f"it says {shown(name)} twice", hint="every name once")
        found[name] = value
    return found


def _int(digits: str) -> int | float:
    """As a float where it is too long for a whole number of ours; whoever checks the field refuses it."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)
