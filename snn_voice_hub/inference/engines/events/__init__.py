"""Event-driven kernels for spiking networks: `lowering` of a trace to a `program`, and its `layers` in C++."""
