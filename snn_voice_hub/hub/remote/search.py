"""What the Hub has of this library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from huggingface_hub import constants
from snn_voice_lite.visible import NAME_LIMIT, visible

from snn_voice_hub.config import LIBRARY_NAME
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.remote.listing import is_text
from snn_voice_hub.hub.remote.refusals import Talk, explained
from snn_voice_hub.hub.remote.wire import ask_json, hiding, odd_answer


@dataclass(frozen=True, kw_only=True)
class HubListing:
    """One model of this library on the Hub.

    Attributes:
        id: What `from_pretrained` takes.
        private: Whether only those with access see it.
        spiking: Whether its card says that it is a spiking network.
        license: The Hub's id of its licence; empty where the card names none.
        downloads: In the last 30 days.
        likes: Number of likes.
        updated: Date of the last change, "2025-01-31"; empty where the Hub does not say.
    """

    id: str
    private: bool
    spiking: bool
    license: str
    downloads: int
    likes: int
    updated: str


def search_models(query: str = "", *, limit: int = 50, token: str | bool | None = None) -> list[HubListing]:
    """Models of this library on the Hub, the most downloaded first.

    Args:
        query: Part of the id; all where it is empty.
        limit: At most so many.
        token: Hub token; by default the one of `hf auth login`.

    Returns:
        One entry a model.

    Raises:
        CheckpointError: The Hub can't be reached or refuses.
    """
    wanted = {"filter": LIBRARY_NAME, "sort": "downloads", "limit": str(limit), "full": "true"}
    if query:
        if not is_text(query):
            raise CheckpointError(f"{visible(repr(query))} can't be searched for", hint="part of an id")
        wanted["search"] = query
    with hiding(token), explained(Talk(doing="searching")):
        found = ask_json(f"{constants.ENDPOINT}/api/models", "models", token=token, params=wanted)
        if not isinstance(found, list):
            raise odd_answer("models", "it is no list")
        return [_listing(told) for told in found[:limit]]


def _listing(told: object) -> HubListing:
    said: dict[str, Any] = told if isinstance(told, dict) else {}
    name, tags, updated = said.get("id"), said.get("tags"), said.get("lastModified")
    if not isinstance(name, str) or len(name) > NAME_LIMIT:
        raise odd_answer("models", "it names one by something else than its id")
    tags = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    counts = (said.get("downloads"), said.get("likes"))
    downloads, likes = (count if type(count) is int else 0 for count in counts)
    return HubListing(
        id=name,
        private=said.get("private") is True,
        spiking="spiking-neural-network" in tags,
        license=next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), ""),
        downloads=downloads,
        likes=likes,
        updated=updated[:10] if isinstance(updated, str) else "",
    )
