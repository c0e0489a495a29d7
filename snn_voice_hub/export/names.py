"""What the files may be; imports nothing heavy, so that the command can check its options first."""

from __future__ import annotations

# Format -> ending of its files; of C it is a folder.
SUFFIXES = {"onnx": ".onnx", "lite": ".onnx", "nir": ".nir", "torch": ".pt2", "c": "-c"}

# How a NIR graph says a neuron; see `nir.graph.GraphBuilder`.
FORMS = ("lif", "parts")
