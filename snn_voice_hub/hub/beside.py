"""Where a model in other formats lies, beside its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from snn_voice_hub.config import check_choice
from snn_voice_hub.errors import ConfigError

# Name of a format -> its place in a repository.
FORMATS: Final = {
    "onnx": "onnx/model.onnx",
    "onnx-int8": "onnx/model_int8.onnx",
    "lite": "lite/model.onnx",
}
# Place in the repository -> what it is, for the card.
PLACES: Final = {
    "onnx/model.onnx": "ONNX: waveforms in, scores and logits out; float32",
    "onnx/model_int8.onnx": "ONNX, the same with its weights as int8",
    "lite/model.onnx": "for `snn-voice-lite` and, in browsers, `@snn-voice/web`: clips and streams",
}


def places_of(formats: Sequence[str]) -> dict[str, str]:
    """The formats that are asked for, each once, and their places in a repository.

    Raises:
        ConfigError: There is no such format.
    """
    if isinstance(formats, str):
        raise ConfigError(f"formats={formats!r} is no list", hint=f"formats=[{formats!r}]")
    for name in formats:
        check_choice("formats", name, tuple(FORMATS))
    return {name: FORMATS[name] for name in formats}
