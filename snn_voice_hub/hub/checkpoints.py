"""Name, path or repository id -> the files of a checkpoint on this disk -> configuration and weights."""

from __future__ import annotations

import dataclasses
import difflib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import cached_assets_path
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from safetensors.torch import save
from snn_voice_lite.visible import module_logger, visible

from snn_voice_hub.config import LIBRARY_NAME, VoiceConfig
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.hub.bundled import DEFAULT_MODEL, bundled_names, bundled_root
from snn_voice_hub.hub.choice import CONFIG_FILE, WEIGHTS_FILE
from snn_voice_hub.hub.dtypes import cast_weight, name_of
from snn_voice_hub.hub.loading import USUAL, Loading
from snn_voice_hub.hub.local import exists, find_local, is_checkpoint, named_path, nearest
from snn_voice_hub.hub.remote.cache import RepoCache
from snn_voice_hub.hub.remote.loads import RepoRequest
from snn_voice_hub.hub.remote.repository import fetch
from snn_voice_hub.hub.strangers import check_file
from snn_voice_hub.hub.weights import apart, checked, read_tensors
from snn_voice_hub.writing import write_together

logger = module_logger(__name__)

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
# Part of the name of converted checkpoints: a release that converts differently does so again.
_CONVERTER = "v1"


@dataclass(frozen=True)
class Checkpoint:
    """The two files of a checkpoint on this disk.

    Attributes:
        config: `config.json`.
        weights: A safetensors file.
        num_steps: The number of outputs of an answer that was asked for instead of the configuration's.
    """

    config: Path
    weights: Path
    num_steps: int | None = None

    @classmethod
    def of(cls, folder: Path) -> Checkpoint:
        """The checkpoint of a folder, by the usual names."""
        return cls(folder / CONFIG_FILE, folder / WEIGHTS_FILE)


def resolve(source: str | os.PathLike[str] | None = None, loading: Loading = USUAL) -> Checkpoint:
    """Find a checkpoint on this disk, downloading and converting it where needed.

    Args:
        source: None for the bundled default, a bundled name, a folder, a `.safetensors` or Lightning `.ckpt`
            file, or a Hub id `owner/name` or `owner/name@revision`; see `local_path` for names that could be
            two of them.
        loading: How.

    Returns:
        Its files.

    Raises:
        CheckpointError: Nothing of that name; the message says what there is or what to do.
        ConfigError: `num_steps` is given for a checkpoint that states it, and whose steps repeat a window.
    """
    name = DEFAULT_MODEL if source is None else os.fspath(source)
    if isinstance(source, str):
        name, revision = split_revision(name, loading.revision)
        loading = dataclasses.replace(loading, revision=revision)
        path = local_path(name)
    else:
        path = None if source is None else local_path(source)
    num_steps = loading.num_steps
    if path is not None and exists(path):
        found = _file(*find_local(path, name, loading))
    elif path is None and name in bundled_names():
        found = _bundled(name, loading)
    elif path is None and is_repo_id(name):
        # A Lightning checkpoint is mostly what training left in it; once converted, it is not needed again.
        fetched = fetch(
            RepoRequest(repo_id=name, **vars(loading)),
            lambda version, origin: _converted(name, version, origin, num_steps).exists(),
        )
        found = _Files(fetched.weights, fetched.config, fetched.origin, owner=name, version=fetched.version)
    else:
        raise _unknown(name, path)
    if found.config is None:
        return Checkpoint.of(_convert(found, num_steps, again=loading.force_download))
    if num_steps is not None and not read_config(Checkpoint(found.config, found.weights)).is_framed:
        raise ConfigError(
            "num_steps is for Lightning checkpoints that do not say it, and for networks whose time steps "
            "are those of the sound",
            hint=f"{found.config} says it",
        )
    return Checkpoint(found.config, found.weights, num_steps)


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
    known = is_repo_id(repo_id) or repo_id in bundled_names()
    if not mark or not known or os.path.exists(os.path.expanduser(name)):  # noqa: PTH110, PTH111  (any name)
        return name, revision
    if not told or revision not in (None, told):
        what = f"and revision={revision!r} are two revisions" if told else "names no revision"
        raise CheckpointError(f"{name!r} {what}", hint=f"{repo_id}@v1.0", code="no_revision")
    return repo_id, told


