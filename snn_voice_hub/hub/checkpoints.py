"""Name, path or repository id -> the files of a checkpoint on this disk -> configuration and weights."""

from __future__ import annotations

import dataclasses
import difflib
import errno
import hashlib
import itertools
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import cached_assets_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from snn_voice_hub.config import LIBRARY_NAME, VoiceConfig
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.hub.bundled import DEFAULT_MODEL, bundled_names, bundled_root
from snn_voice_hub.hub.choice import CONFIG_FILE, LIGHTNING_SUFFIX, WEIGHTS_FILE, WEIGHTS_SUFFIX, choose
from snn_voice_hub.hub.dtypes import name_of
from snn_voice_hub.hub.remote import RepoRequest, fetch

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Files that a folder is searched for checkpoints; "/" given by mistake has millions.
_MAX_FILES = 20_000
# Part of the name of converted checkpoints: a release that converts differently does so again.
_CONVERTER = "v1"


@dataclass(frozen=True)
class Checkpoint:
    """The two files of a checkpoint on this disk.

    Attributes:
        config: `config.json`.
        weights: A safetensors file.
    """

    config: Path
    weights: Path

    @classmethod
    def of(cls, folder: Path) -> Checkpoint:
        """The checkpoint of a folder, by the usual names."""
        return cls(folder / CONFIG_FILE, folder / WEIGHTS_FILE)


def resolve(
    source: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    subfolder: str | None = None,
    filename: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    num_steps: int | None = None,
) -> Checkpoint:
    """Find a checkpoint on this disk, downloading and converting it where needed.

    Args:
        source: None for the bundled default, a bundled name, a folder, a `.safetensors` or Lightning `.ckpt`
            file, or a Hub id `owner/name` or `owner/name@revision`.
        revision: Branch, tag or commit of a Hub repository.
        subfolder: Folder of the checkpoint inside a repository or folder.
        filename: Its file of weights, where there are several.
        token: Hub token; by default the one of `hf auth login`.
        cache_dir: The Hub client's cache folder.
        local_files_only: Use what an earlier download left, and never the network.
        force_download: Download (and convert) again even where the cache has it.
        num_steps: Time steps of a Lightning checkpoint that does not say so itself.

    Returns:
        Its files.

    Raises:
        CheckpointError: Nothing of that name; the message says what there is or what to do.
        ConfigError: `num_steps` is given for a checkpoint that states it.
    """
    name = DEFAULT_MODEL if source is None else os.fspath(source)
    if isinstance(source, str):
        name, revision = split_revision(name, revision)
    path = Path(name).expanduser()
    request = RepoRequest(
        repo_id=name,
        revision=revision,
        subfolder=subfolder,
        filename=filename,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        force_download=force_download,
    )
    if name in bundled_names():
        found = _bundled(request)
    elif path.exists():
        found = _local(path, request)
    elif isinstance(source, str) and is_repo_id(name):
        fetched = fetch(request)
        found = _Found(fetched.weights, fetched.config, fetched.origin, owner=name, version=fetched.commit)
    else:
        raise _unknown(name)
    if found.config is None:
        return Checkpoint.of(_convert(found, num_steps, again=force_download))
    if num_steps is not None:
        raise ConfigError(
            "num_steps is for Lightning checkpoints that do not say it", hint=f"{found.config} says it"
        )
    return Checkpoint(found.config, found.weights)


def split_revision(name: str, revision: str | None = None) -> tuple[str, str | None]:
    """`owner/name@revision` as the two that it is; a path with an @ in it, and all else, stays as it is.

    Args:
        name: What a user calls a model.
        revision: The revision, where it is given by itself.

    Returns:
        The name without revision, and the revision.

    Raises:
        CheckpointError: There is none behind the @, or another one than `revision`.
    """
    repo_id, mark, told = name.partition("@")
    known = _REPO_ID.fullmatch(repo_id) or repo_id in bundled_names()
    if not mark or not known or Path(name).expanduser().exists():
        return name, revision
    if not told or revision not in (None, told):
        what = f"and revision={revision!r} are two revisions" if told else "names no revision"
        raise CheckpointError(f"{name!r} {what}", hint=f"{repo_id}@v1.0", code="no_revision")
    return repo_id, told


def is_repo_id(name: str) -> bool:
    """Whether a name that is no path here, and not bundled, is looked for on the Hub."""
    return _REPO_ID.fullmatch(name) is not None


@dataclass(frozen=True)
class _Found:
    """Files on this disk; `owner` and `version` tell one Lightning checkpoint from all others."""

    weights: Path
    config: Path | None
    origin: str = ""
    owner: str = "local"
    version: str = ""


def _unknown(name: str) -> CheckpointError:
    near = difflib.get_close_matches(name, bundled_names(), n=1)
    return CheckpointError(
        f"no checkpoint {name!r}",
        hint=f"did you mean {near[0]!r}?"
        if near
        else f"a folder, a file, a Hub id owner/name, or a bundled model: {', '.join(bundled_names())}",
        code="not_found",
    )


