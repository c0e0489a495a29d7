"""Which models there are: those that are bundled, and files."""

from __future__ import annotations

import os
from pathlib import Path

from snn_voice_lite.errors import CheckpointError
from snn_voice_lite.visible import visible

DEFAULT_MODEL = "resmel-snn"
_MODELS = Path(__file__).parent / "models"
_SUFFIX = ".onnx"
# How checkpoints look that are no lite files.
_OF_TORCH = (".safetensors", ".ckpt", ".pt", ".pth", ".pt2", ".bin")


def list_models() -> list[str]:
    """The names of the bundled models, the default first."""
    return sorted((path.stem for path in _MODELS.glob(f"*{_SUFFIX}")), key=lambda n: (n != DEFAULT_MODEL, n))


def found(model: str | os.PathLike[str] | None) -> Path:
    """The file of a model.

    Raises:
        CheckpointError: There is none.
    """
    if model is None:
        model = DEFAULT_MODEL
    if isinstance(model, str) and model in list_models():
        return _MODELS / f"{model}{_SUFFIX}"
    try:
        path = Path(model)
        there = path.is_file()
    except (TypeError, ValueError):
        raise CheckpointError(
            f"a model can't be {type(model).__name__} {visible(model)}", hint="a name, or a path"
        ) from None
    if there and path.suffix not in _OF_TORCH:
        return path
    shown = visible(path)
    if there or path.is_dir():
        hint = f"`snn-voice export {shown} --to lite` makes one of it"
        raise CheckpointError(f"{shown} is no lite file", hint=hint)
    hint = f"bundled are {', '.join(list_models())}; or a file *{_SUFFIX}"
    raise CheckpointError(f"there is no model {shown}", hint=hint)