def is_repo_id(name: str) -> bool:
    """Whether a name that is no path here, and not bundled, is looked for on the Hub."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return _REPO_ID.fullmatch(name) is not None


@dataclass(frozen=True)
class _Files:
    """Files on this disk; `owner` and `version` tell one Lightning checkpoint from all others."""

    weights: Path
    config: Path | None
    origin: str = ""
    owner: str = "local"
    version: str = ""


def local_path(source: str | os.PathLike[str]) -> Path | None:
    """The path that is meant by what names a checkpoint; None where a bundled model or a Hub id is.

    Args:
        source: A `Path` always is a path. A `str` is one where something of that name exists; if it is a
            bundled model's name too, only where that is a folder with a checkpoint. The log says so then.

    Raises:
        CheckpointError: It is empty, no file can have such a name, or it may not be looked at.
    """
    path = named_path(source)
    if not isinstance(source, str):
        return path
    if source not in bundled_names():
        return path if exists(path) else None
    if is_checkpoint(path):
        logger.warning("%s is a folder here and a bundled model: the folder is taken", source)
        return path
    if exists(path):
        logger.warning("%s here is no checkpoint: the bundled model of that name is taken", source)
    return None


def _unknown(name: str, path: Path | None) -> CheckpointError:
    if path is not None and name in bundled_names():
        return CheckpointError(
            f"there is no folder {name}", hint=f"{name!r} as text is the bundled model", code="not_found"
        )
    folder = nearest(Path(name)) if len(Path(name).parts) > 1 else None
    if folder is not None:
        return CheckpointError(
            f"there is no {visible(name)}", hint=f"open its folder {folder}", code="not_found"
        )
    near = difflib.get_close_matches(name, bundled_names(), n=1)
    return CheckpointError(
        f"no checkpoint {visible(repr(name))}",
        hint=f"did you mean {near[0]!r}?"
        if near
        else f"a folder, a file, a Hub id owner/name, or a bundled model: {', '.join(bundled_names())}",
        code="not_found",
    )


def _bundled(name: str, loading: Loading) -> _Files:
    for inside in ("revision", "subfolder", "filename"):
        if getattr(loading, inside) is not None:
            raise CheckpointError(f"{name} is bundled and has no {inside}", hint=f"leave out the {inside}")
    folder = bundled_root() / name
    return _Files(folder / WEIGHTS_FILE, folder / CONFIG_FILE)


def _file(weights: Path, config: Path | None) -> _Files:
    """Files of this disk; a Lightning checkpoint is known by where it lies, its size and its time."""
    state = weights.stat()
    return _Files(
        weights, config, origin=str(weights.absolute()), version=f"{state.st_size}-{state.st_mtime_ns}"
    )


def _converted(owner: str, version: str, origin: str, num_steps: int | None) -> Path:
    """Where the converted form of a Lightning checkpoint is, or would be."""
    key = f"{_CONVERTER}|{version}|{origin}|{num_steps}"
    parent = cached_assets_path(LIBRARY_NAME, namespace=owner, subfolder="converted")
    return parent / hashlib.sha256(key.encode()).hexdigest()[:16]


def disk_space(repo_id: str, cache_dir: str | Path | None = None) -> tuple[int, int]:
    """What a repository of the Hub takes on this disk, in bytes.

    Args:
        repo_id: `owner/name`.
        cache_dir: The Hub client's cache folder.

    Returns:
        What the Hub client keeps of it, and what its Lightning checkpoints were converted to. The converted
        form is all that is needed; the client's files may be deleted.
    """
    converted = cached_assets_path(LIBRARY_NAME, namespace=repo_id, subfolder="converted")
    return _size(RepoCache.of(repo_id, cache_dir).folder), _size(converted)


def _size(folder: Path) -> int:
    files = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return sum(path.stat().st_size for path in files if not path.is_symlink())


def _convert(found: _Files, num_steps: int | None, *, again: bool) -> Path:
    """The converted form of a Lightning checkpoint; made once for each version of its file."""
    out = _converted(found.owner, found.version, found.origin, num_steps)
    if again and out.exists():
        shutil.rmtree(out)
    if out.exists():
        return out
    # Rarely needed, and it brings a reader of pickles.
    from snn_voice_hub.hub.legacy.conversion import convert_lightning

    try:
        return convert_lightning(found.weights, out, origin=found.origin, num_steps=num_steps)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise CheckpointError(
            f"{found.weights.name} can't be converted into {out.parent}: "
            f"{'the disk is full' if full else error.strerror}",
            hint="HF_ASSETS_CACHE chooses another folder",
            code="disk_full" if full else "unwritable",
        ) from error


def read_config(checkpoint: Checkpoint | Path) -> VoiceConfig:
    """The configuration of a checkpoint, or of a checkpoint folder.

    Raises:
        CheckpointError: There is no `config.json`, or what stands there is something else.
        ConfigError: It is not a legal one.
    """
    files = _files(checkpoint)
    path = files.config
    if not path.exists():
        raise _lacks(path)
    check_file(path)
    config = VoiceConfig.load(path)
    if files.num_steps is None:
        return config
    return dataclasses.replace(config, network={**config.network, "num_steps": files.num_steps})


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

    Names that have those of wrappers in them (`_orig_mod.` of `torch.compile`, `module.` of parallel modules,
    a leading `network.`) are taken as the network's.

    Args:
        checkpoint: The checkpoint, or its folder.
        expected: The network's state dict; names and shapes must match exactly.

    Returns:
        Tensors by name, on the CPU; float64 has become float32.

    Raises:
        CheckpointError: No weights, not a safetensors file, names or shapes that do not match, a value that
            is NaN or infinite, or a dtype that would have to be cast; see `weights.sound`.
    """
    path = _files(checkpoint).weights
    if not path.exists():
        raise _lacks(path)
    return read_tensors(path, expected, f"{path} does not fit its {CONFIG_FILE}")


