"""Kernels in C++: `build` (compile and load) · `ready` (for machines without compiler) · `lif` (training)."""
