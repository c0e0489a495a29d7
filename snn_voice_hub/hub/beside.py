"""Where a model in other formats lies, beside its checkpoint."""

from __future__ import annotations

from typing import Final

# Place in the repository -> what it is, for the card.
PLACES: Final = {
    "onnx/model.onnx": "ONNX: waveforms in, scores and logits out; float32",
    "onnx/model_int8.onnx": "ONNX, the same with its weights as int8",
    "lite/model.onnx": "for `snn-voice-lite` and, in browsers, `@snn-voice/web`: clips and streams",
}
