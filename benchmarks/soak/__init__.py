"""Half an hour of everything at once; `python -m benchmarks.soak`."""
