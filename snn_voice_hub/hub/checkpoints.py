"""Name, path or repository id -> a checkpoint folder on this disk -> configuration and weights."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import CheckpointError

DEFAULT_MODEL = "resmel-snn"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def bundled_root() -> Path:
    """The folder of the bundled checkpoints."""
    return Path(str(resources.files("snn_voice_hub") / "weights"))


def bundled_names() -> list[str]:
    """Names of the bundled checkpoints, sorted, the default first."""
    root = bundled_root()
    names = sorted(path.parent.name for path in root.glob(f"*/{CONFIG_FILE}")) if root.is_dir() else []
    return sorted(names, key=lambda name: (name != DEFAULT_MODEL, name))


def resolve(
    source: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """Find a checkpoint folder on this disk, downloading it where needed.

    Args:
        source: None for the bundled default, a bundled name, a folder, or a Hub id `owner/name`.
        revision: Branch, tag or commit of a Hub repository.
        token: Hub token; by default the one of `hf auth login`.
        cache_dir: The Hub client's cache folder.
        local_files_only: Use what an earlier download left, and never the network.
        force_download: Download again even where the cache has it.

    Returns:
        A folder with `config.json` and `model.safetensors`.

    Raises:
        CheckpointError: Nothing of that name; the message says what there is or what to do.
    """
    if source is None:
        return bundled_root() / DEFAULT_MODEL
    name = os.fspath(source)
    if name in bundled_names():
        return bundled_root() / name
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise CheckpointError(
            f"{name} is a file", hint="give the checkpoint folder, with config.json and model.safetensors"
        )
    if isinstance(source, str) and _REPO_ID.fullmatch(name):
        return _download(
            name,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
    near = difflib.get_close_matches(name, bundled_names(), n=1)
    raise CheckpointError(
        f"no checkpoint {name!r}",
        hint=f"did you mean {near[0]!r}?"
        if near
        else f"a folder, a Hub id owner/name, or a bundled model: {', '.join(bundled_names())}",
    )


def _download(
    repo_id: str,
    *,
    revision: str | None,
    token: str | bool | None,
    cache_dir: str | Path | None,
    local_files_only: bool,
    force_download: bool,
) -> Path:
    """Fetch a repository's checkpoint; all its files come from one commit."""
    at = f" at revision {revision!r}" if revision else ""
    try:
        folder = snapshot_download(
            repo_id,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
            allow_patterns=[CONFIG_FILE, WEIGHTS_FILE],
        )
    except GatedRepoError as error:
        raise CheckpointError(
            f"{repo_id} is gated",
            hint=f"accept its terms at https://huggingface.co/{repo_id}, then log in: hf auth login",
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{repo_id} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"no repository {repo_id} on the Hub, or no access to it",
            hint="a private repository looks the same: check the spelling, or log in with hf auth login",
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{repo_id}{at} is not in the cache, and the Hub can't be reached",
            hint="check the network, and that HF_HUB_OFFLINE and local_files_only are not set",
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(f"downloading {repo_id}{at} failed: {_first_line(error)}") from error
    return Path(folder)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def read_config(folder: Path) -> VoiceConfig:
    """The configuration of a checkpoint folder.

    Raises:
        CheckpointError: The folder has no `config.json`.
        ConfigError: It is not a legal one.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {CONFIG_FILE}",
            hint=f"a checkpoint folder holds {CONFIG_FILE} and {WEIGHTS_FILE}",
        )
    return VoiceConfig.load(path)


def read_weights(folder: Path, expected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint folder, checked against the network's own state dict.

    Args:
        folder: The checkpoint folder.
        expected: The network's state dict; names and shapes must match exactly.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        CheckpointError: No weights, not a safetensors file, or names or shapes that do not match.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {WEIGHTS_FILE}",
            hint=f"a checkpoint folder holds {CONFIG_FILE} and {WEIGHTS_FILE}",
        )
    try:
        with safe_open(path, framework="pt") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no readable safetensors file", hint="it may be damaged: fetch it again"
        ) from error
    missing = [key for key in expected if key not in weights]
    extra = [key for key in weights if key not in expected]
    if missing or extra:
        parts = [
            f"{what} {_some(keys)}" for what, keys in (("lacks", missing), ("has unknown", extra)) if keys
        ]
        raise CheckpointError(f"{path} does not fit its {CONFIG_FILE}: it {', and '.join(parts)}")
    for key, tensor in weights.items():
        if tensor.shape != expected[key].shape:
            raise CheckpointError(
                f"{path} does not fit its {CONFIG_FILE}: {key} has shape {list(tensor.shape)}, "
                f"the network wants {list(expected[key].shape)}"
            )
    return weights


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def write_checkpoint(folder: Path, config: VoiceConfig, weights: Mapping[str, torch.Tensor]) -> None:
    """Write `config.json` and `model.safetensors`; each file is complete or absent.

    Args:
        folder: Made if missing.
        config: The configuration.
        weights: The bare network's state dict.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    part = folder / f".{WEIGHTS_FILE}.part"
    # Not save_file(): it makes files that only their owner can read.
    part.write_bytes(save(tensors, metadata={"format": "pt"}))
    part.replace(folder / WEIGHTS_FILE)
    part = folder / f".{CONFIG_FILE}.part"
    config.save(part)
    part.replace(folder / CONFIG_FILE)
