"""What an operator calls a model -> the name by which requests call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snn_voice_hub import SnnVoice
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.hub.checkpoints import is_repo_id, local_path, read_config, resolve, split_revision
from snn_voice_hub.hub.loading import Loading
from snn_voice_hub.hub.local import exists, named_path


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        name: As requests name it.
        spec: A bundled name, a path or a Hub id.
        model: The model itself, where it was made by the caller.
    """

    name: str
    spec: str
    model: SnnVoice | None = None


def sources_of(specs: Sequence[str]) -> list[Source]:
    """The models of a setting; the bundled default if there are none.

    Args:
        specs: Bundled names, paths and Hub ids. A path's name is its last part, the others' is all of it.

    Raises:
        ConfigError: Two have the same name.
    """
    found: dict[str, Source] = {}
    for spec in specs or (DEFAULT_MODEL,):
        path = local_path(spec)
        name = spec
        if path is not None:
            name = path.resolve().name.removesuffix(path.suffix if path.is_file() else "")
        if name in found:
            raise ConfigError(f"two models are called {name}", hint="--model: give folders other names")
        found[name] = Source(name, spec)
    return list(found.values())


def check_sources(sources: Sequence[Source]) -> None:
    """Say at the start what could never be loaded later; nothing is downloaded for it.

    Raises:
        CheckpointError: There is no such checkpoint, or it can't be used.
        ConfigError: Its configuration can't be used.
    """
    for source in sources:
        here = exists(named_path(source.spec))
        if source.model is None and (here or not is_repo_id(split_revision(source.spec)[0])):
            read_config(resolve(source.spec, Loading(local_files_only=True)))


def source_of(model: SnnVoice) -> Source:
    """A model that the caller has made."""
    name = model.config.title
    return Source(name, name, model)
