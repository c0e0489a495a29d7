"""Event-driven kernels in C++, built by the user's own compiler: `build` · `lowering` · `layers`."""