def _bundled(request: RepoRequest) -> _Found:
    inside = {
        "revision": request.revision,
        "subfolder": request.subfolder,
        "filename": request.filename,
    }
    given = [key for key, value in inside.items() if value is not None]
    if given:
        raise CheckpointError(
            f"{request.repo_id} is bundled and has no {given[0]}", hint=f"leave out {given[0]}="
        )
    folder = bundled_root() / request.repo_id
    return _Found(folder / WEIGHTS_FILE, folder / CONFIG_FILE)


def _local(path: Path, request: RepoRequest) -> _Found:
    """The checkpoint that is a folder or file of this disk."""
    name = request.repo_id
    if request.revision is not None:
        raise CheckpointError(
            f"{name} is on this disk and has no revision {request.revision!r}",
            hint="revisions are of Hub repositories",
            code="no_revision",
        )
    if path.is_dir():
        walk = itertools.islice((found for found in path.rglob("*") if found.is_file()), _MAX_FILES)
        files = sorted(found.relative_to(path).as_posix() for found in walk)
        choice = choose(files, where=name, subfolder=request.subfolder, filename=request.filename)
        return _file(path / choice.weights, path / choice.config if choice.config else None)
    if request.subfolder is not None or request.filename is not None:
        raise CheckpointError(f"{name} is a file", hint="subfolder= and filename= go with a folder")
    if path.suffix == LIGHTNING_SUFFIX:
        return _file(path, None)
    config = path.parent / CONFIG_FILE
    if path.suffix == WEIGHTS_SUFFIX and config.is_file():
        return _file(path, config)
    if path.suffix == WEIGHTS_SUFFIX:
        what, hint = f"there is no {CONFIG_FILE} beside {name}", "it says what the weights belong to"
    else:
        what = f"{name} is no checkpoint"
        hint = (
            f"a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, or a {WEIGHTS_SUFFIX} or "
            f"{LIGHTNING_SUFFIX} file"
        )
    raise CheckpointError(what, hint=hint, code="no_checkpoint")


def _file(weights: Path, config: Path | None) -> _Found:
    state = weights.stat()
    return _Found(
        weights, config, origin=str(weights.absolute()), version=f"{state.st_size}-{state.st_mtime_ns}"
    )


def _convert(found: _Found, num_steps: int | None, *, again: bool) -> Path:
    """The converted form of a Lightning checkpoint; made once for each version of its file."""
    key = f"{_CONVERTER}|{found.version}|{found.origin}|{num_steps}"
    parent = cached_assets_path(LIBRARY_NAME, namespace=found.owner, subfolder="converted")
    out = parent / hashlib.sha256(key.encode()).hexdigest()[:16]
    if again and out.exists():
        shutil.rmtree(out)
    if out.exists():
        return out
    # Rarely needed, and it brings a reader of pickles.
    from snn_voice_hub.hub.lightning import convert_lightning

    try:
        return convert_lightning(found.weights, out, origin=found.origin, num_steps=num_steps)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise CheckpointError(
            f"{found.weights.name} can't be converted into {parent}: "
            f"{'the disk is full' if full else error.strerror}",
            hint="HF_ASSETS_CACHE chooses another folder",
            code="disk_full" if full else "unwritable",
        ) from error


def read_config(checkpoint: Checkpoint | Path) -> VoiceConfig:
    """The configuration of a checkpoint, or of a checkpoint folder.

    Raises:
        CheckpointError: There is no `config.json`.
        ConfigError: It is not a legal one.
    """
    path = _files(checkpoint).config
    if not path.is_file():
        raise _lacks(path)
    return VoiceConfig.load(path)


def _files(checkpoint: Checkpoint | Path) -> Checkpoint:
    return Checkpoint.of(checkpoint) if isinstance(checkpoint, Path) else checkpoint


def _lacks(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path.parent} has no {path.name}",
        hint=f"a checkpoint folder holds {CONFIG_FILE} and {WEIGHTS_FILE}",
    )


def read_weights(
    checkpoint: Checkpoint | Path, expected: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint, checked against the network's own state dict.

    Args:
        checkpoint: The checkpoint, or its folder.
        expected: The network's state dict; names and shapes must match exactly.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        CheckpointError: No weights, not a safetensors file, or names or shapes that do not match.
    """
    path = _files(checkpoint).weights
    if not path.is_file():
        raise _lacks(path)
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
        config: The configuration; what it says of the weights' dtype is made true.
        weights: The bare network's state dict.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    part = folder / f".{WEIGHTS_FILE}.part"
    # Not save_file(): it makes files that only their owner can read.
    part.write_bytes(save(tensors, metadata={"format": "pt"}))
    part.replace(folder / WEIGHTS_FILE)
    write_config(folder, dataclasses.replace(config, dtype=name_of(tensors)))


def write_config(folder: Path, config: VoiceConfig) -> None:
    """Write `config.json` into a checkpoint folder; at no time is there a half of it."""
    part = folder / f".{CONFIG_FILE}.part"
    config.save(part)
    part.replace(folder / CONFIG_FILE)
