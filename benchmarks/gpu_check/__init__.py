"""One look at everything that differs on a GPU; `python -m benchmarks.gpu_check`, or `make gpu-check`."""
