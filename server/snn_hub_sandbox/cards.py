"""What the Hub reads out of a model card's metadata."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from snn_hub_sandbox.errors import HubError
from snn_hub_sandbox.repository import StoredFile

_FRONT_MATTER = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)


@dataclass
class Card:
    """The metadata of a model card.

    Attributes:
        data: All of it.
        library_name: Which library loads the model.
        pipeline_tag: What the model is for.
        tags: All by which the Hub lets one filter: library, task, tags, languages, data sets, licence.
    """

    data: dict[str, Any] = field(default_factory=dict)
    library_name: str | None = None
    pipeline_tag: str | None = None
    tags: list[str] = field(default_factory=list)


def parse_metadata(text: str) -> dict[str, Any]:
    """The metadata at the top of a card.

    Args:
        text: The card.

    Returns:
        The metadata; empty where there is none.

    Raises:
        HubError: It is not YAML, or not a mapping.
    """
    matched = _FRONT_MATTER.match(text)
    if not matched:
        return {}
    try:
        data = yaml.safe_load(matched[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise HubError(400, f"the metadata of README.md is not YAML: {reason}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise HubError(400, "the metadata of README.md is not a mapping")
    return data


def read_card(file: StoredFile | None, path: Path | None) -> Card:
    """The card of a repository.

    Args:
        file: Entry of its README.md, if it has one.
        path: Where that one's content lies.

    Returns:
        The card; an empty one where it can't be read.
    """
    if file is None or path is None or file.size > 1_000_000:
        return Card()
    return _read(path)


@lru_cache(maxsize=256)
def _read(path: Path) -> Card:
    # Contents never change under their name, so the path is enough of a key.
    try:
        # Dates are legal in YAML and not in JSON.
        data = _plain(parse_metadata(path.read_text(encoding="utf-8", errors="replace")))
    except HubError:
        return Card()
    library, task = data.get("library_name"), data.get("pipeline_tag")
    tags = [
        *_texts(library),
        *_texts(data.get("tags")),
        *_texts(task),
        *_texts(data.get("language")),
        *(f"dataset:{name}" for name in _texts(data.get("datasets"))),
        *(f"base_model:{name}" for name in _texts(data.get("base_model"))),
        *(f"license:{name}" for name in _texts(data.get("license"))),
    ]
    return Card(data, _first(library), _first(task), list(dict.fromkeys(tags)))


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _first(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    # JSON has no infinity either.
    good = (
        value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
    )
    return value if good else str(value)
