"""Kernels in C++, built by the user's own compiler: `build` (compile and load) · `lif` (training)."""
