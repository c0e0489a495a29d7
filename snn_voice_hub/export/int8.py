"""Weights of an ONNX graph as int8: a quarter of the size, the same operations in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

# Weights of fewer values stay as they are: their scales would take what they save.
_SMALLEST = 1024
# The front end stays exact: a logarithm shows the smallest error of its filters.
_EXACT = "front_end."
# Operation -> the axis of its weight's outputs.
_AXES = {"Conv": 0, "Gemm": 0, "MatMul": 1}


def store_as_int8(model: onnx.ModelProto) -> int:
    """Store the network's weights of convolutions and products as int8, in place.

    Each output channel has a scale of its own, so that its largest weight becomes 127; a node
    `DequantizeLinear` gives the float32 weights back when the file is loaded. Activations are not quantised:
    spikes are 0 and 1 anyway.

    Args:
        model: The graph; its weights are initialisers.

    Returns:
        How many weights were converted.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    made: dict[str, str] = {}
    before = []
    for node in graph.node:
        if node.op_type not in _AXES or len(node.input) < 2 or node.input[1] not in tensors:
            continue
        name = node.input[1]
        if name.startswith(_EXACT):
            continue
        if name not in made:
            weight = numpy_helper.to_array(tensors[name])
            if weight.dtype != np.float32 or weight.ndim < 2 or weight.size < _SMALLEST:
                continue
            axis = _AXES[node.op_type]
            if node.op_type == "Gemm" and not _transposed(node):
                axis = 1
            others = tuple(i for i in range(weight.ndim) if i != axis)
            scale = (np.abs(weight).max(axis=others, keepdims=True) / 127).astype(np.float32)
            scale[scale == 0] = 1
            whole = np.round(weight / scale).astype(np.int8)
            graph.initializer.remove(tensors[name])
            stem = f"{name}_int8"
            graph.initializer.append(numpy_helper.from_array(whole, stem))
            graph.initializer.append(numpy_helper.from_array(scale.reshape(-1), f"{stem}_scale"))
            before.append(
                helper.make_node("DequantizeLinear", [stem, f"{stem}_scale"], [f"{stem}_float"], axis=axis)
            )
            made[name] = f"{stem}_float"
        node.input[1] = made[name]
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return len(made)


def _transposed(gemm: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i == 1 for attribute in gemm.attribute)
