"""What is asked for of the Hub, and what is remembered of the last load of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import cached_assets_path, constants
from snn_voice_lite.visible import module_logger, visible

from snn_voice_hub.config import LIBRARY_NAME
from snn_voice_hub.hub.choice import Choice
from snn_voice_hub.hub.loading import Loading
from snn_voice_hub.hub.remote.cache import RepoCache
from snn_voice_hub.hub.remote.listing import COMMIT, is_path
from snn_voice_hub.writing import replacing

logger = module_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RepoRequest(Loading):
    """A load from the Hub."""

    repo_id: str

    @property
    def where(self) -> str:
        """How messages name it."""
        return self.repo_id + (f" at revision {visible(repr(self.revision))}" if self.revision else "")

    @property
    def cache(self) -> RepoCache:
        """What the Hub client keeps of the repository."""
        return RepoCache.of(self.repo_id, self.cache_dir)


def _memory(request: RepoRequest) -> Path:
    """Where a load is remembered, by everything that decides which files it takes."""
    cache = Path(request.cache_dir or constants.HF_HUB_CACHE).expanduser().absolute()
    key = json.dumps([str(cache), request.revision, request.subfolder, request.filename])
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    return cached_assets_path(LIBRARY_NAME, namespace=request.repo_id, subfolder="loads") / f"{name}.json"


def remember(request: RepoRequest, commit: str, choice: Choice, version: str) -> None:
    """Keep for the next load what this one took; see `remembered`."""
    told = {"commit": commit, "weights": choice.weights, "config": choice.config, "version": version}
    try:
        with replacing(_memory(request)) as part:
            part.write_text(json.dumps(told))
    except OSError as error:  # a read-only home: the load itself is fine
        logger.debug("the load of %s is not remembered: %s", request.where, error)


def remembered(request: RepoRequest) -> tuple[str, Choice, str] | None:
    """Commit, files and version of the weights of the last load of that request."""
    try:
        kept = json.loads(_memory(request).read_text())
        commit, choice = kept["commit"], Choice(kept["weights"], kept["config"])
        legal = COMMIT.fullmatch(commit) and all(map(is_path, choice.files))
        return (commit, choice, str(kept.get("version"))) if legal else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
