"""Spiking networks on frames by kernels: wiring becomes a `plan`, which `streams` runs; `proof` checks it."""
