"""Event-driven kernels for spiking networks: `lowering` of a trace to a `program`, its `layers` in C++."""
