"""The formats in which a model is published beside its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.export.lite import export_lite
from snn_voice_hub.export.whole import export_onnx
from snn_voice_hub.hub.beside import places_of
from snn_voice_hub.models.base import Network
from snn_voice_hub.writing import writing_into

# What writes each of `hub.beside.FORMATS`.
_WRITERS: Final[dict[str, Callable[..., Any]]] = {
    "onnx": export_onnx,
    "onnx-int8": partial(export_onnx, int8=True),
    "lite": export_lite,
}


def write_formats(
    network: Network, config: VoiceConfig, folder: Path, formats: Sequence[str]
) -> dict[str, Path]:
    """Write a model in several formats, each checked against PyTorch first.

    Args:
        network: The network.
        config: The model's configuration.
        folder: Where the files go; it exists.
        formats: "onnx", "onnx-int8", "lite".

    Returns:
        Place in a repository -> file.

    Raises:
        ConfigError: There is no such format.
        MissingExtraError: The extra `[export]` is not installed.
        SnnVoiceError: The model can't be exported, a file does not answer as PyTorch does, or it can't be
            written.
    """
    found = {}
    for name, place in places_of(formats).items():
        path = folder / place
        with writing_into(folder, "make room, or name another folder in TMPDIR"):
            path.parent.mkdir(parents=True, exist_ok=True)
        _WRITERS[name](network, config, path)
        found[place] = path
    return found