def write_checkpoint(
    folder: Path,
    config: VoiceConfig,
    weights: Mapping[str, object],
    expected: Mapping[str, torch.Tensor],
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write `config.json` and `model.safetensors`, if `read_config` and `read_weights` will take them.

    Each file is complete or absent, and where anything is refused, what was there before stays.

    Args:
        folder: Made if missing.
        config: The configuration; what it says of the weights' dtype is made true.
        weights: The network's state dict; names may have those of wrappers in them.
        expected: The state dict of the network that the configuration describes.
        dtype: For the floating-point weights on the disk; by default their own.

    Raises:
        CheckpointError: The weights are not of that network, not finite or of another dtype, or don't fit
            `dtype`.
        ConfigError: The configuration could not be read again.
        OSError: The folder can't be written.
    """
    where = config.title
    tensors = checked(weights, expected, f"{where} can't be saved, nobody could open it", where=where)
    if dtype is not None:
        tensors = {key: cast_weight(where, key, tensor, dtype) for key, tensor in tensors.items()}
    text = dataclasses.replace(config, dtype=name_of(tensors)).to_json()
    # Not save_file(): it makes files that only their owner can read.
    content = save(apart(tensors), metadata={"format": "pt"})
    folder.mkdir(parents=True, exist_ok=True)
    write_together({folder / WEIGHTS_FILE: content, folder / CONFIG_FILE: text})
