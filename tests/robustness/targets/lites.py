"""Lite files: the text in their metadata, and whole graphs around it.

What begins with `{` is a text; anything else is a file.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import onnx
from onnx import TensorProto, helper
from snn_voice_lite import Voice
from snn_voice_lite.errors import SnnVoiceError
from snn_voice_lite.facts import KEY, LiteConfig

from tests.robustness.contract import told

JSON: Final = True


def run(data: bytes) -> str:
    """Read the text, and the file that it stands in."""
    try:
        if not data.startswith(b"{"):
            Voice.from_bytes(data)
            return "a file"
        config = LiteConfig.read(data.decode("utf-8", "surrogateescape"))
        assert LiteConfig.read(config.text()) == config
        voice = Voice.from_bytes(_file(data.decode("utf-8", "replace"), config))
        assert voice.config.labels == config.labels
        assert voice.stream(sample_rate=voice.sample_rate).flush() == []
    except SnnVoiceError as error:
        return told(error)
    return "a text"


def _file(text: str, config: LiteConfig) -> bytes:
    """A graph as small as one can be that fits the text."""
    classes, frames = len(config.labels), config.frames
    if frames is None:
        inputs = {"waveforms": ["n", config.num_samples]}
        outputs = {"logits": ["n", classes]}
    else:
        bands, size = config.features.n_mels, frames.state_size
        inputs = {"frames": ["n", 1, bands, frames.frames_per_step], "state": ["n", size]}
        outputs = {"logits": ["n", classes], "next_state": ["n", size]}
    nodes = []
    for name, shape in outputs.items():
        value = helper.make_tensor(f"{name}_value", TensorProto.FLOAT, [1], [0.0])
        shaped = helper.make_tensor(f"{name}_shape", TensorProto.INT64, [2], [1, int(shape[1])])
        nodes += [
            helper.make_node("Constant", [], [f"{name}_at"], value=shaped),
            helper.make_node("ConstantOfShape", [f"{name}_at"], [name], value=value),
        ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {KEY: text})
    found: bytes = model.SerializeToString()
    return found


def seeds() -> list[bytes]:
    """The texts of the bundled files, and files of them."""
    found = []
    for name in ("resmel-snn", "tempo-snn"):
        config = dataclasses.replace(Voice(name).config, metrics={})
        found.append(config.text().encode())
        found.append(_file(config.text(), config))
    model = onnx.load_model_from_string(found[1])
    helper.set_model_props(model, {"other": "text"})
    return [*found, model.SerializeToString()]
