"""A Lightning checkpoint of the paper's code -> a checkpoint folder, whole or not at all."""

from __future__ import annotations

import dataclasses
import glob
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from snn_voice_hub.config import check_choice
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.choice import CONFIG_FILE, WEIGHTS_FILE
from snn_voice_hub.hub.dtypes import DTYPES, cast_weight, name_of
from snn_voice_hub.hub.legacy.lightning import read_lightning
from snn_voice_hub.hub.weights import apart, sound

# A folder of an unfinished conversion that is older than this was left by one that was killed.
_STALE_SECONDS = 3600.0


def convert_lightning(
    path: Path,
    out: Path,
    *,
    origin: str = "",
    num_steps: int | None = None,
    name: str = "",
    dtype: str | None = None,
) -> Path:
    """Write the checkpoint folder of a Lightning checkpoint.

    The folder appears whole or not at all. Of two conversions at once the first to finish stays; a folder
    that holds a checkpoint already is left as it is.

    Args:
        path: The file.
        out: Folder to make; a missing parent is made too.
        origin: See `read_lightning`.
        num_steps: See `read_lightning`.
        name: The checkpoint's name; by default one such as "piczak-snn-t15".
        dtype: A name in `DTYPES` for the floating-point weights on the disk; float32 by default. Networks
            load them as float32.

    Returns:
        `out`.

    Raises:
        CheckpointError: See `read_lightning`; or `out` holds other files, or a weight does not fit `dtype`.
        ConfigError: `num_steps` or `dtype` is not legal.
        OSError: `out` can't be written.
    """
    target = DTYPES[check_choice("dtype", "float32" if dtype is None else dtype, tuple(DTYPES))]
    folder = out.resolve()
    # In this order: what another conversion puts there between the two looks is complete.
    occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if _is_complete(folder):
        return out
    if occupied:
        raise CheckpointError(f"{out} exists and is no checkpoint folder", hint="name a new folder")
    config, weights = read_lightning(path, origin=origin, num_steps=num_steps)
    if name:
        config = dataclasses.replace(config, name=name)
    weights = {
        key: cast_weight(str(path), key, sound(str(path), key, tensor, tensor.dtype), target)
        for key, tensor in weights.items()
    }
    config = dataclasses.replace(config, dtype=name_of(weights))
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder)
    part = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:12]}.part"
    part.mkdir()
    try:
        config.save(part / CONFIG_FILE)
        _save_weights(weights, part / WEIGHTS_FILE)
        # safetensors makes files that only their owner can read.
        (part / WEIGHTS_FILE).chmod((part / CONFIG_FILE).stat().st_mode & 0o777)
        try:
            part.rename(folder)
        except OSError:
            if not _is_complete(folder):
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def _is_complete(folder: Path) -> bool:
    return (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()


def _save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write safetensors straight from the mapped file; in memory they would stand twice."""
    try:
        save_file(apart(weights), path, metadata={"format": "pt"})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else 0, str(error), str(path)) from error


def _remove_stale(folder: Path) -> None:
    """Remove what conversions to the same folder left when they were killed."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.*.part"):
        try:
            old = time.time() - path.stat().st_mtime > _STALE_SECONDS
        except OSError:  # another process was faster
            continue
        if old:
            shutil.rmtree(path, ignore_errors=True)
