"""Networks in the formats of others: `onnx` for ONNX runtimes."""
