"""The names of the engines; imports nothing heavy, so that a command line's help can list them."""

from __future__ import annotations

from snn_voice_hub.config import check_choice

# Name -> module beside this one and class in it; imported when it is asked for, since each may need an extra.
CLASSES = {
    "loop": ("plain", "LoopEngine"),
    "torch": ("plain", "TorchEngine"),
    "compile": ("compiled", "CompiledEngine"),
    "onnx": ("onnx", "OnnxEngine"),
    "native": ("native", "NativeEngine"),
    "torch+bf16": ("plain", "TorchBf16Engine"),
    "native+bf16": ("native", "NativeBf16Engine"),
}
ENGINES = ("auto", *CLASSES)


def check_engine(name: object) -> str:
    """Return `name` if it is one of `ENGINES`.

    Raises:
        ConfigError: It is not.
    """
    return check_choice("engine", name, ENGINES)
